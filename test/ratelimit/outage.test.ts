import { isShardlineError } from '@shardline/core';
import type { LimiterOptions } from '@shardline/ratelimit';
import { createLimiter, type RateLimiter } from '@shardline/ratelimit';
import { type FaultProxy, type RedisServer, startFaultProxy, startRedis } from '@shardline/testkit';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

/** A Redis that is away, slow, read-only or forgetful: each costs its declared fallback, in time. */
const TIMEOUT_MS = 150;
/** How late an answer may be on a machine that others use too. */
const PATIENCE_MS = 2000;

let redis: RedisServer;
let proxy: FaultProxy;
beforeAll(async () => {
  redis = await startRedis({ name: 'outage' });
  proxy = await startFaultProxy({ host: '127.0.0.1', port: redis.port });
});
afterAll(async () => {
  await proxy?.close();
  await redis?.stop();
});

function limiterTo(options: Partial<LimiterOptions> = {}): RateLimiter {
  return createLimiter({
    redis: { url: `redis://127.0.0.1:${proxy.port}`, connectTimeout: '500ms' },
    policies: { api: { limit: 40, window: '1h' } },
    timeout: `${TIMEOUT_MS}ms`,
    breaker: { consecutiveFailures: 3, pause: '100ms' },
    instances: { heartbeat: '200ms' },
    prefix: `t${Math.random().toString(36).slice(2)}:`,
    ...options,
  });
}

async function until(what: string, condition: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = performance.now() + 20_000;
  while (!(await condition())) {
    if (performance.now() > deadline) throw new Error(`waited in vain for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

async function timed<T>(work: Promise<T>): Promise<{ result: T; tookMs: number }> {
  const begun = performance.now();
  return { result: await work, tookMs: performance.now() - begun };
}

describe('a Redis that is swallowed by the network', () => {
  test('every check ends by its timeout, and at once when the breaker is open', async () => {
    await using limiter = limiterTo({ onRedisDown: 'closed', denialCache: false });
    await limiter.ready();
    expect((await limiter.check('u')).source).toBe('redis');
    proxy.blackHole('both');
    try {
      const first = await timed(Promise.all(Array.from({ length: 200 }, () => limiter.check('u'))));
      expect(first.tookMs).toBeLessThan(TIMEOUT_MS + PATIENCE_MS);
      for (const decision of first.result) {
        expect(decision).toMatchObject({ allowed: false, degraded: 'closed', source: 'fallback' });
        expect(decision.retryAfterMs).toBeGreaterThan(0);
      }
      while (limiter.health().breaker === 'closed') await limiter.check('u');
      const many = await timed(
        (async () => {
          for (let index = 0; index < 1000; index += 1) await limiter.check('u');
        })(),
      );
      // A probe may wait for its timeout now and then; a thousand waits would take minutes.
      expect(many.tookMs).toBeLessThan(20 * TIMEOUT_MS + PATIENCE_MS);
    } finally {
      proxy.heal();
    }
    await until('Redis to decide again', async () => (await limiter.check('u')).source === 'redis');
    expect(limiter.health()).toMatchObject({ isReady: true, breaker: 'closed' });
  });

  test('open admits, closed denies, and both say that they are degraded', async () => {
    await using open = limiterTo({ onRedisDown: 'open' });
    await using closed = limiterTo({ onRedisDown: 'closed' });
    await Promise.all([open.ready(), closed.ready()]);
    await redis.freeze();
    try {
      const admitted = await Promise.all(Array.from({ length: 100 }, () => open.check('u')));
      expect(admitted.every(({ allowed, degraded }) => allowed && degraded === 'open')).toBe(true);
      expect(await closed.check('u')).toMatchObject({ allowed: false, degraded: 'closed' });
      const changed = await closed.refund('u', 1).catch((error: unknown) => error);
      expect(
        isShardlineError(changed, 'RATELIMIT_OUTCOME_UNKNOWN') ||
          isShardlineError(changed, 'RATELIMIT_UNAVAILABLE'),
      ).toBe(true);
    } finally {
      await redis.thaw();
    }
  });

  test('local admits the share of one of n processes, and charges it when Redis is back', async () => {
    const prefix = `shared${Date.now()}:`;
    const options = { onRedisDown: 'local', prefix, denialCache: false } as const;
    const limiters = Array.from({ length: 4 }, () => limiterTo(options));
    try {
      await Promise.all(limiters.map((limiter) => limiter.ready()));
      await until('all four to know of each other', () =>
        limiters.every((limiter) => limiter.health().liveInstances === 4),
      );
      proxy.blackHole('both');
      let admitted = 0;
      for (const limiter of limiters) {
        for (let index = 0; index < 60; index += 1) {
          const decision = await limiter.check('u');
          expect(decision.degraded).toBe('local');
          if (decision.allowed) admitted += 1;
        }
      }
      // The stated bound: max(burst, n) + rate x time, and the rate here is 40 an hour.
      expect(admitted).toBe(40);
      proxy.heal();
      for (const limiter of limiters) {
        await until(
          'Redis to decide again',
          async () => (await limiter.peek('u')).source === 'redis',
        );
        await until('debts to be charged', () => limiter.health().localDebts === 0);
      }
      await until('the charges to arrive', async () => {
        const { remaining, allowed } = await (limiters[0] as RateLimiter).peek('u');
        return !allowed && remaining === 0;
      });
    } finally {
      proxy.heal();
      await Promise.all(limiters.map((limiter) => limiter.close()));
    }
  }, 120_000);

  test('connections that are reset, and answers cut in half, end as fallbacks too', async () => {
    await using limiter = limiterTo({
      onRedisDown: 'open',
      breaker: { consecutiveFailures: 1000 },
    });
    await limiter.ready();
    let degraded = 0;
    for (let round = 0; round < 10; round += 1) {
      if (round % 2 === 0) proxy.reset();
      else proxy.cutAfter(3, { direction: 'down' });
      const { result, tookMs } = await timed(
        Promise.all(Array.from({ length: 20 }, () => limiter.check('u', { cost: 0 }))),
      );
      expect(tookMs).toBeLessThan(TIMEOUT_MS + PATIENCE_MS);
      degraded += result.filter((decision) => decision.degraded !== undefined).length;
      proxy.heal();
      await until(
        'a connection',
        async () => (await limiter.check('u', { cost: 0 })).degraded === undefined,
      );
    }
    expect(degraded).toBeGreaterThan(0);
  });

  test('a bounded number of checks waits; more are answered by the fallback at once', async () => {
    await using limiter = limiterTo({ onRedisDown: 'closed', maxPending: 50, timeout: '1s' });
    await limiter.ready();
    proxy.blackHole('both');
    try {
      const waiting = Array.from({ length: 50 }, () => limiter.check('u'));
      let answered = 0;
      for (const check of waiting) void check.then(() => answered++);
      expect((await limiter.check('u')).degraded).toBe('closed');
      expect(answered).toBe(0);
      await Promise.all(waiting);
    } finally {
      proxy.heal();
    }
  });
});

describe('a Redis that answers strangely', () => {
  test('a first check waits for the first connection rather than fall back', async () => {
    await using limiter = limiterTo({ timeout: '5s' });
    expect((await limiter.check('early')).source).toBe('redis');
  });

  test('a read-only replica decides nothing', async () => {
    const replica = await startRedis({
      name: 'replica',
      settings: { replicaof: `127.0.0.1 ${redis.port}` },
    });
    try {
      await until(
        'the replica to stream',
        async () => (await replica.info('replication')).get('master_link_status') === 'up',
      );
      await using limiter = limiterTo({ redis: replica.url, onRedisDown: 'closed' });
      await limiter.ready();
      for (const cost of [0, 1]) {
        expect(await limiter.check('u', { cost })).toMatchObject({
          allowed: false,
          degraded: 'closed',
        });
      }
    } finally {
      await replica.stop();
    }
  });

  test('SCRIPT FLUSH costs one more round trip and no decision', async () => {
    await using limiter = limiterTo({ denialCache: false });
    await limiter.ready();
    for (let round = 0; round < 5; round += 1) {
      await redis.command('SCRIPT', 'FLUSH');
      expect(await limiter.check('u')).toMatchObject({ source: 'redis', remaining: 39 - round });
    }
    expect(limiter.health().breaker).toBe('closed');
  });

  test('a full Redis that may not evict is a fallback, not a free pass', async () => {
    const full = await startRedis({
      name: 'full',
      maxMemory: '1mb',
      maxMemoryPolicy: 'noeviction',
    });
    try {
      const fill = async () => {
        for (let index = 0; ; index += 1)
          await full.command('SET', `filler:${index}`, 'x'.repeat(10_000));
      };
      await expect(fill()).rejects.toThrow(/OOM/);
      await using limiter = limiterTo({ redis: full.url, onRedisDown: 'closed' });
      await limiter.ready();
      expect(await limiter.check('u')).toMatchObject({ allowed: false, degraded: 'closed' });
    } finally {
      await full.stop();
    }
  });

  test("a client of the user's is used and never closed", async () => {
    const client = new Redis(redis.url);
    try {
      const limiter = limiterTo({ redis: client });
      expect((await limiter.check('u')).source).toBe('redis');
      await limiter.close();
      expect(await client.ping()).toBe('PONG');
    } finally {
      client.disconnect();
    }
  });
});

describe('after close()', () => {
  test('no connection and no instance of the limiter is left on the server', async () => {
    const prefix = `left${Date.now()}:`;
    const limiter = limiterTo({ prefix });
    await limiter.ready();
    await limiter.check('u');
    await until(
      'the instance to be counted',
      async () => (await redis.command('EXISTS', `${prefix}instances`)) === 1,
    );
    await limiter.close();
    expect(await redis.command('EXISTS', `${prefix}instances`)).toBe(0);
    await until(
      'the connection to go',
      async () =>
        !String(await redis.command('CLIENT', 'LIST')).includes('name=shardline:ratelimit'),
    );
  });
});
