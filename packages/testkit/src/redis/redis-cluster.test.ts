import { Cluster } from 'ioredis';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { isPortFree } from '../server/port-probe.js';
import type { RedisCluster } from './redis-cluster.js';
import type { RedisServer } from './redis-server.js';
import { startRedisCluster } from './start-redis-cluster.js';

/** The error that a command ends with. */
async function errorOf(command: Promise<unknown>): Promise<string> {
  return command.then(
    (answer) => `answered ${String(answer)}`,
    (error: Error) => error.message,
  );
}

describe('a Redis Cluster', () => {
  let cluster: RedisCluster;

  beforeAll(async () => {
    cluster = await startRedisCluster({ password: 'shared "secret"' });
  });
  afterAll(async () => cluster?.stop());

  // A test may leave a node down or a slot elsewhere; the next one starts from a whole cluster.
  beforeEach(async () => {
    for (const node of cluster.nodes) if (node.state !== 'running') await node.restart();
    await cluster.waitUntilStable();
  });

  async function otherMaster(than: RedisServer): Promise<RedisServer> {
    const other = (await cluster.masters()).find((master) => master !== than);
    if (other === undefined) throw new Error('there is no other master');
    return other;
  }

  it('has three masters with a replica each, and serves a client of clusters', async () => {
    expect(cluster.nodes).toHaveLength(6);
    expect(cluster.seeds.map(({ port }) => port)).toEqual(cluster.nodes.map(({ port }) => port));
    const masters = await cluster.masters();
    expect(masters).toHaveLength(3);
    for (const master of masters) expect(await cluster.replicasOf(master)).toHaveLength(1);
    const client = new Cluster([...cluster.seeds], {
      redisOptions: { password: cluster.password as string, protocol: 2 },
    });
    for (let i = 0; i < 50; i += 1) expect(await client.set(`key:${i}`, `${i}`)).toBe('OK');
    for (let i = 0; i < 50; i += 1) expect(await client.get(`key:${i}`)).toBe(`${i}`);
    await client.quit();
  });

  it('computes slots as the server does', async () => {
    const seed = Math.floor(Math.random() * 2 ** 32);
    for (const key of ['', 'a', '{}', '{a', '{a}b', 'a{b}{c}', 'größe', `${seed}{${seed % 7}}x`]) {
      const told = await cluster.nodes[0]?.command('CLUSTER', 'KEYSLOT', key);
      expect(cluster.slotOf(key), `key '${key}'`).toBe(told);
    }
  });

  it('knows the master of a key: it serves it, and others answer MOVED to it', async () => {
    for (const key of ['a', 'b', 'c', 'user:1']) {
      const master = await cluster.masterOf(key);
      expect(await master.command('SET', key, 'x')).toBe('OK');
      const other = await otherMaster(master);
      expect(await errorOf(other.command('GET', key))).toBe(
        `MOVED ${cluster.slotOf(key)} 127.0.0.1:${master.port}`,
      );
    }
  });

  it('moves a slot with its keys; the source then answers MOVED', async () => {
    const slot = cluster.slotOf('{moved}');
    const from = await cluster.masterOf(slot);
    const to = await otherMaster(from);
    const keys = Array.from({ length: 250 }, (_, i) => `{moved}:${i}`);
    for (const key of keys) await from.command('SET', key, key);
    await cluster.moveSlot(slot, to);
    expect(await cluster.masterOf(slot)).toBe(to);
    for (const key of keys) expect(await to.command('GET', key)).toBe(key);
    expect(await errorOf(from.command('GET', keys[0] as string))).toBe(
      `MOVED ${slot} 127.0.0.1:${to.port}`,
    );
    await cluster.waitUntilStable();
  });

  it('leaves a slot half-way: ASK for what has gone, an answer for what is there', async () => {
    const slot = cluster.slotOf('{half}');
    const from = await cluster.masterOf(slot);
    const to = await otherMaster(from);
    await from.command('SET', '{half}:gone', '1');
    await from.command('SET', '{half}:here', '2');
    const move = await cluster.beginSlotMove(slot, to);
    expect(await move.moveKeys(['{half}:gone'])).toBe(1);
    expect(await errorOf(from.command('GET', '{half}:gone'))).toBe(
      `ASK ${slot} 127.0.0.1:${to.port}`,
    );
    expect(await from.command('GET', '{half}:here')).toBe('2');
    expect(await errorOf(to.command('GET', '{half}:gone'))).toBe(
      `MOVED ${slot} 127.0.0.1:${from.port}`,
    );
    const client = new Cluster([...cluster.seeds], {
      redisOptions: { password: cluster.password as string, protocol: 2 },
    });
    expect(await client.get('{half}:gone')).toBe('1');
    await client.quit();
    await move.finish();
    expect(await to.command('MGET', '{half}:gone', '{half}:here')).toEqual(['1', '2']);
    expect(await cluster.masterOf(slot)).toBe(to);
  });

  it('takes a half-moved slot back', async () => {
    const slot = cluster.slotOf('{back}');
    const from = await cluster.masterOf(slot);
    await from.command('SET', '{back}:1', '1');
    const move = await cluster.beginSlotMove(slot, await otherMaster(from));
    await move.moveKeys();
    await move.abandon();
    expect(await from.command('GET', '{back}:1')).toBe('1');
    expect(await errorOf(from.command('GET', '{back}:none'))).toBe('answered null');
  });

  it('refuses to move a slot to where it is', async () => {
    const master = await cluster.masterOf(7);
    await expect(cluster.beginSlotMove(7, master)).rejects.toMatchObject({
      code: 'TESTKIT_SERVER_STATE',
    });
  });

  it('fails over when a master dies, and takes it back as a replica', async () => {
    const master = await cluster.masterOf('failover');
    await master.command('SET', 'failover', 'survives');
    expect(await master.command('WAIT', 1, 5000)).toBe(1);
    await master.kill();
    const successor = await cluster.waitForFailover(master);
    expect(successor).not.toBe(master);
    expect(await successor.command('GET', 'failover')).toBe('survives');
    await cluster.waitUntilStable();
    expect(await cluster.masterOf('failover')).toBe(successor);
    await master.restart();
    await cluster.waitUntilStable();
    expect(await cluster.replicasOf(successor)).toContain(master);
  });

  it('fails over when a master freezes', async () => {
    const master = await cluster.masterOf('frozen');
    await master.freeze();
    const successor = await cluster.waitForFailover(master);
    expect(await successor.command('SET', 'frozen', '1')).toBe('OK');
    await master.thaw();
    await cluster.waitUntilStable();
    expect(await cluster.masterOf('frozen')).toBe(successor);
  });

  it('lets a replica take over in good order', async () => {
    const master = await cluster.masterOf('orderly');
    const successor = await cluster.failOver(master);
    expect(successor).not.toBe(master);
    await cluster.waitUntilStable();
    expect(await cluster.masterOf('orderly')).toBe(successor);
    expect(await cluster.replicasOf(successor)).toContain(master);
  });

  it('says what it waited for, and what was amiss, when it cannot become stable', async () => {
    const master = await cluster.masterOf('lost');
    for (const node of [...(await cluster.replicasOf(master)), master]) await node.kill();
    await expect(cluster.waitUntilStable({ within: '1s' })).rejects.toThrow(
      /Waited 1s in vain for Redis Cluster redis-cluster to be stable; .*node \d+/,
    );
    await expect(cluster.waitForFailover(master, { within: '1s' })).rejects.toThrow(
      new RegExp(`a replica of ${master.name} to take over`),
    );
  });
});

it('leaves nothing of a cluster behind, the ports between the nodes included', async () => {
  const cluster = await startRedisCluster({ name: 'small', masters: 1, replicasPerMaster: 1 });
  const nodes = cluster.nodes.map(({ pid, port }) => ({ pid, port }));
  expect(await cluster.masters()).toHaveLength(1);
  await cluster.stop();
  await cluster.stop();
  for (const { pid, port } of nodes) {
    expect(await isPortFree(port)).toBe(true);
    expect(await isPortFree(port + 10_000)).toBe(true);
    if (pid !== undefined) expect(() => process.kill(pid, 0)).toThrow(/ESRCH/);
  }
});

it('starts nothing if one of its nodes cannot start', async () => {
  await expect(
    startRedisCluster({ name: 'broken', settings: { 'no-such-directive': 1 } }),
  ).rejects.toThrow(/no-such-directive/);
});

it('names every fault of its options at once', async () => {
  const failure = await startRedisCluster({
    masters: 0,
    nodeTimeout: 2000,
    replicaPerMaster: 1,
  } as never).catch((error) => error);
  expect(failure.message).toMatch(/masters: /);
  expect(failure.message).toMatch(/nodeTimeout: 2000 has no unit/);
  expect(failure.message).toMatch(/did you mean 'replicasPerMaster'/);
});
