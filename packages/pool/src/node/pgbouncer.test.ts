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
  });
  expect((await pool.query('SELECT 1 AS fine')).rows).toEqual([{ fine: 1 }]);
  await expect(pool.query('SELECT pg_sleep(30)')).rejects.toMatchObject({
    code: 'POOL_STATEMENT_TIMEOUT',
  });
  expect((await pool.query('SELECT 2 AS fine')).rows).toEqual([{ fine: 2 }]);
});

test('a statement of a client from connect() ends at its timeout, too', async () => {
  await using pool = new ReplicaPool({ ...address(), pgBouncer: true, statementTimeout: '100ms' });
  for (const lend of [() => pool.connect(), () => pool.session().run(() => pool.connect())]) {
    const client = await lend();
    const startedMs = performance.now();
    await expect(client.query('SELECT pg_sleep(30)')).rejects.toMatchObject({
      code: 'POOL_STATEMENT_TIMEOUT',
    });
    expect(performance.now() - startedMs).toBeLessThan(5000);
    // Its own way of calling is as before.
    const fine = await new Promise((resolve, reject) => {
      client.query('SELECT $1::int AS fine', [1], (error: Error | null, { rows }) =>
        error ? reject(error) : resolve(rows),
      );
    });
    expect(fine).toEqual([{ fine: 1 }]);
    client.release();
  }
  // Given back, it is the driver's own again: the pool times its own statements, and once is enough.
  const raw = await pool.connect();
  expect(Object.hasOwn(raw, 'query')).toBe(true);
  raw.release();
  expect(Object.hasOwn(raw, 'query')).toBe(false);
});

test('a transaction that idles for too long is ended, and what it had locked is free', async () => {
  await using pool = new ReplicaPool({
    ...address(),
    pgBouncer: true,
    idleInTransactionTimeout: '150ms',
    acquireTimeout: '5s',
  });
  await pool.query('CREATE TABLE account AS SELECT 1 AS id, 10 AS balance');
  for (const lend of [() => pool.connect(), () => pool.session().run(() => pool.connect())]) {
    const client = await lend();
    client.on('error', () => {});
    await client.query('BEGIN');
    // Whoever goes on within the time is left alone, however long it takes in all.
    for (let step = 0; step < 4; step += 1) {
      await client.query('UPDATE account SET balance = balance + 1');
      await new Promise((resolve) => setTimeout(resolve, 60));
    }
    await client.query('SELECT pg_sleep(0.3)');
    const waiting = pool.query('UPDATE account SET balance = balance * 2 RETURNING balance');
    expect((await waiting).rows).toEqual([{ balance: expect.any(Number) }]);
    await expect(client.query('COMMIT')).rejects.toThrow();
    client.release();
  }
  // Neither transaction counts.
  expect((await pool.query('SELECT balance FROM account')).rows).toEqual([{ balance: 40 }]);
});

test('settings that travel as startup parameters are refused, and not dropped', () => {
  for (const given of [{ lock_timeout: 500 }, { options: '-c search_path=bets' }]) {
    expect(() => new ReplicaPool({ ...address(), pgBouncer: true, ...given })).toThrow(
      /PgBouncer.*CONFIG_INVALID/s,
    );
  }
  // Only where it stands.
  const pool = new ReplicaPool({
    primary: { ...address(), name: 'a', pgBouncer: true },
    replicas: [{ ...address(), name: 'b', port: 1, options: '-c search_path=bets' }],
  });
  expect(pool.health().nodes).toHaveLength(2);
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
