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
