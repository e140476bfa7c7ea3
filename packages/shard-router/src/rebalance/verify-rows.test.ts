import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  contextOf,
  keysOf,
  keyspace,
  MOVING,
  resetShards,
  startTestingShard,
  stopTestingShard,
  type TestingShard,
  tableOf,
} from './testing-shards.js';
import { findForeignRows, type VerifyProgress, verifyMove } from './verify-rows.js';

const users = tableOf('users');

/** Without the guard, as the apply worker writes. */
async function plant(shard: TestingShard, sql: string, values: unknown[] = []): Promise<void> {
  const client = await shard.pool.connect();
  try {
    await client.query('SET session_replication_role = replica');
    await client.query(sql, values);
  } finally {
    client.release(true);
  }
}

describe.each([18, 15])('comparing the rows of a move on PostgreSQL %i', (version) => {
  let a: TestingShard;
  let b: TestingShard;
  beforeAll(async () => {
    [a, b] = await Promise.all([
      startTestingShard('a', { version }),
      startTestingShard('b', { version }),
    ]);
  });
  afterAll(async () => {
    await Promise.all([stopTestingShard(a), stopTestingShard(b)]);
  });

  const both = async (sql: string, values: unknown[] = []) => {
    await Promise.all([plant(a, sql, values), plant(b, sql, values)]);
  };
  const reset = async (ddl: string) => {
    await resetShards({ a, b }, ddl, [users]);
  };

  test('equal rows are equal, whatever their types, order, settings and the order of columns', async () => {
    await reset('');
    const columns = [
      'user_id bigint PRIMARY KEY',
      'j json',
      'jb jsonb',
      'x xml',
      'p point',
      'm money',
      'f float8',
      't timestamptz',
      'b bytea',
      'n numeric',
      'a text[]',
      'i interval',
      's text COLLATE "C"',
    ];
    await a.pool.query(`CREATE TABLE users (${columns.join(', ')})`);
    await b.pool.query(
      `CREATE TABLE users (gone int, ${[...columns].reverse().join(', ')}); ALTER TABLE users DROP gone`,
    );
    const keys = keysOf(MOVING, 300);
    const insert = `INSERT INTO users (user_id, j, jb, x, p, m, f, t, b, n, a, i, s)
      SELECT k, '{"a": 1}', '{"a": 1}', '<a/>', '(1,2)', '12.50', k / 3.0, '2026-01-01 00:00+02', '\\x00ff', 1.50,
        ARRAY['a', NULL, 'b'], '1 day 2 hours', NULL FROM unnest($1::bigint[]) AS k`;
    await plant(a, insert, [keys]);
    await b.pool.query(`ALTER DATABASE postgres SET timezone = 'Asia/Tokyo'`);
    await plant(b, insert, [[...keys].reverse()]);
    expect(await verifyMove(contextOf(a, b, [users]))).toEqual({
      slotsCompared: MOVING.length,
      rowsCompared: 300,
      differences: [],
      undecided: [],
    });
  });

  test('each kind of difference is found to its key', async () => {
    await reset('CREATE TABLE users (user_id bigint, n int, v text, PRIMARY KEY (user_id, n))');
    const keys = keysOf(MOVING, 50);
    await both(`INSERT INTO users SELECT k, 1, 'v' FROM unnest($1::bigint[]) AS k`, [keys]);
    const [lost, extra, changed] = [keys[3], keys[7], keys[11]] as [number, number, number];
    await plant(b, 'DELETE FROM users WHERE user_id = $1', [lost]);
    await plant(b, `INSERT INTO users VALUES ($1, 2, 'v')`, [extra]);
    await plant(b, `UPDATE users SET v = 'w' WHERE user_id = $1`, [changed]);
    const { differences } = await verifyMove(contextOf(a, b, [users]));
    const found = differences.map(({ key, on }) => `${key} ${on}`).sort();
    expect(found).toEqual(
      [
        `["${lost}", "1"] source`,
        `["${extra}", "2"] destination`,
        `["${changed}", "1"] both`,
      ].sort(),
    );
  });

  test('differences in a large slot are narrowed down', async () => {
    await reset('CREATE TABLE users (user_id bigint, n int, v text, PRIMARY KEY (user_id, n))');
    const [key] = keysOf(MOVING, 1);
    await both(`INSERT INTO users SELECT $1, n, 'v' FROM generate_series(1, 20000) AS n`, [key]);
    await plant(b, `UPDATE users SET v = 'w' WHERE n IN (5, 17000)`);
    const { differences, rowsCompared } = await verifyMove(contextOf(a, b, [users]));
    expect(rowsCompared).toBe(20000);
    expect(differences.map((difference) => difference.key).sort()).toEqual([
      `["${key}", "17000"]`,
      `["${key}", "5"]`,
    ]);
  });

  test('a table without a primary key is compared with its duplicates', async () => {
    await reset('CREATE TABLE users (user_id bigint NOT NULL, v text)');
    const [key] = keysOf(MOVING, 1);
    await both(`INSERT INTO users VALUES ($1, 'v'), ($1, 'v')`, [key]);
    expect((await verifyMove(contextOf(a, b, [users]))).differences).toEqual([]);
    await plant(b, `INSERT INTO users VALUES ($1, 'v')`, [key]);
    expect((await verifyMove(contextOf(a, b, [users]))).differences).toMatchObject([
      { on: 'both', slot: keyspace.slotOf(key as number) },
    ]);
  });

  test('it can be ended at a chunk and taken up there', async () => {
    await reset('CREATE TABLE users (user_id bigint PRIMARY KEY, v text)');
    await both(`INSERT INTO users SELECT k, 'v' FROM unnest($1::bigint[]) AS k`, [
      keysOf(MOVING, 80),
    ]);
    const ending = new AbortController();
    let last: VerifyProgress | undefined;
    await expect(
      verifyMove(contextOf(a, b, [users]), {
        chunkSlots: 1,
        signal: ending.signal,
        onChunk: (progress) => {
          last = progress;
          if (progress.slotsCompared === 2) ending.abort();
        },
      }),
    ).rejects.toMatchObject({ code: 'ABORTED' });
    const { rowsCompared } = await verifyMove(contextOf(a, b, [users]), {
      resumeFrom: last?.slotsCompared as number,
    });
    expect((last?.rowsCompared ?? 0) + rowsCompared).toBe(80);
  });

  test('rows under way are no difference; one that never arrives is', async () => {
    await reset('CREATE TABLE users (user_id bigint PRIMARY KEY, v text)');
    const keys = keysOf(MOVING, 40);
    const [late, lost, hot] = keys as [number, number, number];
    await both(`INSERT INTO users SELECT k, 'v' FROM unnest($1::bigint[]) AS k`, [keys]);
    await plant(a, `UPDATE users SET v = 'w' WHERE user_id = ANY($1)`, [[late, lost]]);
    let writes = 0;
    const outcome = await verifyMove(contextOf(a, b, [users]), {
      settle: async () => {
        await plant(b, `UPDATE users SET v = 'w' WHERE user_id = $1`, [late]);
        // Written between every two looks, and missing at the destination at each of them.
        if (writes === 0) await plant(b, 'DELETE FROM users WHERE user_id = $1', [hot]);
        writes += 1;
        await plant(a, 'UPDATE users SET v = $2 WHERE user_id = $1', [hot, `v${writes}`]);
      },
    });
    const found = outcome.differences.map(({ key, on }) => `${key} ${on}`).sort();
    expect(found).toEqual([`${hot} source`, `${lost} both`].sort());
    await plant(a, `UPDATE users SET v = 'z' WHERE user_id = $1`, [lost]);
    const again = await verifyMove(contextOf(a, b, [users]), {
      settle: async () => {
        writes += 1;
        await plant(a, 'UPDATE users SET v = $2 WHERE user_id = $1', [hot, `v${writes}`]);
        await plant(a, 'UPDATE users SET v = $2 WHERE user_id = $1', [lost, `v${writes}`]);
      },
    });
    expect(again.differences).toMatchObject([{ key: String(hot), on: 'source' }]);
    expect(again.undecided).toMatchObject([{ key: String(lost) }]);
  });

  test('rows of slots that a shard does not own are found by table and slot', async () => {
    await reset('CREATE TABLE users (user_id bigint PRIMARY KEY, v text)');
    const [stray] = keysOf([9], 1) as [number];
    await plant(a, `INSERT INTO users VALUES ($1, 'v'), ($2, 'v')`, [stray, keysOf([0], 1)[0]]);
    const owned = [0, 1, 2, 3, 4, 5, 6, 7];
    expect(await findForeignRows(a.endpoint, keyspace, [users], owned)).toEqual([
      { shard: 'a', table: 'public.users', slot: 9, rows: 1 },
    ]);
    expect(await findForeignRows(b.endpoint, keyspace, [users], [])).toEqual([]);
  });
});
