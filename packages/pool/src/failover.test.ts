import { isShardlineError } from '@shardline/core';
import { type PostgresServer, startPostgres } from '@shardline/testkit';
import { describe, expect, test } from 'vitest';
import { ReplicaPool } from './index.js';

/**
 * The primary dies under load and a replica is promoted. No restart of the pool; every call ends by
 * its deadline; no acknowledged write is missing on the new primary (the replica is synchronous);
 * nothing is written to the old one when it comes back.
 */
async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = Date.now() + 60_000;
  while (!(await condition())) {
    if (Date.now() > deadline) throw new Error('The condition was not met in time.');
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

interface Tally {
  readonly acked: number[];
  readonly unknown: number[];
  readonly failed: unknown[];
  lastAckBeforeMs: number;
  firstAckAfterMs: number;
}

interface Cluster extends AsyncDisposable {
  readonly primary: PostgresServer;
  readonly replica: PostgresServer;
  readonly pool: ReplicaPool;
}

async function makeCluster(): Promise<Cluster> {
  const primary = await startPostgres({ name: 'first' });
  const replica = await primary.addReplica({ synchronous: true });
  await primary.query('CREATE TABLE ledger (id int PRIMARY KEY)');
  await primary.waitForReplica(replica);
  const pool = new ReplicaPool({
    primary: { connectionString: primary.url, name: 'first' },
    replicas: [{ connectionString: replica.url, name: 'second' }],
    max: 4,
    acquireTimeout: '20s',
    monitor: { panicInterval: '25ms', interval: '200ms', timeout: '500ms' },
  });
  await pool.ready();
  await until(() => pool.health().nodes.every(({ role }) => role !== 'unknown'));
  return {
    primary,
    replica,
    pool,
    async [Symbol.asyncDispose]() {
      await pool.close({ deadline: '1s' });
      await replica.stop();
      await primary.stop();
    },
  };
}

/** Writes until told to stop; each id is tried once. */
async function write(pool: ReplicaPool, ids: () => number, tally: Tally, hasEnded: () => boolean) {
  while (!hasEnded()) {
    const id = ids();
    try {
      await pool.query('INSERT INTO ledger VALUES ($1)', [id]);
      tally.acked.push(id);
      if (pool.health().primary === 'second') tally.firstAckAfterMs ||= performance.now();
      else tally.lastAckBeforeMs = performance.now();
    } catch (error) {
      if (isShardlineError(error, 'POOL_OUTCOME_UNKNOWN')) tally.unknown.push(id);
      else tally.failed.push(error);
    }
  }
}

async function idsOn(server: PostgresServer): Promise<Set<number>> {
  const { rows } = await server.query<{ id: number }>('SELECT id FROM ledger');
  return new Set(rows.map(({ id }) => id));
}

describe('failover under load', () => {
  test.each(['kill', 'freeze'] as const)(
    '%s of the primary, promotion of the replica',
    async (how) => {
      await using cluster = await makeCluster();
      const { primary, replica, pool } = cluster;
      const tally: Tally = {
        acked: [],
        unknown: [],
        failed: [],
        lastAckBeforeMs: 0,
        firstAckAfterMs: 0,
      };
      let hasEnded = false;
      let last = 0;
      const writers = Array.from({ length: 8 }, () =>
        write(
          pool,
          () => ++last,
          tally,
          () => hasEnded,
        ),
      );
      await until(() => tally.acked.length > 200);
      await primary[how]();
      const promotingAt = performance.now();
      await replica.promote();
      const promotionMs = performance.now() - promotingAt;
      await until(() => tally.firstAckAfterMs > 0);
      const ackedAtSwitch = tally.acked.length;
      await until(() => tally.acked.length > ackedAtSwitch + 200);
      // The old primary comes back and still believes that it is one.
      if (how === 'kill') await primary.restart();
      else await primary.thaw();
      const onOldBefore = await idsOn(primary);
      const ackedBefore = tally.acked.length;
      await until(() => tally.acked.length > ackedBefore + 300);
      hasEnded = true;
      await Promise.all(writers);

      expect(tally.failed.map(String)).toEqual([]);
      const present = await idsOn(replica);
      expect(tally.acked.filter((id) => !present.has(id))).toEqual([]);
      const onOld = await idsOn(primary);
      const lateOnOld = [...onOld].filter((id) => !onOldBefore.has(id) && tally.acked.includes(id));
      expect(lateOnOld).toEqual([]);
      expect(pool.health().primary).toBe('second');
      const gapMs = Math.round(tally.firstAckAfterMs - tally.lastAckBeforeMs);
      process.stderr.write(
        `failover by ${how}: ${gapMs} ms without an acknowledged write, of which ${Math.round(promotionMs)} ms promotion; ` +
          `${tally.acked.length} acknowledged, ${tally.unknown.length} unknown\n`,
      );
    },
  );
});
