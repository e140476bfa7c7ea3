import { setTimeout as pause } from 'node:timers/promises';
import type { LimiterOptions } from '@shardline/ratelimit';
import { type RedisServer, startRedis } from '@shardline/testkit';
import { checkBucket, checkBucketIntervals, selectOperations } from '@shardline/testkit/check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { AttackPlan } from './attack-plan.js';
import { Attackers } from './attackers.js';

/** Limits are exact: eight real processes of 64 callers each against one Redis, judged afterwards. */
const PROCESSES = 8;
const CALLERS = 64;
const RUN_MS = process.env['SHARDLINE_TORTURE'] === '1' ? 60_000 : 2000;
const seed = Number(process.env['SHARDLINE_SEED'] ?? Date.now() % 1_000_000);

let redis: RedisServer;
beforeAll(async () => {
  redis = await startRedis({ name: 'attacked' });
});
afterAll(async () => {
  await redis?.stop();
});

function plan(
  policy: { limit: number; window: `${number}ms`; burst: number },
  more: Partial<AttackPlan> = {},
  options: Partial<LimiterOptions> = {},
): Omit<AttackPlan, 'historyPath' | 'process'> {
  return {
    options: {
      redis: redis.url,
      policies: { attacked: policy },
      // On two cores 512 callers queue: what is tested here is exactness, not haste.
      timeout: '20s',
      denialCache: false,
      onRedisDown: 'closed',
      ...options,
    },
    way: 'check',
    subjects: 1,
    callers: CALLERS,
    maxCost: 1,
    seed,
    steppedClock: false,
    pauseMs: 5,
    leaseMs: 1000,
    ...more,
  };
}

async function fresh(): Promise<void> {
  await redis.command('FLUSHALL');
}

describe(`a limit attacked by ${PROCESSES} processes of ${CALLERS} callers (seed ${seed})`, () => {
  test('admits exactly K of a burst on a full bucket', async () => {
    await fresh();
    const policy = { limit: 1, window: '86400000ms', burst: 1000 } as const;
    await using attackers = await Attackers.start(PROCESSES, plan(policy));
    attackers.order({ order: 'go' });
    await attackers.untilMore({ denied: 1000 });
    const history = await attackers.finish();
    const verdict = checkBucket(history, {
      capacity: 1000,
      refillTokens: 1,
      refillIntervalMs: 86_400_000,
    });
    expect(verdict.violations).toEqual([]);
    expect(verdict.counted).toMatchObject({ admitted: 1000, unknown: 0 });
    expect(verdict.counted['denied']).toBeGreaterThanOrEqual(1000);
  });

  test('holds on one key over every interval, while the scripts are flushed again and again', async () => {
    await fresh();
    const policy = { limit: 700, window: '1000ms', burst: 300 } as const;
    await using attackers = await Attackers.start(PROCESSES, plan(policy, { maxCost: 3 }));
    attackers.order({ order: 'go' });
    const until = performance.now() + RUN_MS;
    let flushes = 0;
    while (performance.now() < until) {
      await redis.command('SCRIPT', 'FLUSH');
      flushes += 1;
      await pause(40);
    }
    await attackers.untilMore({ admitted: 300, denied: 300 });
    const history = await attackers.finish();
    const verdict = checkBucket(history, {
      capacity: 300,
      refillTokens: 700,
      refillIntervalMs: 1000,
    });
    expect(verdict.violations).toEqual([]);
    expect(attackers.answers).not.toHaveProperty('closed');
    expect(verdict.counted['unknown']).toBe(0);
    expect(verdict.counted['admitted']).toBeGreaterThan(300);
    expect(verdict.counted['denied']).toBeGreaterThan(300);
    expect(flushes).toBeGreaterThan(10);
  });

  test('holds on many keys, with the denial cache answering', async () => {
    await fresh();
    const policy = { limit: 10, window: '1000ms', burst: 7 } as const;
    await using attackers = await Attackers.start(
      PROCESSES,
      plan(policy, { subjects: 150, maxCost: 4 }, { denialCache: true }),
    );
    attackers.order({ order: 'go' });
    await pause(RUN_MS);
    await attackers.untilMore({ admitted: 1000, denied: 100 });
    const history = await attackers.finish();
    const verdict = checkBucket(history, { capacity: 7, refillTokens: 10, refillIntervalMs: 1000 });
    expect(verdict.violations).toEqual([]);
    expect(verdict.counted).toMatchObject({ subjects: 150, unknown: 0 });
    expect(verdict.counted['admitted']).toBeGreaterThanOrEqual(1000);
    expect(attackers.answers['denial-cache']).toBeGreaterThan(0);
    expect(attackers.answers['allowed-without-time']).toBeUndefined();
  });

  test('a live change from 200 to 500 per second holds at the larger limit throughout', async () => {
    await fresh();
    const policy = { limit: 200, window: '1000ms', burst: 200 } as const;
    await using attackers = await Attackers.start(PROCESSES, plan(policy));
    attackers.order({ order: 'go' });
    await pause(RUN_MS / 2);
    // One after the other, as a release rolls out: old and new limits take turns on one key.
    for (let index = 0; index < PROCESSES; index += 1) {
      attackers.order(
        { order: 'configure', policies: { attacked: { limit: 500, window: '1s', burst: 300 } } },
        index,
      );
      await pause(60);
    }
    await attackers.untilMore({ admitted: 300, denied: 50 });
    const history = await attackers.finish();
    const timed = checkBucketIntervals(history, {
      capacity: 300,
      refillTokens: 500,
      refillIntervalMs: 1000,
    });
    expect(timed.violations).toEqual([]);
    expect(timed.counted['admitted']).toBeGreaterThan(300);
  });

  test('a clock stepped by an hour either way costs at most one capacity per step forward, and freezes nothing', async () => {
    await fresh();
    const policy = { limit: 400, window: '1000ms', burst: 200 } as const;
    await using attackers = await Attackers.start(PROCESSES, plan(policy, { steppedClock: true }));
    attackers.order({ order: 'go' });
    const hourUs = 3_600_000_000;
    for (const offsetUs of [0, -hourUs, 0, hourUs, 0]) {
      await redis.command('SET', 'shardline:test:offset', offsetUs);
      await pause(RUN_MS / 4);
    }
    const steppedBackNs = process.hrtime.bigint();
    await attackers.untilMore({ admitted: 600 });
    const history = await attackers.finish();
    const stepsForward = 2;
    const verdict = checkBucketIntervals(history, {
      capacity: 200 * (1 + stepsForward),
      refillTokens: 400,
      refillIntervalMs: 1000,
    });
    expect(verdict.violations).toEqual([]);
    const late = selectOperations(history, (operation) => operation.invokedNs > steppedBackNs);
    const admittedLate = late.operations.filter((operation) => operation.allowed === true).length;
    expect(admittedLate).toBeGreaterThan(20);
  });

  test('leases admit no more than the bucket alone, though a holder is killed', async () => {
    await fresh();
    const policy = { limit: 1000, window: '1000ms', burst: 400 } as const;
    await using attackers = await Attackers.start(
      PROCESSES,
      plan(policy, { way: 'leased', callers: 16, leaseMs: 400 }),
    );
    attackers.order({ order: 'go' });
    await pause(RUN_MS / 2);
    await attackers.kill(3);
    const killedNs = process.hrtime.bigint();
    await pause(500);
    await attackers.untilMore({ admitted: 400 });
    const history = await attackers.finish();
    const verdict = checkBucketIntervals(history, {
      capacity: 400,
      refillTokens: 1000,
      refillIntervalMs: 1000,
    });
    expect(verdict.violations).toEqual([]);
    expect(verdict.counted['admitted']).toBeGreaterThan(400);
    const after = selectOperations(
      history,
      (operation) => operation.invokedNs > killedNs + 400_000_000n,
    );
    expect(
      after.operations.filter((operation) => operation.allowed === true).length,
    ).toBeGreaterThan(100);
  });
});
