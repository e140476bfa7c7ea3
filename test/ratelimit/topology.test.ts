import { setTimeout as pause } from 'node:timers/promises';
import { createLimiter } from '@shardline/ratelimit';
import { startRedisCluster, startRedisSentinel } from '@shardline/testkit';
import { checkBucket, checkBucketIntervals, selectOperations } from '@shardline/testkit/check';
import { describe, expect, test } from 'vitest';
import { Attackers } from './attackers.js';

/** Limits on servers that move: a Cluster whose slots wander, a primary that dies with its replicas behind. */
const seed = Number(process.env['SHARDLINE_SEED'] ?? Date.now() % 1_000_000);

const attack = {
  way: 'check' as const,
  callers: 16,
  maxCost: 2,
  seed,
  steppedClock: false,
  pauseMs: 5,
  leaseMs: 1000,
};

describe(`on a Cluster (seed ${seed})`, () => {
  test('limits are exact while slots move, and what one tick asks is packed by slot', async () => {
    await using cluster = await startRedisCluster({ masters: 3, replicasPerMaster: 0 });
    const subjects = 40;
    await using attackers = await Attackers.start(4, {
      ...attack,
      subjects,
      options: {
        redis: { cluster: cluster.seeds },
        policies: { attacked: { limit: 40, window: '1s', burst: 20 } },
        timeout: '20s',
        denialCache: false,
        onRedisDown: 'closed',
      },
    });
    attackers.order({ order: 'go' });
    let moves = 0;
    for (let index = 0; index < 6; index += 1) {
      const slot = cluster.slotOf(`rl:{victim:${index}}:attacked`);
      const masters = await cluster.masters();
      const owner = await cluster.masterOf(slot);
      const target = masters.find((master) => master !== owner);
      if (target === undefined) throw new Error('there is but one master');
      const move = await cluster.beginSlotMove(slot, target);
      // The slot stays half-moved for a while: its keys are asked for with ASK, or are still here.
      await pause(60);
      await move.finish();
      moves += 1;
      await attackers.untilMore({ admitted: 10, denied: 5 });
    }
    const history = await attackers.finish();
    const verdict = checkBucket(history, {
      capacity: 20,
      refillTokens: 40,
      refillIntervalMs: 1000,
    });
    expect(verdict.violations).toEqual([]);
    expect(moves).toBe(6);
    expect(verdict.counted).toMatchObject({ subjects });
    expect(verdict.counted['admitted']).toBeGreaterThanOrEqual(60);
    expect(verdict.counted['denied']).toBeGreaterThanOrEqual(30);
  });

  test('several limits of one subject are one step, limits of several subjects are reserved and given back', async () => {
    await using cluster = await startRedisCluster({ masters: 3, replicasPerMaster: 0 });
    await using limiter = createLimiter({
      redis: { cluster: cluster.seeds },
      policies: { second: { limit: 5, window: '1h' }, day: { limit: 50, window: '1d' } },
      timeout: '10s',
    });
    await limiter.ready({ deadline: '10s' });
    const subjects = ['a', 'b', 'c', 'd', 'e', 'f'];
    const both = await Promise.all(subjects.map((subject) => limiter.check(subject)));
    expect(both.every(({ allowed, source }) => allowed && source === 'redis')).toBe(true);
    await limiter.check('f', { policy: 'second', cost: 4 });
    const requests = subjects.map((subject) => ({ subject, policy: 'second' }));
    const joint = await limiter.checkAll(requests);
    expect(joint).toMatchObject({ allowed: false, isAtomic: false, policy: 'second' });
    for (const subject of subjects.slice(0, 5)) {
      expect((await limiter.peek(subject, { policy: 'second' })).remaining).toBe(4);
    }
  });
});

describe(`under Sentinels (seed ${seed})`, () => {
  test('a failover whose replicas lag admits no more than the stated bound, and decisions go on', async () => {
    await using group = await startRedisSentinel({ replicas: 2, downAfter: '500ms' });
    const capacity = 300;
    const perSecond = 200;
    await using attackers = await Attackers.start(4, {
      ...attack,
      subjects: 1,
      options: {
        redis: { sentinels: group.sentinelEndpoints, primaryName: group.masterName },
        policies: { attacked: { limit: perSecond, window: '1s', burst: capacity } },
        timeout: '1s',
        denialCache: false,
        onRedisDown: 'closed',
        breaker: { pause: '100ms' },
      },
    });
    const former = await group.primary();
    // The replicas hear nothing of what is admitted from here on.
    const replicas = await group.replicas();
    await Promise.all(replicas.map((replica) => replica.freeze()));
    await former.command('CLIENT', 'KILL', 'TYPE', 'replica');
    const lagBegan = performance.now();
    attackers.order({ order: 'go' });
    await pause(300);
    await attackers.untilMore({ admitted: 200, denied: 1 });
    await former.kill();
    const lagMs = performance.now() - lagBegan;
    await Promise.all(replicas.map((replica) => replica.thaw()));
    await group.waitForFailover(former);
    const failedOverNs = process.hrtime.bigint();
    await attackers.untilMore({ admitted: 350 });
    const history = await attackers.finish();
    // One failover forgets what was admitted during the lag: at most capacity + rate x lag.
    const forgotten = capacity + Math.ceil((perSecond * lagMs) / 1000);
    const verdict = checkBucketIntervals(history, {
      capacity: capacity + forgotten,
      refillTokens: perSecond,
      refillIntervalMs: 1000,
    });
    expect(verdict.violations).toEqual([]);
    const after = selectOperations(history, (operation) => operation.invokedNs > failedOverNs);
    const admittedAfter = after.operations.filter((operation) => operation.allowed === true).length;
    expect(admittedAfter).toBeGreaterThanOrEqual(100);
  });

  test('with waitForReplicas an admission that no replica has is not given', async () => {
    await using group = await startRedisSentinel({ replicas: 1, sentinels: 1, downAfter: '30s' });
    await using limiter = createLimiter({
      redis: { sentinels: group.sentinelEndpoints, primaryName: group.masterName },
      policies: { strict: { limit: 10, window: '1h' } },
      waitForReplicas: { count: 1, timeout: '3s' },
      timeout: '10s',
      onRedisDown: 'closed',
    });
    await limiter.ready();
    // A replica that has just joined may not acknowledge anything yet.
    let joining = 0;
    await expect.poll(() => limiter.check(`joining-${joining++}`)).toMatchObject({ allowed: true });
    expect(await limiter.check('u')).toMatchObject({ allowed: true, remaining: 9 });
    const [replica] = await group.replicas();
    await replica?.freeze();
    expect(await limiter.check('u')).toMatchObject({ allowed: false, degraded: 'closed' });
    await replica?.thaw();
  });
});
