import { type PostgresServer, startPostgres, waitUntil } from '@shardline/testkit';
import pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { rowComparator } from './merge.js';
import { Semaphore } from './semaphore.js';
import { ShardPage, type ShardPageOptions } from './shard-page.js';

let server: PostgresServer;
let pool: pg.Pool;

beforeAll(async () => {
  server = await startPostgres({ name: 'shard-page' });
  pool = new pg.Pool({ connectionString: server.url, max: 2 });
  pool.on('error', () => {});
  await pool.query(`CREATE SCHEMA shardline;
    CREATE TABLE shardline.ownership (keyspace text PRIMARY KEY, epoch bigint);
    INSERT INTO shardline.ownership VALUES ('users', 41);
    CREATE TABLE bets (id int, stake int)`);
});
afterAll(async () => {
  await pool?.end();
  await server?.stop();
});

function page(sql: string, options: Partial<ShardPageOptions> = {}): ShardPage {
  return new ShardPage({
    shard: 'a',
    connect: () => pool.connect(),
    sql,
    values: [],
    keyspace: 'users',
    epoch: 41,
    timeoutMs: 30_000,
    signal: undefined,
    running: new Semaphore(1),
    order: () => undefined,
    ...options,
  });
}

async function rowsOf(source: ShardPage): Promise<unknown[]> {
  const rows: unknown[] = [];
  while (await source.more()) rows.push(source.take());
  return rows;
}

test('rows come as texts, beside the epoch of their snapshot, and columns may have one name', async () => {
  const source = page('SELECT 1 AS x, NULL AS x, now() AS at UNION ALL SELECT 2, 3, NULL');
  expect(await source.open()).toBe(41);
  expect(source.columns.map(({ name }) => name)).toEqual(['x', 'x', 'at']);
  expect(await rowsOf(source)).toEqual([
    ['1', null, expect.stringMatching(/^\d{4}-/)],
    ['2', '3', null],
  ]);
});

test('a page without rows shows its epoch and its columns all the same', async () => {
  const source = page('SELECT id FROM bets WHERE false -- nothing');
  expect(await source.open()).toBe(41);
  expect([source.columns.length, await rowsOf(source)]).toEqual([1, []]);
  expect(await page('SELECT 1', { keyspace: 'unknown' }).open()).toBe(0);
});

test('a row of nulls is a row', async () => {
  const source = page('SELECT NULL AS x');
  await source.open();
  expect(await rowsOf(source)).toEqual([[null]]);
});

test('whatever order the join leaves them in, rows are in the order that was asked for', async () => {
  const source = page('SELECT * FROM (VALUES (2), (3), (1)) AS v(n)', {
    order: (columns) => rowComparator(columns, [{ column: 'n', direction: 'desc' }]),
  });
  await source.open();
  expect(await rowsOf(source)).toEqual([['3'], ['2'], ['1']]);
});

test('one that is late is cut off at its deadline, and its connection is not used again', async () => {
  await expect(page('SELECT pg_sleep(60)', { timeoutMs: 50 }).open()).rejects.toMatchObject({
    code: 'DEADLINE_EXCEEDED',
  });
  await waitUntil(async () => pool.totalCount === pool.idleCount, {
    what: 'the late connection to be gone',
    within: '20s',
  });
  expect((await pool.query('SELECT 1 AS fine')).rows).toEqual([{ fine: 1 }]);
});

test('an error of the statement leaves the connection in use, and the place to the next', async () => {
  const running = new Semaphore(1);
  await expect(
    page('SELECT 1 / (id - id) FROM bets, (VALUES (1)) v(x) WHERE false OR 1/0 > 0', {
      running,
    }).open(),
  ).rejects.toMatchObject({ code: '22012' });
  expect(pool.idleCount).toBeGreaterThan(0);
  expect(await page('SELECT 1', { running }).open()).toBe(41);
});
