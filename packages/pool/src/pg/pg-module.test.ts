import { type PostgresServer, startPostgres } from '@shardline/testkit';
import driver from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { ReplicaPool } from '../index.js';
import pg, { Client, types } from './index.js';

let server: PostgresServer;

beforeAll(async () => {
  server = await startPostgres({ name: 'pg-module' });
});
afterAll(() => server?.stop());

test('is the driver, with our pool in it', () => {
  for (const name of ['Client', 'Query', 'types', 'defaults', 'escapeLiteral'] as const) {
    expect(pg[name]).toBe(driver[name]);
  }
  expect(Client).toBe(driver.Client);
  expect(types).toBe(driver.types);
  expect(pg.Pool.prototype).toBeInstanceOf(ReplicaPool);
});

test('lets options of whoever makes the pool pass, and still refuses wrong values', async () => {
  // As @fastify/postgres and TypeORM do: their own options beside those of the pool.
  const options = { connectionString: server.url, name: 'main', poolErrorHandler: () => {} };
  const pool = new pg.Pool(options as never);
  expect(pool).toBeInstanceOf(driver.Pool);
  expect((await pool.query('SELECT 1 AS one')).rows).toEqual([{ one: 1 }]);
  await pool.end();
  expect(() => new pg.Pool({ max: -1 })).toThrow('max');
});

test('serves what @fastify/postgres makes of it: bound methods and a transaction by callbacks', async () => {
  const pool = new pg.Pool({ connectionString: server.url, name: 'main' } as never);
  const query = pool.query.bind(pool) as typeof pool.query;
  const connect = pool.connect.bind(pool) as typeof pool.connect;
  await query('CREATE TABLE fastify_bet (id int)');
  const transact = (fails: boolean) =>
    new Promise<string>((resolve, reject) => {
      connect((error, client, done) => {
        if (error !== undefined || client === undefined) return reject(error);
        const shut = (last: string) =>
          client.query(last, (problem: Error | null) => {
            done(problem ?? undefined);
            resolve(last);
          });
        client.query('BEGIN', () =>
          client.query('INSERT INTO fastify_bet VALUES ($1)', [fails ? 'x' : 1], (problem) =>
            shut(problem ? 'ROLLBACK' : 'COMMIT'),
          ),
        );
      });
    });
  expect([await transact(false), await transact(true)]).toEqual(['COMMIT', 'ROLLBACK']);
  expect((await query('SELECT id FROM fastify_bet')).rows).toEqual([{ id: 1 }]);
  expect(pool.idleCount).toBe(pool.totalCount);
  await pool.end();
});

test("serves TypeORM's driver: a pool by callbacks, and query runners that listen and release", async () => {
  const options = {
    connectionString: server.url,
    application_name: 'typeorm',
    connectionTimeoutMillis: 5000,
    max: 2,
    logNotifications: true,
  };
  const pool = new pg.Pool(options as never);
  pool.on('error', () => {});
  const obtain = () =>
    new Promise<[driver.PoolClient, (error?: Error) => void]>((resolve, reject) => {
      pool.connect((error, client, release) =>
        error || client === undefined ? reject(error) : resolve([client, release]),
      );
    });
  const [first, releaseFirst] = await obtain();
  const onError = () => {};
  first.on('error', onError);
  await first.query('START TRANSACTION');
  await first.query('CREATE TEMP TABLE runner (id int, name text)');
  const { rows } = await first.query('INSERT INTO runner VALUES ($1, $2) RETURNING *', [7, 'ann']);
  await first.query('COMMIT');
  expect(rows).toEqual([{ id: 7, name: 'ann' }]);
  first.removeListener('error', onError);
  releaseFirst();
  // One that a runner found broken is not lent again.
  const [second, releaseSecond] = await obtain();
  const broken = (second as unknown as { processID: number }).processID;
  releaseSecond(new Error('lost'));
  const [third, releaseThird] = await obtain();
  expect((third as unknown as { processID: number }).processID).not.toBe(broken);
  releaseThird();
  await new Promise<void>((resolve, reject) => {
    const end = pool.end as (callback: (error?: Error) => void) => void;
    end.call(pool, (error) => (error ? reject(error) : resolve()));
  });
});
