import { type PostgresServer, startPostgres } from '@shardline/testkit';
import { eq } from 'drizzle-orm';
import { drizzle } from 'drizzle-orm/node-postgres';
import { bigint, pgTable, text } from 'drizzle-orm/pg-core';
import { Kysely, PostgresDialect } from 'kysely';
import pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createRouter } from './create-router.js';
import type { Router } from './router.js';
import { topologyOf } from './topology/topology-file.js';

/** Query builders on the pool of a shard, with a fixed topology and so without any catalog. */
let server: PostgresServer;
let router: Router;
let pools: Record<string, pg.Pool>;

beforeAll(async () => {
  server = await startPostgres({ name: 'builders' });
  pools = {};
  for (const name of ['a', 'b']) {
    pools[name] = new pg.Pool({ connectionString: await server.createDatabase(name) });
  }
  router = await createRouter({
    topology: topologyOf({
      shards: { a: {}, b: {} },
      keyspaces: { users: { keyType: 'bigint', slots: 16, owners: { a: '0-7', b: '8-15' } } },
    }),
    shards: pools,
    keyspaces: { users: { keyType: 'bigint', slots: 16, tables: { users: 'id' } } },
  });
  await router.everywhere('CREATE TABLE users (id bigint PRIMARY KEY, name text)');
});

afterAll(async () => {
  await router?.close();
  await Promise.all(Object.values(pools ?? {}).map((pool) => pool.end()));
  await server?.stop();
});

const keys = Array.from({ length: 20 }, (_, key) => key);

test('Kysely and Drizzle write and read through the pool of a shard, transactions included', async () => {
  const users = pgTable('users', { id: bigint({ mode: 'number' }).primaryKey(), name: text() });
  for (const id of keys) {
    const db = new Kysely<{ users: { id: number | string; name: string } }>({
      dialect: new PostgresDialect({ pool: router.shard(id) }),
    });
    await db.transaction().execute((transaction) =>
      transaction
        .insertInto('users')
        .values({ id, name: `u${id}` })
        .execute(),
    );
    const rows = await drizzle(router.shard(id)).select().from(users).where(eq(users.id, id));
    expect(rows).toEqual([{ id, name: `u${id}` }]);
  }
  const found = await router
    .scatter<{ id: string }>('SELECT id FROM users', [], { orderBy: ['id'] })
    .all();
  expect(found.map(({ id }) => Number(id))).toEqual(keys);
});

test('with a fixed topology nothing is asked of records that are not there', async () => {
  expect(router.health()).toMatchObject({ ready: true, catalog: undefined });
  const { rows } = await router.query(3, 'SELECT name FROM users WHERE id = $1', [3]);
  expect(rows).toEqual([{ name: 'u3' }]);
  await router.transaction(3, async (transaction) => {
    transaction.using(3);
    await transaction.query('UPDATE users SET name = $1 WHERE id = 3', ['new']);
  });
});

test('a million rows pass through a scatter in flat memory', async () => {
  const rows = router.scatter(
    `SELECT n, repeat('x', 100) AS filler FROM users u, generate_series(1, 50000) AS n`,
    [],
    { orderBy: ['n'], batchRows: 500 },
  );
  let seen = 0;
  let peak = 0;
  let last = 0;
  const before = process.memoryUsage().heapUsed;
  for await (const row of rows as AsyncIterable<{ n: number }>) {
    if (row.n < last) throw new Error('out of order');
    last = row.n;
    seen += 1;
    if (seen % 50_000 === 0) peak = Math.max(peak, process.memoryUsage().heapUsed - before);
  }
  expect(seen).toBe(1_000_000);
  // All rows at once would take well over 200 MB.
  expect(peak).toBeLessThan(120 * 1024 * 1024);
});
