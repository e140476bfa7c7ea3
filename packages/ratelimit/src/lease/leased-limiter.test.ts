import { ManualClock } from '@shardline/core';
import { openRedis } from '@shardline/core/redis';
import { type RedisServer, startRedis } from '@shardline/testkit';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createLimiter, type RateLimiter } from '../limiter/limiter.js';

let redis: RedisServer;
beforeAll(async () => {
  redis = await startRedis({ name: 'leases' });
});
afterAll(async () => {
  await redis?.stop();
});

let prefixes = 0;
function limiterOf(
  burst: number,
  window: `${number}h` | `${number}s` = '24h',
  prefix?: string,
): RateLimiter {
  prefixes += 1;
  return createLimiter({
    redis: redis.url,
    prefix: prefix ?? `l${prefixes}:`,
    policies: { api: { limit: burst, window } },
    timeout: '10s',
    onRedisDown: 'closed',
    denialCache: false,
  });
}

async function until(what: string, condition: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = performance.now() + 20_000;
  while (!(await condition())) {
    if (performance.now() > deadline) throw new Error(`waited in vain for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

describe('leased tokens', () => {
  test('several limiters together admit exactly the bucket, to the last token', async () => {
    const limiters = Array.from({ length: 4 }, () => limiterOf(500, '24h', 'together:'));
    try {
      const leased = limiters.map((limiter) => limiter.leased({ duration: '30s' }));
      let admitted = 0;
      // Asked in turns, so that all of them hold tokens when they run out: partial grants, and returns.
      for (let round = 0; round < 200; round += 1) {
        const decisions = await Promise.all(leased.map((each) => each.check('u')));
        admitted += decisions.filter(({ allowed }) => allowed).length;
      }
      // Tokens may be held by one while another is denied; none may be made.
      expect(admitted).toBeLessThanOrEqual(500);
      expect(admitted).toBeGreaterThan(400);
      for (const each of leased) {
        for (let index = 0; index < 300; index += 1)
          if ((await each.check('u')).allowed) admitted += 1;
      }
      expect(admitted).toBe(500);
    } finally {
      await Promise.all(limiters.map((limiter) => limiter.close()));
    }
  });

  test('what is not spent comes back on close, and when it is idle', async () => {
    await using limiter = limiterOf(100);
    const leased = limiter.leased({ duration: '500ms' });
    const bucket = leased.bucket('u');
    await leased.check('u', { cost: 10 });
    for (let index = 0; index < 30; index += 1) await leased.check('u');
    const held = bucket.tokens;
    expect(held).toBeGreaterThan(0);
    await until('idle tokens to come back', async () => (await limiter.peek('u')).remaining === 60);
    await leased.check('u');
    await leased.close();
    expect((await limiter.peek('u')).remaining).toBe(59);
    expect(leased.statistics.tokensSpent + leased.statistics.tokensReturned).toBe(
      leased.statistics.tokensLeased,
    );
  });

  test('leased tokens are out of reach for plain checks until they are returned', async () => {
    await using limiter = limiterOf(10);
    const leased = limiter.leased({ duration: '10s' });
    await leased.check('u', { cost: 4 });
    await until('all that was asked for ahead to be here', async () => {
      const here = leased.bucket('u').tokens;
      return here > 0 && (await limiter.peek('u')).remaining + here === 6;
    });
    expect((await limiter.check('u', { cost: 7 })).allowed).toBe(false);
  });

  test('grants what is left of a cost that several leases pay', async () => {
    await using limiter = limiterOf(10);
    const leased = limiter.leased();
    expect((await leased.check('u', { cost: 7 })).allowed).toBe(true);
    expect((await leased.check('u', { cost: 4 })).allowed).toBe(false);
    expect((await leased.check('u', { cost: 3 })).allowed).toBe(true);
    expect(await leased.check('u')).toMatchObject({ allowed: false, source: 'lease' });
  });

  test('a lease that nobody returns ends by itself, and its room flows in again', async () => {
    await using limiter = limiterOf(100, '1s');
    const part = '[[1,10000,1000000,1000000,100,0],80,2000000,0]';
    const begunMs = performance.now();
    const connection = openRedis(redis.url, { name: 'dead-holder' });
    await connection.ready({ timeoutMs: 5000 });
    const { composeScripts } = await import('../store/scripts.js');
    const key = `l${prefixes}:{u}:api`;
    const args = [part, '1:10000:100', 'dead.1', ''];
    const reply = (await composeScripts().lease.call(connection.client, [key], args)) as number[];
    await connection.close();
    expect(reply[1]).toBe(80);
    // While it lasts the level stays below what is not leased, however long nobody asks.
    while (performance.now() - begunMs < 1300) {
      const { remaining } = await limiter.peek('u');
      if (performance.now() - begunMs < 1900) expect(remaining).toBeLessThanOrEqual(20);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    await until(
      'the lease to end and the bucket to fill',
      async () => (await limiter.peek('u')).remaining === 100,
    );
  });

  test('on a clock of its own, tokens end with the lease', async () => {
    const clock = new ManualClock();
    const limiter = createLimiter({
      memory: true,
      clock,
      policies: { api: { limit: 100, window: '1h' } },
    });
    const leased = limiter.leased({ duration: '1s' });
    await leased.check('u', { cost: 1 });
    const bucket = leased.bucket('u');
    for (let index = 0; index < 20; index += 1) await leased.check('u');
    expect(bucket.tokens).toBeGreaterThan(0);
    await clock.advance(989);
    expect(bucket.tokens).toBe(0);
    await limiter.close();
    expect(clock.pending).toBe(0);
  });

  test('a window cannot be leased from', async () => {
    await using limiter = createLimiter({
      memory: true,
      policies: { login: { limit: 5, window: '1m', algorithm: 'sliding-window' } },
    });
    await expect(limiter.leased().check('u')).rejects.toThrow(
      /sliding window; lease a token bucket/,
    );
  });
});
