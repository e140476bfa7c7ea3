import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  contextOf,
  startTestingShard,
  stopTestingShard,
  type TestingShard,
} from './testing-shards.js';
import { decideThrottle, measureThrottle, type ThrottleMeasures } from './throttle.js';

const quiet: ThrottleMeasures = {
  replica: { shard: 'a', name: 'r1', lagMs: 10 },
  slotBytes: 1000,
  slotBytesLeft: undefined,
  isSlotLost: false,
};
const limits = { replicaLagMs: 10_000, slotBytes: 1_000_000 };
const lagging = (lagMs: number) => ({ ...quiet, replica: { shard: 'a', name: 'r1', lagMs } });

describe('when a move steps back', () => {
  test('nothing holds it back while everything is within its limits', () => {
    expect(decideThrottle(quiet, limits)).toEqual({
      isHeldBack: false,
      mustGiveUp: false,
      cause: undefined,
    });
    expect(decideThrottle({ ...quiet, replica: undefined }, limits).isHeldBack).toBe(false);
  });

  test('a replica that lags holds it back until the lag has halved', () => {
    const decision = decideThrottle(lagging(10_001), limits);
    expect(decision).toMatchObject({ isHeldBack: true, mustGiveUp: false });
    expect(decision.cause).toContain("Replica 'r1' of shard 'a' is 10001 ms behind");
    expect(decideThrottle({ ...lagging(6000), wasHeldBack: true }, limits).isHeldBack).toBe(true);
    expect(decideThrottle({ ...lagging(5000), wasHeldBack: true }, limits).isHeldBack).toBe(false);
    expect(decideThrottle(lagging(6000), limits).isHeldBack).toBe(false);
  });

  test('a slot that holds back too much or is about to be lost ends the move', () => {
    for (const measures of [
      { ...quiet, slotBytes: 1_000_001 },
      { ...quiet, slotBytesLeft: 100 },
    ]) {
      const decision = decideThrottle(measures, limits);
      expect(decision).toMatchObject({ isHeldBack: true, mustGiveUp: true });
      expect(decision.cause).toBeDefined();
    }
    expect(decideThrottle({ ...quiet, slotBytesLeft: 200 }, limits).mustGiveUp).toBe(false);
  });

  test('a slot that is lost already is no reason to give up: the copy begins anew', () => {
    for (const wasHeldBack of [true, false]) {
      const lost = { ...quiet, slotBytes: 1_000_001, isSlotLost: true, wasHeldBack };
      expect(decideThrottle(lost, limits)).toMatchObject({
        isHeldBack: wasHeldBack,
        mustGiveUp: false,
      });
    }
  });

  test('a rate that was asked for is kept and handed on', () => {
    const asked = { ...limits, bytesPerSecond: 500 };
    expect(decideThrottle({ ...quiet, copyBytesPerSecond: 501 }, asked)).toMatchObject({
      isHeldBack: true,
      bytesPerSecond: 500,
    });
    expect(decideThrottle({ ...quiet, copyBytesPerSecond: 500 }, asked).isHeldBack).toBe(false);
  });
});

describe.each([18, 15])('what the throttle sees on PostgreSQL %i', (version) => {
  let a: TestingShard;
  let b: TestingShard;
  beforeAll(async () => {
    const settings = { max_slot_wal_keep_size: '64MB' };
    [a, b] = await Promise.all([
      startTestingShard('a', { version, settings }),
      startTestingShard('b', { version }),
    ]);
  });
  afterAll(async () => {
    await Promise.all([stopTestingShard(a), stopTestingShard(b)]);
  });

  test('without replicas and slots there is nothing to see', async () => {
    expect(await measureThrottle(contextOf(a, b, []), undefined)).toEqual({
      replica: undefined,
      slotBytes: 0,
      slotBytesLeft: undefined,
      isSlotLost: false,
    });
  });

  test('the bytes of the slot, its room and the slowest replica are seen', async () => {
    await a.pool.query(`SELECT pg_create_logical_replication_slot('the_move', 'pgoutput')`);
    await a.pool.query('CREATE TABLE t AS SELECT generate_series(1, 20000) AS n');
    const replica = await b.server.addReplica({ name: 'slow', applyDelay: '500ms' });
    await b.pool.query('CREATE TABLE t AS SELECT 1 AS n');
    let seen = await measureThrottle(contextOf(a, b, []), 'the_move');
    expect(seen.slotBytes).toBeGreaterThan(1_000_000);
    expect(seen.slotBytesLeft).toBeGreaterThan(1_000_000);
    await expect
      .poll(async () => {
        seen = await measureThrottle(contextOf(a, b, []), 'the_move');
        return seen.replica?.lagMs ?? 0;
      })
      .toBeGreaterThan(100);
    expect(seen.replica).toMatchObject({ shard: 'b', name: 'slow' });
    await replica.stop();
    await a.pool.query(`SELECT pg_drop_replication_slot('the_move')`);
  });
});
