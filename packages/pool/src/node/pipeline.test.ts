import { type PostgresServer, startPostgres } from '@shardline/testkit';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { ReplicaPool } from '../index.js';

/** Shared connections: that they are shared, that errors stay apart, that nobody blocks the others. */
let server: PostgresServer;

beforeAll(async () => {
  server = await startPostgres({ name: 'lanes' });
  await server.query('CREATE TABLE bet (id int PRIMARY KEY, stake int)');
  await server.query('CREATE TABLE odds (id int PRIMARY KEY)');
  await server.query('INSERT INTO bet SELECT i, i FROM generate_series(1, 100) i');
  await server.query('INSERT INTO odds SELECT i FROM generate_series(1, 100) i');
  await server.query(`CREATE FUNCTION nap(seconds float8) RETURNS int LANGUAGE sql STABLE
    AS 'SELECT pg_sleep(seconds); SELECT 1'`);
});
afterAll(() => server?.stop());

let pool: ReplicaPool;
beforeEach(async () => {
  pool = new ReplicaPool({ connectionString: server.url, max: 3, pipelining: true });
  await pool.ready();
});

const stakeOf = (id: number) =>
  pool.query({
    text: 'SELECT stake, pg_backend_pid() AS pid FROM bet WHERE id = $1',
    values: [id],
  });

/** A text shares a connection only once it has proven fast. */
async function prove(run: () => Promise<unknown>): Promise<void> {
  for (let n = 0; n < 30; n += 1) await run();
}

describe('reads of many callers', () => {
  test('share few connections, and each gets its own answer', async () => {
    await prove(() => stakeOf(1));
    const answers = await Promise.all(Array.from({ length: 100 }, (_, n) => stakeOf(n + 1)));
    expect(answers.map(({ rows }) => rows[0].stake)).toEqual(
      Array.from({ length: 100 }, (_, n) => n + 1),
    );
    expect(new Set(answers.map(({ rows }) => rows[0].pid)).size).toBeLessThanOrEqual(3);
    await pool.end();
    expect(pool.totalCount).toBe(0);
  });

  test('an error is the error of its own statement', async () => {
    const divide = (by: number) => pool.query({ text: 'SELECT 10 / $1::int AS n', values: [by] });
    await prove(() => divide(2));
    const outcomes = await Promise.allSettled(
      Array.from({ length: 60 }, (_, n) => divide(n % 3 === 0 ? 0 : 5)),
    );
    for (const [n, outcome] of outcomes.entries()) {
      if (n % 3 === 0)
        expect(outcome).toMatchObject({ status: 'rejected', reason: { code: '22012' } });
      else expect(outcome).toMatchObject({ value: { rows: [{ n: 2 }] } });
    }
    await pool.end();
  });

  test('one that fails to prepare does not fail those of its name', async () => {
    const ask = (name: string, table: string) =>
      pool.query({ name, text: `SELECT count(*)::int AS n FROM ${table}` });
    await prove(() => ask('count-bets', 'bet'));
    const outcomes = await Promise.allSettled(
      Array.from({ length: 40 }, (_, n) =>
        n % 4 === 0 ? ask('missing', 'not_there') : ask('count-bets', 'bet'),
      ),
    );
    for (const [n, outcome] of outcomes.entries()) {
      if (n % 4 === 0) expect(outcome).toMatchObject({ reason: { code: '42P01' } });
      else expect(outcome).toMatchObject({ value: { rows: [{ n: 100 }] } });
    }
    await pool.end();
  });
});

describe('head-of-line blocking', () => {
  test('a statement that turns slow does not hold up a stream of fast ones', async () => {
    const nap = (seconds: number) => pool.query({ text: 'SELECT nap($1) AS n', values: [seconds] });
    await prove(() => nap(0));
    await prove(() => stakeOf(1));
    let isSlowDone = false;
    const slow = nap(30).then(
      () => {
        isSlowDone = true;
      },
      () => {},
    );
    const fast = Array.from({ length: 200 }, (_, n) => stakeOf((n % 100) + 1));
    await Promise.all(fast);
    for (let n = 0; n < 200; n += 1) await stakeOf((n % 100) + 1);
    expect(isSlowDone).toBe(false);
    await pool.close({ deadline: '10ms' });
    await slow;
  });

  test('a read that waits for a lock holds up nobody else, the holder of the lock included', async () => {
    const odds = () => pool.query('SELECT count(*)::int AS n FROM odds');
    await prove(odds);
    await prove(() => stakeOf(1));
    const holder = await pool.connect();
    await holder.query('BEGIN');
    await holder.query('LOCK TABLE odds IN ACCESS EXCLUSIVE MODE');
    let isFree = false;
    const blocked = odds().then(({ rows }) => {
      expect(isFree).toBe(true);
      return rows[0].n;
    });
    // The holder needs an answer of the pool before it lets go.
    const answers = await Promise.all(Array.from({ length: 50 }, (_, n) => stakeOf(n + 1)));
    expect(answers).toHaveLength(50);
    isFree = true;
    await holder.query('COMMIT');
    holder.release();
    expect(await blocked).toBe(100);
    await pool.end();
  });
});
