import { Redis } from 'ioredis';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { isPortFree } from '../server/port-probe.js';
import type { RedisSentinel } from './redis-sentinel.js';
import { startRedisSentinel } from './start-redis-sentinel.js';

describe('a Sentinel group', () => {
  let group: RedisSentinel;

  beforeAll(async () => {
    group = await startRedisSentinel({ password: 'shared-secret', masterName: 'bets' });
  });
  afterAll(async () => group?.stop());

  // A test may leave a server down; the next one starts from a whole group.
  beforeEach(async () => {
    for (const server of [...group.servers, ...group.sentinels]) {
      if (server.state !== 'running') await server.restart();
    }
    await group.waitUntilStable();
  });

  it('has named servers: a primary, replicas that follow it, and Sentinels', async () => {
    expect(group.servers.map(({ name }) => name)).toEqual([
      'redis-sentinel-0',
      'redis-sentinel-1',
      'redis-sentinel-2',
    ]);
    expect(group.sentinels.map(({ name }) => name)).toEqual([
      'redis-sentinel-sentinel-0',
      'redis-sentinel-sentinel-1',
      'redis-sentinel-sentinel-2',
    ]);
    const primary = await group.primary();
    await primary.command('SET', 'copied', 'yes');
    expect(await primary.command('WAIT', 2, 5000)).toBe(2);
    const replicas = await group.replicas();
    expect(replicas).toHaveLength(2);
    for (const replica of replicas) {
      expect(await replica.command('GET', 'copied')).toBe('yes');
      await expect(replica.command('SET', 'copied', 'no')).rejects.toThrow(/READONLY/);
    }
  });

  it('leads a client of Sentinels to the primary', async () => {
    const client = new Redis({
      sentinels: [...group.sentinelEndpoints],
      name: group.masterName,
      password: group.password as string,
      protocol: 2,
    });
    expect(await client.set('led', '1')).toBe('OK');
    expect(await (await group.primary()).command('GET', 'led')).toBe('1');
    await client.quit();
  });

  it('puts a replica in the place of a primary that dies, and takes that back', async () => {
    const former = await group.primary();
    await former.command('SET', 'survives', '1');
    expect(await former.command('WAIT', 2, 5000)).toBe(2);
    await former.kill();
    const primary = await group.waitForFailover(former);
    expect(primary).not.toBe(former);
    expect(await primary.command('GET', 'survives')).toBe('1');
    expect(await primary.command('SET', 'writable', '1')).toBe('OK');
    expect(await group.replicas()).toContain(former);
    await former.restart();
    await group.waitUntilStable();
    expect((await former.info('replication')).get('role')).toBe('slave');
  });

  it('puts a replica in the place of a primary that freezes', async () => {
    const former = await group.primary();
    await former.freeze();
    const primary = await group.waitForFailover(former);
    expect(await primary.command('SET', 'writable', '2')).toBe('OK');
    await former.thaw();
    await group.waitUntilStable();
    expect(await former.command('GET', 'writable')).toBe('2');
  });

  it('does so with one Sentinel down', async () => {
    await group.sentinels[0]?.kill();
    const former = await group.primary();
    await former.kill();
    expect(await group.waitForFailover(former)).not.toBe(former);
  });

  it('fails over from a primary that is well when asked to', async () => {
    const former = await group.primary();
    const primary = await group.failOver();
    expect(primary).not.toBe(former);
    await group.waitUntilStable();
    expect(await group.primary()).toBe(primary);
  });

  it('says what it waited for, and what was amiss', async () => {
    const primary = await group.primary();
    await expect(group.waitForFailover(primary, { within: '2s' })).rejects.toThrow(
      new RegExp(`in the place of ${primary.name}; .*still name ${primary.name}`),
    );
  });
});

it('leaves nothing of a group behind', async () => {
  const group = await startRedisSentinel({ name: 'small', replicas: 1, sentinels: 1 });
  const servers = [...group.servers, ...group.sentinels].map(({ pid, port }) => ({ pid, port }));
  expect(servers).toHaveLength(3);
  await group.stop();
  await group.stop();
  for (const { pid, port } of servers) {
    expect(await isPortFree(port)).toBe(true);
    if (pid !== undefined) expect(() => process.kill(pid, 0)).toThrow(/ESRCH/);
  }
});

it('names every fault of its options at once', async () => {
  const failure = await startRedisSentinel({
    sentinels: 0,
    password: 'two words',
    masterName: 'two words',
    downAfter: '5ms',
  }).catch((error) => error);
  expect(failure.message).toMatch(/sentinels: /);
  expect(failure.message).toMatch(/masterName: /);
  expect(failure.message).toMatch(/password: .*Sentinel/);
  expect(failure.message).toMatch(/downAfter: /);
});
