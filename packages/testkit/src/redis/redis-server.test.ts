import { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { isPortFree } from '../server/port-probe.js';
import { waitUntil } from '../server/wait-until.js';
import { type RedisServer, startRedis } from './redis-server.js';

describe('a Redis', () => {
  let redis: RedisServer;

  beforeAll(async () => {
    redis = await startRedis({
      maxMemory: '32mb',
      maxMemoryPolicy: 'allkeys-lru',
      notifyKeyspaceEvents: 'Ex',
      settings: { 'slowlog-max-len': 7 },
    });
  });
  afterAll(async () => redis?.stop());

  it('answers at its URL, on the loopback', async () => {
    expect(redis.url).toBe(`redis://127.0.0.1:${redis.port}`);
    const client = new Redis(redis.url, { protocol: 2 });
    expect(await client.set('greeting', 'hello')).toBe('OK');
    expect(await client.get('greeting')).toBe('hello');
    await client.quit();
    expect((await redis.info('server')).get('redis_version')).toMatch(/^\d+\.\d+/);
  });

  it('is set up as asked', async () => {
    expect(await redis.command('CONFIG', 'GET', 'maxmemory')).toEqual(['maxmemory', '33554432']);
    expect(await redis.command('CONFIG', 'GET', 'maxmemory-policy')).toContain('allkeys-lru');
    expect(await redis.command('CONFIG', 'GET', 'notify-keyspace-events')).toContain('xE');
    expect(await redis.command('CONFIG', 'GET', 'slowlog-max-len')).toContain('7');
    expect(await redis.command('CONFIG', 'GET', 'bind')).toContain('127.0.0.1');
  });

  it('lets tests use DEBUG', async () => {
    expect(await redis.command('DEBUG', 'SET-ACTIVE-EXPIRE', 1)).toBe('OK');
  });

  it('gives binary answers as Buffers', async () => {
    const value = Buffer.from([0, 255, 128]);
    await redis.command('SET', 'bytes', value);
    expect(await redis.commandBuffer('GET', 'bytes')).toEqual(value);
  });

  it('leaves no connection of a command behind', async () => {
    await redis.command('PING');
    await waitUntil(
      async () => {
        const clients = String(await redis.command('CLIENT', 'LIST'));
        return clients.trim().split('\n').length === 1; // the one that asks
      },
      { what: 'earlier connections to be gone' },
    );
  });

  it('tells what the server said when a command is wrong', async () => {
    await expect(redis.command('NO-SUCH')).rejects.toThrow(/unknown command/);
  });

  it('does not answer while it is frozen, and does after thaw()', async () => {
    await redis.freeze();
    expect(redis.state).toBe('frozen');
    let hasAnswered = false;
    const answer = redis.command('PING').then((pong) => {
      hasAnswered = true;
      return pong;
    });
    await new Promise((resolve) => setTimeout(resolve, 200));
    expect(hasAnswered).toBe(false);
    await redis.thaw();
    expect(await answer).toBe('PONG');
  });

  it('forgets everything on a restart, after a kill too', async () => {
    await redis.command('SET', 'gone', '1');
    await redis.restart();
    expect(await redis.command('GET', 'gone')).toBeNull();
    await redis.kill();
    expect(redis.state).toBe('down');
    await expect(redis.command('PING')).rejects.toThrow();
    await redis.restart();
    expect(await redis.command('PING')).toBe('PONG');
  });
});

it('keeps acknowledged writes over a kill where persistence is on', async () => {
  await using redis = await startRedis({ name: 'durable', persistence: true });
  await redis.command('SET', 'kept', 'yes');
  await redis.kill();
  await redis.restart();
  expect(await redis.command('GET', 'kept')).toBe('yes');
});

it('asks for a password and knows further users', async () => {
  await using redis = await startRedis({
    name: 'closed',
    password: 'p@ss "word\\',
    users: { reader: 'on >secret ~app:* +get' },
  });
  const client = new Redis(redis.url, { protocol: 2 });
  expect(await client.set('app:1', 'x')).toBe('OK');
  await client.quit();
  const reader = new Redis({
    host: redis.host,
    port: redis.port,
    username: 'reader',
    password: 'secret',
    protocol: 2,
    enableReadyCheck: false,
  });
  expect(await reader.get('app:1')).toBe('x');
  await expect(reader.set('app:1', 'y')).rejects.toThrow(/NOPERM/);
  reader.disconnect();
});

it('speaks TLS with a certificate that a client can check', async () => {
  await using redis = await startRedis({ name: 'secure', tls: true });
  expect(redis.url).toBe(`rediss://127.0.0.1:${redis.port}`);
  expect(await redis.command('PING')).toBe('PONG');
  const ca = redis.certificate as string;
  const client = new Redis(redis.url, { tls: { ca }, protocol: 2 });
  expect(await client.ping()).toBe('PONG');
  await client.quit();
});

it('leaves nothing behind', async () => {
  const redis = await startRedis({ name: 'short-lived' });
  const { pid, port } = redis;
  await redis.stop();
  await redis.stop();
  expect(redis.state).toBe('removed');
  if (pid !== undefined) expect(() => process.kill(pid, 0)).toThrow(/ESRCH/);
  expect(await isPortFree(port)).toBe(true);
  expect(await redis.logs()).toMatch(/Ready to accept connections/);
});

it('says why it could not start, with what the server logged', async () => {
  await expect(startRedis({ settings: { 'no-such-directive': 'x' } })).rejects.toThrow(
    /no-such-directive/,
  );
});

it('names every fault of its options at once', async () => {
  const options = { maxMemory: 'lots', maxMemoryPolicy: 'best', persistance: true };
  const failure = await startRedis(options as never).catch((error) => error);
  expect(failure.message).toMatch(/maxMemory: /);
  expect(failure.message).toMatch(/maxMemoryPolicy: /);
  expect(failure.message).toMatch(/did you mean 'persistence'/);
});

it('does not let a value smuggle in a directive', async () => {
  await expect(startRedis({ settings: { save: '""\nport 1' } })).rejects.toThrow(/one line/);
});
