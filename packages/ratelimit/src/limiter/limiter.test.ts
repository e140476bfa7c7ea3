import { isShardlineError, ManualClock } from '@shardline/core';
import { describe, expect, test } from 'vitest';
import { createLimiter, type RateLimiter } from './limiter.js';

function memoryLimiter(options: Partial<Parameters<typeof createLimiter>[0]> = {}) {
  const clock = new ManualClock();
  const limiter = createLimiter({
    memory: true,
    clock,
    policies: { api: { limit: 10, window: '1s' } },
    ...options,
  });
  return { clock, limiter };
}

async function countAllowed(
  limiter: RateLimiter,
  subject: string,
  checks: number,
): Promise<number> {
  const decisions = await Promise.all(Array.from({ length: checks }, () => limiter.check(subject)));
  return decisions.filter((decision) => decision.allowed).length;
}

function codeOf(call: () => unknown): string {
  try {
    call();
  } catch (error) {
    if (isShardlineError(error)) return error.code;
    throw error;
  }
  return 'none';
}

async function rejection(promise: Promise<unknown>): Promise<string> {
  const error = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  return isShardlineError(error) ? error.code : String(error);
}

describe('check', () => {
  test('admits the burst and then one token for each that flows in, and says when to come again', async () => {
    const { clock, limiter } = memoryLimiter();
    expect(await countAllowed(limiter, 'user:1', 25)).toBe(10);
    expect(await limiter.check('user:1')).toMatchObject({
      allowed: false,
      remaining: 0,
      retryAfterMs: 100,
      resetMs: 1000,
      policy: 'api',
      source: 'memory',
    });
    await clock.advance(100);
    expect(await limiter.check('user:1')).toMatchObject({ allowed: true, retryAfterMs: 0 });
    expect((await limiter.check('user:2')).remaining).toBe(9);
  });

  test('serves the four tiers of the first users', async () => {
    const { limiter } = memoryLimiter({
      policies: undefined,
      tiers: {
        premium: { limit: 10_000, window: '1m' },
        standard: { limit: 1000, window: '1m' },
        free: { limit: 100, window: '1m', burst: 20 },
        suspicious: { limit: 10, window: '1m' },
      },
      tierOf: async (subject) => subject.split(':')[0],
    });
    const remaining: Record<string, number> = {};
    for (const tier of ['premium', 'standard', 'free', 'suspicious']) {
      const decision = await limiter.check(`${tier}:1`);
      expect(decision.tier).toBe(tier);
      remaining[tier] = decision.remaining;
    }
    expect(remaining).toEqual({ premium: 9999, standard: 999, free: 19, suspicious: 9 });
    expect(await rejection(limiter.check('gold:1'))).toBe('RATELIMIT_TIER_UNKNOWN');
    expect((await limiter.check('gold:1', { tier: 'free' })).allowed).toBe(true);
  });

  test('a subject that is put into another tier keeps its tokens, and gains none by flipping', async () => {
    let tier = 'premium';
    const { limiter } = memoryLimiter({
      policies: undefined,
      tiers: { premium: { limit: 100, window: '1h' }, free: { limit: 10, window: '1h' } },
      tierOf: () => tier,
    });
    await limiter.check('u', { cost: 95 });
    tier = 'free';
    expect((await limiter.peek('u', { cost: 1 })).remaining).toBe(5);
    tier = 'premium';
    expect((await limiter.peek('u')).remaining).toBe(5);
  });

  test('several policies are decided at once: a denial by one charges none', async () => {
    const { limiter } = memoryLimiter({
      policies: { second: { limit: 5, window: '1s' }, day: { limit: 100, window: '1d' } },
    });
    expect(await countAllowed(limiter, 'u', 50)).toBe(5);
    const decision = await limiter.peek('u', { policy: 'day' });
    expect(decision.remaining).toBe(95);
    expect(await limiter.check('u')).toMatchObject({ allowed: false, policy: 'second' });
  });

  test('a policy in shadow denies nothing and is charged as if it did', async () => {
    const { limiter } = memoryLimiter({
      policies: {
        api: { limit: 10, window: '1h' },
        trial: { limit: 3, window: '1h', shadow: true },
      },
    });
    const decisions = [];
    for (let index = 0; index < 5; index += 1) decisions.push(await limiter.check('u'));
    expect(decisions.map((decision) => decision.allowed)).toEqual([true, true, true, true, true]);
    expect(decisions.map((decision) => decision.shadowDenied)).toEqual([
      false,
      false,
      false,
      true,
      true,
    ]);
    expect(decisions[4]).toMatchObject({ policy: 'api', remaining: 5 });
  });

  test('a sliding window admits the limit per rolling window', async () => {
    const clock = new ManualClock();
    const limiter = createLimiter({
      memory: true,
      clock,
      policies: { login: { limit: 5, window: '1m', algorithm: 'sliding-window' } },
    });
    await clock.advance(60_000 - (clock.monotonicMs() % 60_000));
    expect(await countAllowed(limiter, 'u', 9)).toBe(5);
    const denied = await limiter.check('u');
    await clock.advance(denied.retryAfterMs - 1);
    expect((await limiter.check('u')).allowed).toBe(false);
    await clock.advance(1);
    expect((await limiter.check('u')).allowed).toBe(true);
  });

  test('gives up when its caller does', async () => {
    const { limiter } = memoryLimiter({
      tierOf: () => new Promise(() => {}),
      policies: undefined,
      tiers: { a: { limit: 1, window: '1s' } },
    });
    const controller = new AbortController();
    const waiting = limiter.check('u', { signal: controller.signal });
    controller.abort();
    expect(await rejection(waiting)).toBe('ABORTED');
  });
});

describe('take, refund, penalize, block, reset', () => {
  test('take grants what is left', async () => {
    const { limiter } = memoryLimiter();
    expect(await limiter.take('u', { cost: 7 })).toMatchObject({ allowed: true, granted: 7 });
    expect(await limiter.take('u', { cost: 7 })).toMatchObject({ allowed: true, granted: 3 });
    expect(await limiter.take('u', { cost: 7 })).toMatchObject({ allowed: false, granted: 0 });
  });

  test('refund gives back, and never more than the bucket holds', async () => {
    const { limiter } = memoryLimiter();
    await limiter.check('u', { cost: 10 });
    await limiter.refund('u', 4);
    expect((await limiter.peek('u')).remaining).toBe(4);
    await limiter.refund('u', 1_000_000_000);
    expect((await limiter.peek('u')).remaining).toBe(10);
  });

  test('a penalty is a debt that flows in first, of one capacity at most', async () => {
    const { clock, limiter } = memoryLimiter();
    await limiter.penalize('u', 9_000_000);
    expect(await limiter.check('u')).toMatchObject({ allowed: false, retryAfterMs: 1100 });
    await clock.advance(1100);
    expect((await limiter.check('u')).allowed).toBe(true);
  });

  test('a block admits nothing until it ends, and reset lifts it', async () => {
    const { clock, limiter } = memoryLimiter();
    await limiter.block('u', '1h');
    expect(await limiter.check('u')).toMatchObject({ allowed: false, retryAfterMs: 3_600_000 });
    await clock.advance(3_600_000);
    expect((await limiter.check('u')).allowed).toBe(true);
    await limiter.block('u', '1h');
    await limiter.reset('u');
    expect((await limiter.check('u')).remaining).toBe(9);
    await limiter.block('u', '1h');
    await limiter.block('u', '0ms');
    expect((await limiter.check('u')).allowed).toBe(true);
  });

  test('peek changes nothing', async () => {
    const { limiter } = memoryLimiter();
    for (let index = 0; index < 50; index += 1) await limiter.peek('u');
    expect((await limiter.check('u')).remaining).toBe(9);
  });
});

describe('configure', () => {
  test.each([
    ['keep', 40],
    ['proportional', 100],
    ['additive', 140],
    ['reset', 200],
  ] as const)(
    'a raise from 100 to 200 with inheritance %s leaves %d of 40',
    async (inheritance, expected) => {
      const { limiter } = memoryLimiter({ policies: { api: { limit: 100, window: '1h' } } });
      await limiter.check('u', { cost: 60 });
      const scale = inheritance === 'proportional' ? 10 : 0;
      if (scale > 0) await limiter.refund('u', scale);
      limiter.configure({ policies: { api: { limit: 200, window: '1h', inheritance } } });
      expect((await limiter.peek('u')).remaining).toBe(expected);
    },
  );

  test('a fault leaves the old limits in force', async () => {
    const { limiter } = memoryLimiter();
    expect(codeOf(() => limiter.configure({ policies: { api: { limit: 0, window: '1s' } } }))).toBe(
      'CONFIG_INVALID',
    );
    expect((await limiter.check('u')).remaining).toBe(9);
  });
});

describe('checkAll', () => {
  test('all subjects admit, or nothing is charged', async () => {
    const { limiter } = memoryLimiter();
    await limiter.check('tenant', { cost: 9 });
    expect(await limiter.checkAll([{ subject: 'user' }, { subject: 'tenant' }])).toMatchObject({
      allowed: true,
      isAtomic: true,
    });
    expect((await limiter.checkAll([{ subject: 'user' }, { subject: 'tenant' }])).allowed).toBe(
      false,
    );
    expect((await limiter.peek('user')).remaining).toBe(9);
  });

  test('one subject named twice pays twice', async () => {
    const { limiter } = memoryLimiter();
    await limiter.checkAll([
      { subject: 'u', cost: 3 },
      { subject: 'u', cost: 4 },
    ]);
    expect((await limiter.peek('u')).remaining).toBe(3);
  });
});

describe('bad input', () => {
  test.each([
    ['an empty subject', '', {}, 'RATELIMIT_SUBJECT_INVALID'],
    ['a megabyte of subject', 'x'.repeat(1_048_576), {}, 'RATELIMIT_SUBJECT_INVALID'],
    ['a negative cost', 'u', { cost: -1 }, 'RATELIMIT_COST_INVALID'],
    ['half a token', 'u', { cost: 0.5 }, 'RATELIMIT_COST_INVALID'],
    ['NaN', 'u', { cost: Number.NaN }, 'RATELIMIT_COST_INVALID'],
    ['a cost that can never pass', 'u', { cost: 11 }, 'RATELIMIT_COST_ABOVE_CAPACITY'],
    ['an unknown policy', 'u', { policy: 'apo' }, 'RATELIMIT_POLICY_UNKNOWN'],
  ])('%s is a typed error and charges nothing', async (_, subject, options, code) => {
    const { limiter } = memoryLimiter();
    expect(await rejection(limiter.check(subject, options))).toBe(code);
    expect((await limiter.check('u')).remaining).toBe(9);
  });

  test('a long subject is counted by its hash, and braces do not mix subjects up', async () => {
    const { limiter } = memoryLimiter();
    const long = 'k'.repeat(5000);
    await limiter.check(long, { cost: 4 });
    expect((await limiter.peek(long)).remaining).toBe(6);
    for (const subject of ['a}b', 'a', 'a%7Db', '{}', '}x']) await limiter.check(subject);
    for (const subject of ['a}b', 'a', 'a%7Db', '{}', '}x']) {
      expect((await limiter.peek(subject)).remaining).toBe(9);
    }
  });

  test('names every fault of the options at once, with the nearest right names', () => {
    let message = '';
    try {
      createLimiter({
        memory: true,
        tierof: () => 'a',
        timeout: 100,
        policies: {
          a: { limit: 0, window: '1s' },
          b: { limit: 1.5, window: '1s' },
          c: { limit: 5, window: 60 },
          d: { limit: 5, windw: '1s' },
          e: { limit: 7, window: '365d', burst: 1_000_000 },
          f: { tiers: {} },
          'g h': { limit: 1, window: '1s' },
          i: { limit: 5, window: '1s', burst: 9, algorithm: 'sliding-window' },
        },
      } as never);
    } catch (error) {
      message = (error as Error).message;
    }
    expect(message).toMatch(/tierof: is no option; did you mean 'tierOf'/);
    expect(message).toMatch(/timeout: 100 has no unit/);
    expect(message).toMatch(/policies\.a\.limit: must be a whole number of 1 or more, received 0/);
    expect(message).toMatch(/policies\.b\.limit: .*received 1\.5.*longer window/);
    expect(message).toMatch(/policies\.c\.window: 60 has no unit/);
    expect(message).toMatch(/policies\.d\.windw: is no option; did you mean 'window'/);
    expect(message).toMatch(/policies\.e: .*cannot be counted exactly/);
    expect(message).toMatch(/policies\.f\.tiers: must name at least one tier/);
    expect(message).toMatch(/policies\.g h: names are 1 to 64/);
    expect(message).toMatch(/policies\.i: a sliding window has no burst of its own/);
  });

  test('neither Redis nor memory, both, or no policy are faults', () => {
    const policies = { a: { limit: 1, window: '1s' } } as const;
    expect(codeOf(() => createLimiter({ policies }))).toBe('CONFIG_INVALID');
    expect(
      codeOf(() => createLimiter({ policies, memory: true, redis: 'redis://127.0.0.1:1' })),
    ).toBe('CONFIG_INVALID');
    expect(codeOf(() => createLimiter({ memory: true }))).toBe('CONFIG_INVALID');
    expect(
      codeOf(() =>
        createLimiter({ memory: true, tiers: { a: { limit: 1, window: '1s' } }, defaultTier: 'b' }),
      ),
    ).toBe('CONFIG_INVALID');
  });

  test('a closed limiter says so', async () => {
    const { limiter } = memoryLimiter();
    await limiter.close();
    expect(await rejection(limiter.check('u'))).toBe('CLOSED');
  });
});

describe('memory', () => {
  test('stays within its bound, and gives up buckets that are full again first', async () => {
    const clock = new ManualClock();
    const limiter = createLimiter({
      memory: { maxKeys: 100 },
      clock,
      policies: { api: { limit: 10, window: '1s' } },
    });
    for (let index = 0; index < 60; index += 1) await limiter.check(`idle:${index}`);
    await clock.advance(500);
    await limiter.check('busy', { cost: 10 });
    for (let index = 0; index < 90; index += 1) await limiter.check(`late:${index}`);
    expect((await limiter.check('busy')).allowed).toBe(false);
  });
});

describe('topDenied', () => {
  test('names those who are denied most', async () => {
    const { limiter } = memoryLimiter();
    await countAllowed(limiter, 'loud', 40);
    await countAllowed(limiter, 'less', 15);
    expect(limiter.topDenied(1)).toEqual([{ subject: 'loud', denials: 30, excess: 0 }]);
  });
});
