import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { seedReferenceTables } from './reference-seed.js';
import { startTestingShard, stopTestingShard, type TestingShard } from './testing-shards.js';

const countries = [{ schema: 'public', name: 'countries' }];
const DDL = `CREATE TABLE countries (
  code text PRIMARY KEY, id serial, name text, facts json, area float8, since interval, raw bytea,
  upper text GENERATED ALWAYS AS (upper(code)) STORED)`;

describe.each([18, 15])('seeding reference tables on PostgreSQL %i', (version) => {
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
  beforeEach(async () => {
    for (const { pool } of [a, b]) {
      await pool.query(`DROP TABLE IF EXISTS bets, countries; ${DDL}`);
    }
  });

  const rowsOf = async ({ pool }: TestingShard) =>
    (await pool.query('SELECT t::text AS row FROM countries AS t ORDER BY code')).rows;

  test('rows arrive exactly, a second time nothing is written, and what differs is mended', async () => {
    await a.pool.query(
      `INSERT INTO countries (code, name, facts, area, since, raw)
       SELECT 'c' || n, CASE WHEN n % 7 > 0 THEN 'naïve "' || n END, '{"a": 1}', 1 / 3.0 * n,
         '1 year 2 days 03:04:05.6', '\\x00ff' FROM generate_series(1, 2500) AS n`,
    );
    expect(await seedReferenceTables(a.endpoint, b.endpoint, countries)).toEqual([
      { table: 'public.countries', rows: 2500, changed: 2500 },
    ]);
    expect(await rowsOf(b)).toEqual(await rowsOf(a));
    const again = await seedReferenceTables(a.endpoint, b.endpoint, countries);
    expect(again).toMatchObject([{ changed: 0 }]);
    await b.pool.query(
      `DELETE FROM countries WHERE code = 'c5'; UPDATE countries SET facts = '{}' WHERE code = 'c6';
       INSERT INTO countries (code) VALUES ('zz')`,
    );
    const mended = await seedReferenceTables(a.endpoint, b.endpoint, countries);
    expect(mended).toMatchObject([{ changed: 3 }]);
    expect(await rowsOf(b)).toEqual(await rowsOf(a));
    const next = await Promise.all(
      [a, b].map(({ pool }) =>
        pool.query(`INSERT INTO countries (code) VALUES ('new') RETURNING id`),
      ),
    );
    expect(next[1]?.rows).toEqual(next[0]?.rows);
  });

  test('rows that others refer to are changed and not replaced', async () => {
    await b.pool.query(
      `INSERT INTO countries (code, name) VALUES ('de', 'old');
       CREATE TABLE bets (code text REFERENCES countries ON DELETE CASCADE); INSERT INTO bets VALUES ('de')`,
    );
    await a.pool.query(`INSERT INTO countries (code, name) VALUES ('de', 'new')`);
    await seedReferenceTables(a.endpoint, b.endpoint, countries);
    const { rows } = await b.pool.query('SELECT name FROM countries JOIN bets USING (code)');
    expect(rows).toEqual([{ name: 'new' }]);
  });

  test.each([
    ['a', 'b'],
    ['z', 'b'],
  ])('writes that go on while shard %s seeds shard %s are lost nowhere', async (from, to) => {
    let knowsBoth = false;
    let isOver = false;
    const written = [0, 0];
    // As the router writes: all shards that it knows, in the order of their names, committed together.
    const writer = async (who: number) => {
      while (!isOver) {
        const shards = knowsBoth ? [a, b] : [a];
        if (from > to) shards.reverse();
        const clients = await Promise.all(shards.map(({ pool }) => pool.connect()));
        written[who] = (written[who] as number) + 1;
        const code = `w${who}-${written[who]}`;
        for (const client of clients) {
          await client.query('BEGIN');
          await client.query('INSERT INTO countries (code, name) VALUES ($1, $1)', [code]);
          await client.query(
            `UPDATE countries SET name = $1 WHERE code = (SELECT min(code) FROM countries WHERE code LIKE $2)`,
            [code, `w${who}%`],
          );
        }
        for (const client of clients) await client.query('COMMIT');
        for (const client of clients) client.release();
      }
    };
    const writers = [0, 1].map(writer);
    /** Each writer has begun anew ten times: that is more than what an acknowledgement says. */
    const goOn = async () => {
      const before = [...written];
      await expect
        .poll(() => Math.min(...written.map((count, who) => count - (before[who] as number))))
        .toBeGreaterThan(10);
    };
    const source = { ...a.endpoint, name: from };
    await seedReferenceTables(source, { ...b.endpoint, name: to }, countries);
    await goOn();
    knowsBoth = true;
    await goOn();
    await seedReferenceTables(source, { ...b.endpoint, name: to }, countries);
    isOver = true;
    await Promise.all(writers);
    expect(await rowsOf(b)).not.toEqual([]);
    expect((await b.pool.query('SELECT code, name FROM countries ORDER BY 1')).rows).toEqual(
      (await a.pool.query('SELECT code, name FROM countries ORDER BY 1')).rows,
    );
  });

  test('a table without a primary key is refused', async () => {
    for (const { pool } of [a, b]) {
      await pool.query('ALTER TABLE countries DROP CONSTRAINT countries_pkey');
    }
    await expect(seedReferenceTables(a.endpoint, b.endpoint, countries)).rejects.toMatchObject({
      code: 'REFERENCE_TABLE_UNKEYED',
    });
  });

  test('writers that do not let go are waited for within a bound', async () => {
    const open = await a.pool.connect();
    await open.query(`BEGIN; INSERT INTO countries (code) VALUES ('open')`);
    const ending = new AbortController();
    const seeding = seedReferenceTables(a.endpoint, b.endpoint, countries, {
      signal: ending.signal,
    });
    ending.abort();
    await expect(seeding).rejects.toMatchObject({ code: 'ABORTED' });
    await open.query('ROLLBACK');
    open.release();
  });
});
