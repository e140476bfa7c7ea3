import { type PostgresServer, startPostgres } from '@shardline/testkit';
import type { Client } from 'pg';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { ReplicaPool } from '../replica-pool.js';
import { probeSql, probeValues, readProbe } from './probe.js';
import { parseLsn } from './wal-position.js';

/**
 * The page-boundary trap on a real server: a record is made to end exactly on the edge of a page. The raw insert
 * position then lies beyond everything that a replica can ever replay while nothing else is written.
 */
describe('a record that ends on the edge of a page', () => {
  let primary: PostgresServer;
  let replica: PostgresServer;

  beforeAll(async () => {
    // Nothing but the test may write: no checkpoints, no snapshots of running transactions, no vacuum.
    primary = await startPostgres({
      name: 'edge',
      settings: { autovacuum: false, checkpoint_timeout: '1h' },
    });
    replica = await primary.addReplica();
  });
  afterAll(async () => {
    await replica?.stop();
    await primary?.stop();
  });

  test('leaves a raw position that no replica reaches, and a settled one that it does', async () => {
    const raw = await primary.withClient((client) => writeUpToAnEdge(client));
    expect(raw % 8192n).toBe(24n);
    const held = readProbe(
      (await primary.query(probeSql, probeValues(undefined))).rows[0] as never,
    );
    // Somebody else wrote in between: then there is no edge to look at, and the test must not pass.
    expect(held.lsn).toBe(raw - 24n);
    await vi.waitFor(
      async () => {
        const shown = readProbe(
          (await replica.query(probeSql, probeValues(undefined))).rows[0] as never,
        );
        expect(shown.lsn).toBe(held.lsn);
      },
      { timeout: 20_000, interval: 50 },
    );
    const { rows } = await replica.query<{ lsn: string }>(
      'SELECT pg_last_wal_replay_lsn()::text AS lsn',
    );
    expect((parseLsn(rows[0]?.lsn ?? '') as bigint) < raw).toBe(true);
  });

  test('leaves a session that replicas serve at once, and without a wait', async () => {
    await using pool = new ReplicaPool({
      primary: { connectionString: primary.url, name: 'primary' },
      replicas: [{ connectionString: replica.url, name: 'replica' }],
      sessions: { replicaWait: '10s' },
    });
    await pool.ready();
    let edges = 0;
    for (let attempt = 0; attempt < 20 && edges < 3; attempt += 1) {
      await primary.withClient((client) => writeUpToAnEdge(client));
      const session = pool.session();
      await session.run(() => pool.query({ text: 'SELECT 1', target: 'primary' }));
      const { position } = await session.position();
      // Somebody else wrote in between: that is no edge.
      if (position === undefined || position.lsn % 8192n !== 0n) continue;
      edges += 1;
      const startedMs = performance.now();
      const { rows } = await session.run(() => pool.query('SELECT pg_is_in_recovery() AS standby'));
      expect(rows).toEqual([{ standby: true }]);
      expect(performance.now() - startedMs).toBeLessThan(5000);
    }
    expect(edges).toBeGreaterThan(0);
  });
});

async function insertLsn(client: Client): Promise<bigint> {
  const { rows } = await client.query('SELECT pg_current_wal_insert_lsn()::text AS lsn');
  return parseLsn(rows[0].lsn) as bigint;
}

/** Emits records until the next would begin right behind the short header of a fresh page. */
async function writeUpToAnEdge(client: Client): Promise<bigint> {
  const emit = (bytes: number) =>
    client.query("SELECT pg_logical_emit_message(false, 'p', repeat('x', $1))", [bytes]);
  for (let attempt = 0; attempt < 50; attempt += 1) {
    // What a record costs beside its payload, as long as it stays within a page.
    let before = await insertLsn(client);
    await emit(400);
    let after = await insertLsn(client);
    const overhead = Number(after - before) - 400;
    before = after;
    const room = 8192 - Number(before % 8192n);
    if (overhead > 200 || room < 600) {
      await emit(600);
      continue;
    }
    await emit(room - overhead);
    after = await insertLsn(client);
    if (after % 8192n === 24n) return after;
  }
  throw new Error('No record ended on the edge of a page in 50 attempts.');
}
