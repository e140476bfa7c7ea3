import { ReplicaPool } from '@shardline/pool';
import { type PostgresServer, startPostgres } from '@shardline/testkit';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createRouter } from '../create-router.js';
import { Keyspace } from '../keyspace.js';
import type { Router } from '../router.js';
import { fillRouterOptions, type RouterOptions } from '../router-options.js';
import { loadParser } from '../sql/tree.js';
import { Topology } from '../topology/topology.js';
import { placeStatement } from './place-statement.js';

/** Two shards that own half of the slots each; `a` has a replica, `b` is a plain pool of `pg`. */
const SLOTS = 16;
const keyspace = new Keyspace({
  name: 'users',
  keyType: 'bigint',
  hash: 'postgres',
  slots: SLOTS,
});
const topology = new Topology({
  epoch: 7,
  shards: ['a', 'b'].map((name) => ({ name, weight: 1 })),
  keyspaces: [
    {
      name: 'users',
      keyType: 'bigint',
      hash: 'postgres',
      slots: SLOTS,
      owners: Array.from({ length: SLOTS }, (_, slot) => (slot < SLOTS / 2 ? 'a' : 'b')),
    },
  ],
});
const keyOf = (shard: string) => {
  for (let key = 1; ; key += 1)
    if ((keyspace.slotOf(key) < SLOTS / 2 ? 'a' : 'b') === shard) return key;
};
const tables = { users: 'id', bets: 'user_id' };
const keyspaces = { users: { keyType: 'bigint' as const, slots: SLOTS, tables } };

describe('where a statement belongs', () => {
  const options = fillRouterOptions({
    shards: { a: { primary: 'postgres://x/a' }, b: { primary: 'postgres://x/b' } },
    topology,
    keyspaces: {
      ...keyspaces,
      orders: { keyType: 'text', tables: { orders: 'customer' } },
    },
    referenceTables: ['countries'],
    unsharded: { shard: 'a', tables: ['settings'] },
  });
  const place = (sql: string, values: unknown[] = [], given = {}) =>
    placeStatement(sql, values, options, given);
  beforeAll(loadParser);

  test.each([
    ['SELECT * FROM bets WHERE user_id = $1', [5], 'key-in-statement', [5]],
    [
      'SELECT 1 FROM users u JOIN bets b ON b.user_id = u.id WHERE u.id = 9',
      [],
      'key-in-statement',
      ['9'],
    ],
    ['UPDATE bets SET stake = 0 WHERE user_id = $2 AND id = $1', [1, 6], 'key-in-statement', [6]],
    [
      'DELETE FROM bets b USING users u WHERE b.user_id = u.id AND u.id = 3',
      [],
      'key-in-statement',
      ['3'],
    ],
    ['INSERT INTO bets (id, user_id) VALUES ($1, $2)', [1, 8n], 'key-in-statement', [8n]],
    ['INSERT INTO bets (id, user_id) VALUES (1, 2), (2, 3)', [], 'keys-in-statement', ['2', '3']],
    ['SELECT * FROM bets WHERE user_id IN (1, $1)', [4], 'keys-in-statement', ['1', 4]],
    ['SELECT * FROM bets WHERE user_id = ANY ($1)', [[7, 8]], 'keys-in-statement', [7, 8]],
    ['SELECT * FROM bets WHERE user_id = $1', [], 'key-in-statement', undefined],
    ['SELECT * FROM bets WHERE stake > 3', [], 'scatter', undefined],
    ["SELECT * FROM orders WHERE customer = 'ann'", [], 'key-in-statement', ['ann']],
    ['SELECT * FROM countries', [], 'reference', undefined],
    ["INSERT INTO countries VALUES ('nl')", [], 'reference', undefined],
    ['SELECT * FROM settings', [], 'unsharded', undefined],
    ['CREATE TABLE x (id int)', [], 'everywhere', undefined],
    ['ALTER TABLE bets ADD x int; CREATE INDEX ON bets (x)', [], 'everywhere', undefined],
    ['UPDATE bets SET stake = 0', [], 'everywhere', undefined],
    ['BEGIN', [], 'refused', undefined],
    ['/* nothing */', [], 'refused', undefined],
    ['SELECT 1; SELECT 2', [], 'refused', undefined],
    ['SELECT * FROM bets ORDER BY id LIMIT 3', [], 'refused', undefined],
    ['SELECT * FROM users, bets', [], 'refused', undefined],
    ['SELECT * FROM users u JOIN orders o ON o.x = u.x', [], 'refused', undefined],
    ['SELECT * FROM users u JOIN settings s ON s.x = u.x', [], 'refused', undefined],
    ['INSERT INTO bets SELECT * FROM bets', [], 'refused', undefined],
    ['INSERT INTO bets (id, user_id) VALUES (1, random())', [], 'refused', undefined],
  ])('%s', (sql, values, rule, keys) => {
    expect(place(sql, values)).toMatchObject({ rule, keys });
  });

  test('the key that is given counts, and another one in the statement is pointed out', () => {
    expect(place('SELECT * FROM bets ORDER BY id LIMIT 3', [], { key: 4 })).toMatchObject({
      rule: 'key',
      keys: [4],
      keyspace: 'users',
      reason: 'the caller names the key',
    });
    expect(place('SELECT * FROM bets WHERE user_id = 5', [], { key: 4 }).reason).toMatch(
      /names another/,
    );
  });

  test('what is no SQL is a typed error', () => {
    expect(() => place('SELEC 1')).toThrow(expect.objectContaining({ code: 'STATEMENT_INVALID' }));
  });
});

describe('on real servers', () => {
  let server: PostgresServer;
  let replica: PostgresServer;
  let router: Router;
  let pools: (ReplicaPool | pg.Pool)[];

  beforeAll(async () => {
    server = await startPostgres({ name: 'explain' });
    replica = await server.addReplica();
    const a = new ReplicaPool({
      primary: { connectionString: server.url, name: 'a-1' },
      replicas: [{ connectionString: replica.url, name: 'a-2' }],
    });
    const b = new pg.Pool({ connectionString: await server.createDatabase('b') });
    pools = [a, b];
    const options: RouterOptions = { shards: { a: a as never, b }, topology, keyspaces };
    router = await createRouter(options);
    await server.waitForReplica(replica);
  });
  afterAll(async () => {
    await router?.close();
    await Promise.all((pools ?? []).map((pool) => pool.end()));
    await replica?.stop();
    await server?.stop();
  });

  test('the shards, their servers, the rule and the call are named', async () => {
    const key = keyOf('a');
    const sql = 'SELECT * FROM bets WHERE user_id = $1';
    await expect
      .poll(async () => (await router.explainStatement(sql, [key])).shards[0]?.role, {
        timeout: 30_000,
      })
      .toBe('replica');
    expect(await router.explainStatement(sql, [key])).toEqual({
      rule: 'key-in-statement',
      reason: 'the statement names the key of every sharded table in it',
      keyspace: 'users',
      epoch: 7,
      call: 'router.query(key, …)',
      shards: [
        {
          shard: 'a',
          slots: [keyspace.slotOf(key)],
          role: 'replica',
          nodes: ['a-2'],
          reason: 'SELECT',
        },
      ],
    });
    const write = await router.explainStatement('DELETE FROM bets WHERE user_id = $1', [key]);
    expect(write.shards).toMatchObject([{ shard: 'a', role: 'primary', nodes: ['a-1'] }]);
  });

  test('a scatter names every shard; a pool of another maker cannot say which server', async () => {
    const { rule, call, shards } = await router.explainStatement('SELECT * FROM bets');
    expect({ rule, call }).toEqual({ rule: 'scatter', call: 'router.scatter(…)' });
    expect(shards).toMatchObject([
      { shard: 'a', role: 'primary', nodes: ['a-1'], reason: expect.stringMatching(/epoch/) },
      { shard: 'b', role: 'unknown', nodes: [] },
    ]);
  });

  test('what is refused has no call and no shard, and says why', async () => {
    const { rule, call, shards, reason } = await router.explainStatement(
      'SELECT 1 FROM users, bets',
    );
    expect({ rule, call, shards }).toEqual({ rule: 'refused', call: undefined, shards: [] });
    expect(reason).toMatch(/join on users\.id = bets\.user_id/);
  });

  test('bad keyspaces and keys are typed errors', async () => {
    await expect(
      router.explainStatement('SELECT 1', [], { keyspace: 'nope', key: 1 }),
    ).rejects.toMatchObject({ code: 'KEYSPACE_UNKNOWN' });
    await expect(router.explainStatement('SELECT 1', [], { key: 1.5 })).rejects.toMatchObject({
      code: 'KEY_INVALID',
    });
  });
});
