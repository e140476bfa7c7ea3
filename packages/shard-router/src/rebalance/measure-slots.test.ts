import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { analyze } from '../placement/analyze.js';
import { measureSlots, rowsUnseen } from './measure-slots.js';
import {
  keysOf,
  keyspace,
  startTestingShard,
  stopTestingShard,
  type TestingShard,
  tableOf,
  topology,
} from './testing-shards.js';

const users = tableOf('users');
const bets = tableOf('bets');

describe.each([18, 15])('measuring slots on PostgreSQL %i', (version) => {
  let a: TestingShard;
  beforeAll(async () => {
    a = await startTestingShard('a', { version });
    await a.pool.query(
      `CREATE TABLE users (user_id bigint PRIMARY KEY, v text);
       CREATE TABLE bets (user_id bigint, at int) PARTITION BY RANGE (at);
       CREATE TABLE bets_1 PARTITION OF bets DEFAULT`,
    );
  });
  afterAll(async () => {
    await stopTestingShard(a);
  });

  test('small tables are counted, and bytes are those of the whole tables', async () => {
    const keys = [...keysOf([0], 30), ...keysOf([5], 10)];
    await a.pool.query(`INSERT INTO users SELECT k, 'v' FROM unnest($1::bigint[]) AS k`, [keys]);
    await a.pool.query('INSERT INTO bets SELECT k, 1 FROM unnest($1::bigint[]) AS k', [keys]);
    const measures = await measureSlots(a.endpoint, keyspace, [users, bets]);
    expect(measures).toMatchObject([
      { slot: 0, rows: 60, rowsError: 0 },
      { slot: 5, rows: 20, rowsError: 0 },
    ]);
    const { rows } = await a.pool.query(
      `SELECT sum(pg_total_relation_size(t))::int AS bytes FROM unnest(ARRAY['users', 'bets_1']::regclass[]) AS t`,
    );
    const bytes = measures.reduce((sum, measure) => sum + measure.bytes, 0);
    expect(Math.round(bytes)).toBe(rows[0].bytes);
    const { shards } = analyze(topology.keyspace('users').owners(), new Map([['a', 1]]), measures);
    expect(shards[0]).toMatchObject({ shard: 'a', rows: 80 });
  });

  test('large tables are sampled, and the truth is within the stated error', async () => {
    await a.pool.query(
      `TRUNCATE users, bets; INSERT INTO users SELECT n, repeat('v', 100) FROM generate_series(1, 60000) AS n`,
    );
    const exact = await measureSlots(a.endpoint, keyspace, [users]);
    const sampled = await measureSlots(a.endpoint, keyspace, [users], { sampleBytes: 2_000_000 });
    expect(sampled.length).toBe(16);
    // Sixteen slots at 95 in 100: with four times the error a wrong bound shows and chance does not.
    for (const [at, { slot, rows, rowsError }] of sampled.entries()) {
      expect(rowsError).toBeGreaterThan(0);
      expect(Math.abs(rows - (exact[at]?.rows ?? 0)), `slot ${slot}`).toBeLessThan(4 * rowsError);
    }
    expect(rowsUnseen(0.1)).toBeCloseTo(30);
  });

  test('heat counts what was written lately, where it is asked for', async () => {
    await a.pool.query('TRUNCATE users');
    await a.pool.query(`INSERT INTO users SELECT k, 'v' FROM unnest($1::bigint[]) AS k`, [
      [...keysOf([1], 5), ...keysOf([2], 5)],
    ]);
    for (let at = 0; at < 30; at += 1) await a.pool.query('SELECT pg_current_xact_id()');
    await a.pool.query(`UPDATE users SET v = 'w' WHERE user_id = ANY($1)`, [keysOf([2], 3)]);
    const measures = await measureSlots(a.endpoint, keyspace, [users], { heatTransactions: 10 });
    expect(measures).toMatchObject([
      { slot: 1, heat: 0 },
      { slot: 2, heat: 3 },
    ]);
    expect((await measureSlots(a.endpoint, keyspace, [users]))[0]).not.toHaveProperty('heat');
  });
});
