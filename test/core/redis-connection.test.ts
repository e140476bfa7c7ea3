import { openRedis, type RedisConnection } from '@shardline/core/redis';
import {
  type FaultProxy,
  type RedisServer,
  startFaultProxy,
  startRedis,
  startRedisCluster,
  startRedisSentinel,
  waitUntil,
} from '@shardline/testkit';
import { Redis } from 'ioredis';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';

/** What a connection from core promises: it fails fast, repeats nothing, and finds its way back. */

const READY = { timeoutMs: 20_000 };

describe('one Redis', () => {
  let server: RedisServer;
  let proxy: FaultProxy;
  let redis: RedisConnection;

  beforeAll(async () => {
    server = await startRedis();
    proxy = await startFaultProxy(server);
  });
  afterAll(async () => {
    await proxy?.close();
    await server?.stop();
  });
  beforeEach(() => {
    redis = openRedis(
      { url: `redis://127.0.0.1:${proxy.port}`, commandTimeout: '300ms' },
      { name: 'core-test' },
    );
  });
  afterEach(async () => {
    await redis.close();
    await proxy.heal();
  });

  test('is known to the server by its name', async () => {
    await redis.ready(READY);
    expect(await redis.client.client('GETNAME')).toBe('core-test');
  });

  test('a command that gets no answer ends at its deadline', async () => {
    await redis.ready(READY);
    proxy.blackHole('both');
    await expect(redis.client.get('key')).rejects.toThrow('Command timed out');
  });

  test('a command whose connection is cut fails and is never sent again', async () => {
    await redis.ready(READY);
    await redis.client.set('counter', 0);
    // The command arrives, its answer does not: sent again, it would count twice.
    proxy.blackHole('down');
    const cut = redis.client.incr('counter').catch((error: Error) => error);
    await waitUntil(async () => (await server.command('GET', 'counter')) === '1', {
      what: 'the server has counted',
    });
    proxy.reset();
    expect(await cut).toBeInstanceOf(Error);
    await proxy.heal();
    await redis.ready(READY);
    await redis.client.ping();
    expect(await server.command('GET', 'counter')).toBe('1');
  });

  test('without a connection a command fails at once: nothing is queued', async () => {
    await redis.ready(READY);
    await proxy.refuse();
    proxy.reset();
    await waitUntil(() => redis.client.status !== 'ready', { what: 'the loss is noticed' });
    await expect(redis.client.get('key')).rejects.toThrow(/isn't writeable|closed/i);
  });

  test('it comes back by itself once the server does', async () => {
    await redis.ready(READY);
    await server.kill();
    await waitUntil(() => redis.client.status !== 'ready', { what: 'the loss is noticed' });
    expect(redis.lastError?.message ?? 'ECONNREFUSED').toMatch(/ECONN|closed/);
    await server.restart();
    await redis.ready(READY);
    expect(await redis.client.ping()).toBe('PONG');
    expect(redis.lastError).toBeUndefined();
  });

  test('an address where nobody listens is a typed error that says why', async () => {
    await using nobody = openRedis('redis://127.0.0.1:1', { name: 'nobody' });
    await expect(nobody.ready({ timeoutMs: 300 })).rejects.toMatchObject({
      code: 'REDIS_UNREACHABLE',
      retryable: true,
      message: expect.stringContaining('ECONNREFUSED'),
    });
  });

  test('whoever waits may give up', async () => {
    await using nobody = openRedis('redis://127.0.0.1:1', { name: 'nobody' });
    const controller = new AbortController();
    const waiting = expect(
      nobody.ready({ timeoutMs: 20_000, signal: controller.signal }),
    ).rejects.toMatchObject({ code: 'ABORTED' });
    controller.abort();
    await waiting;
  });

  test('after close nothing is left on the server, and ready() says that it is closed', async () => {
    await redis.ready(READY);
    await redis.close();
    await waitUntil(
      async () => {
        const clients = String(await server.command('CLIENT', 'LIST'));
        return !clients.includes('name=core-test');
      },
      { what: 'the server has let go of it' },
    );
    await expect(redis.ready(READY)).rejects.toMatchObject({ code: 'CLOSED' });
  });

  test('close ends in time even if the server does not answer', async () => {
    await redis.ready(READY);
    proxy.blackHole('both');
    await redis.close({ timeoutMs: 50 });
    await waitUntil(() => redis.client.status === 'end', { what: 'the socket to be gone' });
  });

  test('a client that is already there is used and never closed, and keeps no listener of ours', async () => {
    const own = new Redis({ port: server.port, protocol: 2 });
    const before = own.listenerCount('error');
    const connection = openRedis(own, { name: 'ignored' });
    await connection.ready(READY);
    await connection.close();
    expect(connection.isOwned).toBe(false);
    expect(await own.ping()).toBe('PONG');
    expect(own.listenerCount('error')).toBe(before);
    await own.quit();
  });

  test('every fault of the options is named at once', () => {
    const faulty = { url: 'http://x', comandTimeout: '1s', connectTimeout: 5 } as never;
    expect(() => openRedis(faulty, { name: 'faulty' })).toThrow(
      expect.objectContaining({
        code: 'CONFIG_INVALID',
        message: expect.stringMatching(
          /url: must begin with redis:\/\/[\s\S]*connectTimeout: 5 has no unit[\s\S]*comandTimeout: is no option; did you mean 'commandTimeout'/,
        ),
      }),
    );
  });
});

describe('TLS and a password', () => {
  test('a server with its own authority is verified, and one that is not known is refused', async () => {
    await using server = await startRedis({ tls: true, password: 'se/cret' });
    await using known = openRedis(
      { url: server.url, tls: { ca: server.certificate as string, servername: 'localhost' } },
      { name: 'known' },
    );
    await known.ready(READY);
    expect(await known.client.ping()).toBe('PONG');
    await using unknown = openRedis({ url: server.url, tls: true }, { name: 'unknown' });
    await expect(unknown.ready({ timeoutMs: 2000 })).rejects.toMatchObject({
      code: 'REDIS_UNREACHABLE',
      message: expect.stringMatching(/self.signed|certificate/i),
    });
  });
});

describe('Cluster and Sentinel', () => {
  test('a Cluster is learnt from any of its nodes, and keys find their masters', async () => {
    await using cluster = await startRedisCluster();
    const [seed] = cluster.nodes;
    await using redis = openRedis(
      { cluster: [{ host: '127.0.0.1', port: seed?.port as number }] },
      { name: 'cluster' },
    );
    await redis.ready(READY);
    expect(redis.isCluster).toBe(true);
    for (const key of ['a', 'b', 'c', 'd']) await redis.client.set(key, `value ${key}`);
    expect(await Promise.all(['a', 'b', 'c', 'd'].map((key) => redis.client.get(key)))).toEqual([
      'value a',
      'value b',
      'value c',
      'value d',
    ]);
  });

  test('a Cluster that is ready takes commands for each of its masters at once', async () => {
    await using cluster = await startRedisCluster();
    const nodes = cluster.nodes.map(({ port }) => ({ host: '127.0.0.1', port }));
    const keys = Array.from({ length: 60 }, (_, at) => `key ${at}`);
    for (let opened = 0; opened < 40; opened += 1) {
      await using redis = openRedis({ cluster: nodes }, { name: 'cluster' });
      await redis.ready(READY);
      await Promise.all(keys.map((key) => redis.client.get(key)));
    }
  });

  test.each(['kill', 'freeze'] as const)(
    'a Cluster with a master gone by %s is ready for the keys of the others',
    async (fault) => {
      await using cluster = await startRedisCluster({
        replicasPerMaster: 0,
        settings: { 'cluster-require-full-coverage': 'no' },
      });
      const [seed, lost] = cluster.nodes;
      const target = { cluster: [{ host: '127.0.0.1', port: seed?.port as number }] };
      await lost?.[fault]();
      await using redis = openRedis(target, { name: 'cluster' });
      await redis.ready({ timeoutMs: 3000 });
      const answers = await Promise.allSettled(
        Array.from({ length: 60 }, (_, at) => redis.client.get(`key ${at}`)),
      );
      expect(new Set(answers.map(({ status }) => status))).toEqual(
        new Set(['fulfilled', 'rejected']),
      );
    },
  );

  test('after a failover the Sentinels lead to the new primary', async () => {
    await using group = await startRedisSentinel();
    await using redis = openRedis(
      {
        sentinels: group.sentinels.map(({ host, port }) => ({ host, port })),
        primaryName: group.masterName,
      },
      { name: 'sentinel' },
    );
    await redis.ready(READY);
    await redis.client.set('before', '1');
    const old = await group.primary();
    await old.kill();
    const fresh = await group.waitForFailover(old);
    expect(fresh.port).not.toBe(old.port);
    await waitUntil(
      async () => {
        return (await redis.client.set('after', '2').catch(() => undefined)) === 'OK';
      },
      { what: 'writes reach the new primary' },
    );
    expect(await fresh.command('GET', 'after')).toBe('2');
  });
});
