import { isShardlineError } from '@shardline/core';
import { type PostgresServer, startPostgres } from '@shardline/testkit';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ReplicaPool } from './index.js';
import type { ReplicaPoolOptions } from './options.js';

/**
 * What users of `pg-pool` rely on, topic by topic as in its own tests: with one server and no replica
 * this pool has to behave the same.
 */
let server: PostgresServer;

beforeAll(async () => {
  server = await startPostgres({ name: 'drop-in', settings: { max_connections: 60 } });
});
afterAll(() => server?.stop());

function makePool(options: ReplicaPoolOptions = {}): ReplicaPool {
  return new ReplicaPool({ connectionString: server.url, ...options });
}

async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = Date.now() + 20_000;
  while (!(await condition())) {
    if (Date.now() > deadline) throw new Error('The condition was not met in time.');
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

async function backendPid(client: pg.ClientBase): Promise<number> {
  const { rows } = await client.query('SELECT pg_backend_pid() AS pid');
  return rows[0].pid as number;
}

describe('being a pg.Pool', () => {
  test('is an instance of it, with its fields', async () => {
    await using pool = makePool({ max: 3 });
    expect(pool).toBeInstanceOf(pg.Pool);
    expect(pool.options.max).toBe(3);
    expect((pool as unknown as { Client: unknown }).Client).toBe(pg.Client);
    expect([pool.totalCount, pool.idleCount, pool.waitingCount]).toEqual([0, 0, 0]);
  });

  test('leaves a client the methods that its user gave it', async () => {
    await using pool = makePool({ max: 1 });
    const seen: unknown[] = [];
    pool.on('connect', (client) => {
      const { query } = client;
      client.query = ((...given: unknown[]) => {
        seen.push(given[0]);
        return (query as (...all: unknown[]) => unknown).apply(client, given);
      }) as never;
    });
    for (const text of ['SELECT 1', 'SELECT 2']) {
      const client = await pool.connect();
      await client.query(text);
      client.release();
    }
    await pool.query('SELECT 3');
    expect(seen).toEqual(['SELECT 1', 'SELECT 2', 'SELECT 3']);
  });

  test('can be subclassed', async () => {
    class CountingPool extends ReplicaPool {
      queries = 0;
      // biome-ignore lint/suspicious/noExplicitAny: stands for every overload
      override query(...args: any[]): any {
        this.queries += 1;
        return super.query(...(args as [string]));
      }
    }
    await using pool = new CountingPool({ connectionString: server.url });
    await pool.query('SELECT 1');
    expect(pool.queries).toBe(1);
  });

  test('lends clients that are clients of pg', async () => {
    await using pool = makePool();
    const client = await pool.connect();
    expect(client).toBeInstanceOf(pg.Client);
    client.release();
  });

  test('uses the class of clients that it is given', async () => {
    class MarkedClient extends pg.Client {
      readonly mark = 'mine';
    }
    await using pool = makePool({ Client: MarkedClient });
    const client = (await pool.connect()) as unknown as MarkedClient & pg.PoolClient;
    expect(client.mark).toBe('mine');
    client.release();
  });

  test('keeps the password out of what is printed', async () => {
    await using pool = makePool({ password: 'hunter2-secret' });
    expect(JSON.stringify(pool.options)).not.toContain('hunter2-secret');
  });
});

describe('queries', () => {
  test('answers by promise, with values', async () => {
    await using pool = makePool();
    const { rows, rowCount } = await pool.query('SELECT $1::text AS name', ['brianc']);
    expect(rows).toEqual([{ name: 'brianc' }]);
    expect(rowCount).toBe(1);
  });

  test('answers by callback, with and without values', async () => {
    await using pool = makePool();
    const withValues = await new Promise<pg.QueryResult>((resolve, reject) => {
      pool.query('SELECT $1::int AS n', [7], (error, result) =>
        error ? reject(error) : resolve(result),
      );
    });
    const without = await new Promise<pg.QueryResult>((resolve, reject) => {
      pool.query('SELECT 8 AS n', (error, result) => (error ? reject(error) : resolve(result)));
    });
    expect([withValues.rows[0].n, without.rows[0].n]).toEqual([7, 8]);
  });

  test('takes a config, rows as arrays and names included', async () => {
    await using pool = makePool();
    const { rows } = await pool.query({
      name: 'two',
      text: 'SELECT $1::int, 2',
      values: [1],
      rowMode: 'array',
    });
    expect(rows).toEqual([[1, 2]]);
  });

  test('returns an array of results for several statements in one text', async () => {
    await using pool = makePool();
    const results = (await pool.query(
      'SELECT 1 AS a; SELECT 2 AS b',
    )) as unknown as pg.QueryResult[];
    expect(results.map((result) => result.rows[0])).toEqual([{ a: 1 }, { b: 2 }]);
  });

  test('refuses a function in place of a text, through the callback', async () => {
    await using pool = makePool();
    const error = await new Promise<Error>((resolve) => {
      pool.query(resolve as unknown as string);
    });
    expect(error.message).toContain('Passing a function as the first parameter');
  });

  test('passes an SQL error on, unchanged', async () => {
    await using pool = makePool();
    await expect(pool.query('SELECT asdf')).rejects.toMatchObject({ code: '42703' });
  });
});

describe('releasing', () => {
  test('reuses a connection that was given back', async () => {
    await using pool = makePool();
    const first = await pool.connect();
    const pid = await backendPid(first);
    first.release();
    const second = await pool.connect();
    expect(await backendPid(second)).toBe(pid);
    second.release();
  });

  test('closes a connection that is given back with an error, or with true', async () => {
    await using pool = makePool();
    for (const reason of [new Error('mine'), true]) {
      const client = await pool.connect();
      expect(pool.totalCount).toBe(1);
      client.release(reason);
      expect(pool.totalCount).toBe(0);
    }
  });

  test('throws when a client is released twice', async () => {
    await using pool = makePool();
    const client = await pool.connect();
    client.release();
    expect(() => client.release()).toThrow(
      'Release called on client which has already been released to the pool.',
    );
  });

  test('gives the callback a done function', async () => {
    await using pool = makePool();
    await new Promise<void>((resolve, reject) => {
      pool.connect((error, client, done) => {
        if (error || client === undefined) return reject(error);
        client.query('SELECT 1', (queryError) => {
          done();
          if (queryError) reject(queryError);
          else resolve();
        });
      });
    });
    await until(() => pool.idleCount === 1);
  });

  test('rolls back a transaction that was left open, and keeps the connection', async () => {
    await using pool = makePool({ max: 1 });
    const client = await pool.connect();
    const pid = await backendPid(client);
    await client.query('BEGIN');
    await client.query('CREATE TABLE left_open (id int)');
    client.release();
    const next = await pool.connect();
    expect(await backendPid(next)).toBe(pid);
    expect(next.getTransactionStatus()).toBe('I');
    const { rows } = await next.query("SELECT to_regclass('left_open') AS found");
    expect(rows[0].found).toBeNull();
    next.release();
  });

  test('rolls back a failed transaction too', async () => {
    await using pool = makePool({ max: 1 });
    const client = await pool.connect();
    await client.query('BEGIN');
    await expect(client.query('SELECT nothing_there')).rejects.toThrow();
    client.release();
    const { rows } = await pool.query('SELECT 1 AS fine');
    expect(rows).toEqual([{ fine: 1 }]);
  });

  test('waits for a query that was not awaited before it lends the connection again', async () => {
    await using pool = makePool({ max: 1 });
    const client = await pool.connect();
    const late = client.query('SELECT pg_sleep(0.05), $1::text AS whose', ['first']);
    client.release();
    const { rows } = await pool.query('SELECT $1::text AS whose', ['second']);
    expect(rows).toEqual([{ whose: 'second' }]);
    expect((await late).rows[0].whose).toBe('first');
  });

  test('keeps a connection after a plain SQL error, unless told otherwise', async () => {
    await using kept = makePool({ max: 1 });
    const before = (await kept.query('SELECT pg_backend_pid() AS pid')).rows[0].pid;
    await expect(kept.query('SELECT 1/0')).rejects.toMatchObject({ code: '22012' });
    expect((await kept.query('SELECT pg_backend_pid() AS pid')).rows[0].pid).toBe(before);

    await using closed = makePool({ max: 1, closeOnQueryError: true });
    const old = (await closed.query('SELECT pg_backend_pid() AS pid')).rows[0].pid;
    await expect(closed.query('SELECT 1/0')).rejects.toThrow();
    expect((await closed.query('SELECT pg_backend_pid() AS pid')).rows[0].pid).not.toBe(old);
  });
});

describe('sizing', () => {
  test('opens no more than max, and serves everybody', async () => {
    await using pool = makePool({ max: 4 });
    let most = 0;
    await Promise.all(
      Array.from({ length: 50 }, async () => {
        await pool.query('SELECT pg_sleep(0.001)');
        most = Math.max(most, pool.totalCount);
      }),
    );
    expect(most).toBeLessThanOrEqual(4);
    expect(pool.waitingCount).toBe(0);
  });

  test('serves waiters in order of arrival', async () => {
    await using pool = makePool({ max: 1 });
    const order: number[] = [];
    const held = await pool.connect();
    const waiting = [1, 2, 3].map(async (n) => {
      const client = await pool.connect();
      order.push(n);
      client.release();
    });
    await until(() => pool.waitingCount === 3);
    held.release();
    await Promise.all(waiting);
    expect(order).toEqual([1, 2, 3]);
  });

  test('keeps min connections warm, from the start and after one is lost', async () => {
    await using pool = makePool({ min: 3, max: 5, idleTimeout: '20ms' });
    await until(() => pool.idleCount === 3);
    const client = await pool.connect();
    client.release(true);
    await until(() => pool.idleCount === 3);
    expect(pool.totalCount).toBe(3);
  });

  test('hands a released connection to a waiter while a dial is still running', async () => {
    await using pool = makePool({
      max: 2,
      onConnect: async (client) => {
        if (pool.totalCount > 1) await client.query('SELECT pg_sleep(20)');
      },
    });
    const first = await pool.connect();
    const second = pool.connect();
    const startedAt = performance.now();
    setTimeout(() => first.release(), 20);
    (await second).release();
    expect(performance.now() - startedAt).toBeLessThan(15_000);
  });
});

describe('events', () => {
  test('tells of connect, acquire, release and remove, with the client', async () => {
    const pool = makePool();
    const heard: string[] = [];
    for (const name of ['connect', 'acquire', 'remove'] as const) {
      pool.on(name, (client) => heard.push(`${name}:${client instanceof pg.Client}`));
    }
    pool.on('release', (error, client) =>
      heard.push(`release:${error}:${client instanceof pg.Client}`),
    );
    await pool.query('SELECT 1');
    await pool.end();
    expect(heard).toEqual([
      'connect:true',
      'acquire:true',
      'release:undefined:true',
      'remove:true',
    ]);
  });

  test('lets a connect listener set the session up before anyone gets it', async () => {
    await using pool = makePool();
    pool.on('connect', (client) => {
      void client.query("SET application_name = 'set-up'");
    });
    const { rows } = await pool.query("SELECT current_setting('application_name') AS name");
    expect(rows).toEqual([{ name: 'set-up' }]);
  });

  test('tells of an idle connection that broke, and replaces it', async () => {
    await using pool = makePool();
    const { rows } = await pool.query('SELECT pg_backend_pid() AS pid');
    const broke = new Promise<[Error, unknown]>((resolve) => {
      pool.on('error', (error, client) => resolve([error, client]));
    });
    await server.query('SELECT pg_terminate_backend($1)', [rows[0].pid]);
    const [error, client] = await broke;
    expect(error).toMatchObject({ code: '57P01' });
    expect(client).toBeInstanceOf(pg.Client);
    expect((await pool.query('SELECT 1 AS again')).rows).toEqual([{ again: 1 }]);
  });

  test('does not end the process when nobody listens for errors', async () => {
    await using pool = makePool();
    const { rows } = await pool.query('SELECT pg_backend_pid() AS pid');
    await server.query('SELECT pg_terminate_backend($1)', [rows[0].pid]);
    await until(() => pool.totalCount === 0);
    expect((await pool.query('SELECT 1 AS again')).rows).toEqual([{ again: 1 }]);
  });

  test('survives a checked-out client that breaks, without a listener on it', async () => {
    await using pool = makePool();
    const client = await pool.connect();
    const pid = await backendPid(client);
    await server.query('SELECT pg_terminate_backend($1)', [pid]);
    await until(() => !(client as unknown as { _queryable: boolean })._queryable);
    client.release();
    expect(pool.totalCount).toBe(0);
  });
});

describe('idle timeout, lifetime and uses', () => {
  test('closes connections that idle for too long, but not below min', async () => {
    await using pool = makePool({ idleTimeoutMillis: 30, max: 5, min: 1 });
    const clients = await Promise.all([pool.connect(), pool.connect(), pool.connect()]);
    for (const client of clients) client.release();
    await until(() => pool.totalCount === 1);
    expect(pool.idleCount).toBe(1);
  });

  test('keeps idle connections when the timeout is 0', async () => {
    await using pool = makePool({ idleTimeoutMillis: 0 });
    await pool.query('SELECT 1');
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(pool.idleCount).toBe(1);
  });

  test('closes a connection after maxUses', async () => {
    await using pool = makePool({ maxUses: 2, max: 1 });
    const pids = [];
    for (let use = 0; use < 4; use += 1) {
      pids.push((await pool.query('SELECT pg_backend_pid() AS pid')).rows[0].pid);
    }
    expect(pids[0]).toBe(pids[1]);
    expect(pids[1]).not.toBe(pids[2]);
    expect(pids[2]).toBe(pids[3]);
  });

  test('replaces a connection at the end of its life, never while it is in use', async () => {
    await using pool = makePool({ maxLifetime: '60ms', lifetimeJitter: 0 });
    const client = await pool.connect();
    await until(() => pool.expiredCount === 1);
    await expect(client.query('SELECT 1')).resolves.toBeDefined();
    client.release();
    expect(pool.totalCount).toBe(0);
  });
});

describe('deadlines and refusals', () => {
  test('ends an acquire at its deadline and says how full the pool is', async () => {
    await using pool = makePool({ max: 1, connectionTimeoutMillis: 200 });
    // The dial itself may take longer than that on a busy machine; once it is up it stays.
    await until(() =>
      pool.query('SELECT 1').then(
        () => true,
        () => false,
      ),
    );
    const held = await pool.connect();
    const error = await pool.connect().catch((caught: unknown) => caught);
    expect(isShardlineError(error, 'POOL_ACQUIRE_TIMEOUT')).toBe(true);
    expect(String(error)).toContain('timeout exceeded when trying to connect');
    expect(error).toMatchObject({ details: { total: 1, idle: 0, busy: 1 } });
    expect(pool.waitingCount).toBe(0);
    held.release();
  });

  test('refuses a waiter beyond maxWaiting at once', async () => {
    await using pool = makePool({ max: 1, maxWaiting: 1 });
    const held = await pool.connect();
    const waiting = pool.connect();
    await until(() => pool.waitingCount === 1);
    await expect(pool.connect()).rejects.toMatchObject({ code: 'QUEUE_FULL' });
    held.release();
    (await waiting).release();
  });

  test('reports a held connection with the stack of its acquire', async () => {
    await using pool = makePool({ leakReportAfter: '20ms' });
    const reported = new Promise<{ stack: string; heldMs: number }>((resolve) => {
      pool.on('leak' as 'connect', resolve as unknown as () => void);
    });
    const client = await pool.connect();
    const { stack, heldMs } = await reported;
    expect(stack).toContain('pg-pool-behaviour.test.ts');
    expect(heldMs).toBeGreaterThanOrEqual(20);
    client.release();
  });
});

describe('ending', () => {
  test('resolves once every client is back, and closes every connection', async () => {
    const pool = makePool();
    const client = await pool.connect();
    let hasEnded = false;
    const ending = pool.end().then(() => {
      hasEnded = true;
    });
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(hasEnded).toBe(false);
    client.release();
    await ending;
    expect((pool as unknown as { ended: boolean }).ended).toBe(true);
    expect(pool.totalCount).toBe(0);
  });

  test('refuses queries, connects and a second end afterwards', async () => {
    const pool = makePool();
    await pool.end();
    await expect(pool.query('SELECT 1')).rejects.toThrow(
      'Cannot use a pool after calling end on the pool',
    );
    await expect(pool.connect()).rejects.toMatchObject({ code: 'POOL_ENDED' });
    await expect(pool.end()).rejects.toThrow('Called end on pool more than once');
    await expect(pool.close()).resolves.toBeUndefined();
  });

  test('answers those who wait, and cuts off who holds on to a client at the deadline', async () => {
    const pool = makePool({ max: 1 });
    await pool.connect();
    const waiting = pool.connect().catch((error: unknown) => error);
    await until(() => pool.waitingCount === 1);
    await pool.close({ deadline: '50ms' });
    expect(await waiting).toMatchObject({ code: 'POOL_ENDED' });
    expect(pool.totalCount).toBe(0);
  });
});
