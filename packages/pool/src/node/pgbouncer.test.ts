import {
  type PgBouncerServer,
  type PostgresServer,
  startPgBouncer,
  startPostgres,
} from '@shardline/testkit';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { ReplicaPool } from '../index.js';

/** The real PgBouncer in transaction mode, with fewer server connections than clients. */
let server: PostgresServer;
let bouncer: PgBouncerServer;

beforeAll(async () => {
  server = await startPostgres({ name: 'behind' });
  bouncer = await startPgBouncer({ target: server, settings: { default_pool_size: 2 } });
});
afterAll(async () => {
  await bouncer?.stop();
  await server?.stop();
});

const address = () => ({
  host: bouncer.host,
  port: bouncer.port,
  user: 'postgres',
  database: server.database,
});

test('timeouts work without the startup parameters that it refuses', async () => {
  await using pool = new ReplicaPool({
    ...address(),
    pgBouncer: true,
    statementTimeout: '100ms',
    idleInTransactionTimeout: '1m',
    lock_timeout: 500,
  });
  expect((await pool.query('SELECT 1 AS fine')).rows).toEqual([{ fine: 1 }]);
  await expect(pool.query('SELECT pg_sleep(30)')).rejects.toMatchObject({
    code: 'POOL_STATEMENT_TIMEOUT',
  });
  expect((await pool.query('SELECT 2 AS fine')).rows).toEqual([{ fine: 2 }]);
});

test('many callers and their transactions share two server connections', async () => {
  await using pool = new ReplicaPool({ ...address(), pgBouncer: true, max: 8 });
  await pool.query('CREATE TABLE bet (id int PRIMARY KEY, stake int)');
  await Promise.all(
    Array.from({ length: 60 }, async (_, id) => {
      const client = await pool.connect();
      try {
        await client.query('BEGIN');
        await client.query({
          text: 'INSERT INTO bet VALUES ($1, $2)',
          values: [id, id * 10],
        });
        await client.query('COMMIT');
      } finally {
        client.release();
      }
    }),
  );
  const { rows } = await pool.query(
    'SELECT count(*)::int AS n, sum(stake)::int AS stakes FROM bet',
  );
  expect(rows).toEqual([{ n: 60, stakes: (59 * 60 * 10) / 2 }]);
});

test('an abort cancels the statement of its caller and of nobody else', async () => {
  await using pool = new ReplicaPool({ ...address(), pgBouncer: true, max: 4 });
  const controller = new AbortController();
  const given = pool
    .query({ text: 'SELECT pg_sleep(30)', signal: controller.signal })
    .catch((error: { code?: string }) => error.code);
  const other = pool.query("SELECT pg_sleep(0.3), 'mine' AS whose");
  setTimeout(() => controller.abort(), 100);
  expect(await given).toBe('ABORTED');
  expect((await other).rows[0].whose).toBe('mine');
});

test('a transaction that was left open is rolled back before the connection is lent again', async () => {
  await using pool = new ReplicaPool({ ...address(), pgBouncer: true, max: 1 });
  const client = await pool.connect();
  await client.query('BEGIN');
  await client.query('CREATE TABLE left_open (id int)');
  client.release();
  const { rows } = await pool.query("SELECT to_regclass('left_open') AS found");
  expect(rows).toEqual([{ found: null }]);
});
