import { type PostgresServer, startPostgres } from '@shardline/testkit';
import pg from 'pg';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { bootstrap } from './bootstrap.js';
import { createRouter } from './create-router.js';
import type { Router } from './router.js';
import type { RouterOptions } from './router-options.js';
import {
  loadCatalog,
  publishChange,
  releaseHold,
  requestHold,
  unacknowledgedRouters,
} from './topology/catalog.js';
import { writeOwnership } from './topology/ownership.js';
import type { Topology, TopologyChange } from './topology/topology.js';

/** The whole router over real servers: four shards and a catalog, each a database of its own. */
const SHARDS = ['a', 'b', 'c', 'd'];
let server: PostgresServer;
let urls: Record<string, string>;
let catalogUrl: string;
let options: RouterOptions;
let router: Router;

beforeAll(async () => {
  server = await startPostgres({ name: 'router', settings: { max_connections: 200 } });
  catalogUrl = await server.createDatabase('catalog');
  urls = {};
  for (const name of SHARDS) urls[name] = await server.createDatabase(`shard_${name}`);
  options = {
    catalog: { primary: catalogUrl },
    shards: Object.fromEntries(
      SHARDS.map((name) => [name, { primary: urls[name] as string, max: 5 }]),
    ),
    keyspaces: {
      users: { keyType: 'bigint', slots: 64, tables: { users: 'id', bets: 'user_id' } },
    },
    referenceTables: ['countries'],
    unsharded: { shard: 'a', tables: ['settings'] },
    pollInterval: '200ms',
    holdTimeout: '5s',
  };
  await bootstrap(options);
  router = await createRouter(options);
  await router.everywhere(
    `CREATE TABLE users (id bigint PRIMARY KEY, name text, score numeric, born timestamptz);
     CREATE TABLE bets (user_id bigint, id bigint, stake int, PRIMARY KEY (user_id, id));
     CREATE TABLE countries (code text PRIMARY KEY, name text)`,
  );
});

afterAll(async () => {
  await router?.close();
  await server?.stop();
});

beforeEach(async () => {
  await router.everywhere('TRUNCATE users, bets, countries');
});

const keyOn = (shard: string, from = 0) => {
  for (let key = from; ; key += 1) {
    const decision = router.explain(key);
    if (decision.kind === 'one' && decision.shard === shard) return key;
  }
};

async function direct<T>(name: string, work: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client({ connectionString: name === 'catalog' ? catalogUrl : urls[name]! });
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end();
  }
}

/** A change of the topology as a mover makes it: shards' records and catalog. */
async function change(what: TopologyChange): Promise<Topology> {
  const current = await direct('catalog', (client) => loadCatalog(client as never));
  const next = current!.topology.with(what);
  for (const name of SHARDS) {
    await direct(name, async (client) => {
      await client.query('BEGIN');
      await writeOwnership(client as never, name, next, 'users');
      await client.query('COMMIT');
    });
  }
  return direct('catalog', (client) => publishChange(client as never, current!.topology, what));
}

/** Copies the rows of a slot as logical replication does: past the guard. */
async function copySlot(from: string, to: string, slot: number): Promise<void> {
  const rows = await direct(
    from,
    async (client) => (await client.query('SELECT * FROM users')).rows,
  );
  await direct(to, async (client) => {
    await client.query('SET session_replication_role = replica');
    for (const row of rows) {
      if (router.keyspace('users').keyspace.slotOf(row.id) !== slot) continue;
      await client.query('INSERT INTO users VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING', [
        row.id,
        row.name,
        row.score,
        row.born,
      ]);
    }
  });
}

async function deleteSlot(shard: string, slot: number): Promise<void> {
  await direct(shard, async (client) => {
    await client.query('SET session_replication_role = replica');
    const { rows } = await client.query('SELECT id FROM users');
    const gone = rows
      .map(({ id }) => id)
      .filter((id) => router.keyspace('users').keyspace.slotOf(id) === slot);
    await client.query('DELETE FROM users WHERE id = ANY ($1)', [gone]);
  });
}

describe('single-key calls', () => {
  test('a key is written and read on its shard and nowhere else', async () => {
    for (let id = 1; id <= 40; id += 1) {
      await router.query(id, 'INSERT INTO users (id, name) VALUES ($1, $2)', [id, `u${id}`]);
    }
    const counts = await Promise.all(
      SHARDS.map((name) =>
        direct(name, async (client) => (await client.query('SELECT id FROM users')).rows),
      ),
    );
    expect(counts.flat()).toHaveLength(40);
    for (const [at, rows] of counts.entries()) {
      for (const { id } of rows) expect(router.explain(id)).toMatchObject({ shard: SHARDS[at] });
    }
    const { rows } = await router.query('7', 'SELECT name FROM users WHERE id = $1', [7]);
    expect(rows).toEqual([{ name: 'u7' }]);
    const pool = router.shard(7n);
    expect((await pool.query('SELECT name FROM users WHERE id = 7')).rows).toEqual([
      { name: 'u7' },
    ]);
  });

  test('bad keys, keyspaces and tables are typed errors', async () => {
    await expect(router.query(null as never, 'SELECT 1')).rejects.toMatchObject({
      code: 'KEY_INVALID',
    });
    await expect(router.query(2 ** 53, 'SELECT 1')).rejects.toMatchObject({ code: 'KEY_INVALID' });
    expect(() => router.keyspace('user')).toThrow(
      expect.objectContaining({ code: 'KEYSPACE_UNKNOWN' }),
    );
    expect(() => router.table('nothing')).toThrow(
      expect.objectContaining({ code: 'TABLE_UNKNOWN' }),
    );
    await expect(router.insertMany('countries', [{ code: 'x' }])).rejects.toMatchObject({
      code: 'TABLE_UNKNOWN',
    });
    expect(router.table('bets')).toEqual({ kind: 'sharded', keyspace: 'users', key: 'user_id' });
    expect(router.table('settings')).toEqual({ kind: 'unsharded', shard: 'a' });
  });
});

describe('transactions', () => {
  test('commit on one shard and roll back whole', async () => {
    const id = keyOn('b');
    await router.transaction(id, async (transaction) => {
      await transaction.query('INSERT INTO users (id, name) VALUES ($1, $2)', [id, 'x']);
      await transaction.query('INSERT INTO bets VALUES ($1, 1, 5)', [id]);
    });
    await expect(
      router.transaction(id, async (transaction) => {
        await transaction.query('DELETE FROM users WHERE id = $1', [id]);
        throw new Error('changed my mind');
      }),
    ).rejects.toThrow('changed my mind');
    expect((await router.query(id, 'SELECT name FROM users')).rows).toEqual([{ name: 'x' }]);
  });

  test('a key of another shard is refused inside', async () => {
    const id = keyOn('b');
    const other = keyOn('c');
    await expect(
      router.transaction(id, () => router.query(other, 'SELECT 1')),
    ).rejects.toMatchObject({ code: 'WRONG_SHARD' });
    await expect(
      router.transaction(id, async (transaction) => transaction.using(other)),
    ).rejects.toMatchObject({ code: 'WRONG_SHARD' });
    await router.transaction(id, async (transaction) => transaction.using(keyOn('b', id + 1)));
  });
});

describe('many keys', () => {
  test('byKeys asks each shard once and keeps the order, duplicates and gaps included', async () => {
    await router.insertMany(
      'users',
      Array.from({ length: 50 }, (_, id) => ({ id, name: `u${id}` })),
    );
    const keys = [49, '3', 1000n, 3, 0];
    const rows = await router.byKeys(keys, 'SELECT id, name FROM users WHERE id = ANY ($1)', {
      keyColumn: 'id',
    });
    expect(rows.map((list) => list.map(({ name }) => name))).toEqual([
      ['u49'],
      ['u3'],
      [],
      ['u3'],
      ['u0'],
    ]);
    await expect(
      router.byKeys([1], 'DELETE FROM users WHERE id = ANY ($1) RETURNING id', { keyColumn: 'id' }),
    ).rejects.toMatchObject({ code: 'SCATTER_REFUSED' });
  });

  test('insertMany places every row, in batches', async () => {
    const rows = Array.from({ length: 2500 }, (_, id) => ({ id, name: null, score: `${id}.5` }));
    expect(await router.insertMany('users', rows, { batchRows: 100 })).toBe(2500);
    expect(await router.insertMany('users', rows.slice(0, 10), { onConflict: 'nothing' })).toBe(0);
    await expect(router.insertMany('users', [{ name: 'no key' }])).rejects.toMatchObject({
      code: 'KEY_INVALID',
    });
    const [row] = await router
      .scatter('SELECT id FROM users', [], { aggregate: { n: 'count' } })
      .all();
    expect(row).toEqual({ n: '2500' });
  });

  test('copyFrom splits a stream and escapes what COPY would take for its own', async () => {
    async function* rows() {
      for (let id = 0; id < 12_000; id += 1)
        yield { id, name: id % 3 === 0 ? null : `t\tab \\N\n${id}` };
    }
    const report = await router.copyFrom('users', rows(), {
      columns: ['id', 'name'],
      chunkRows: 1000,
    });
    expect(report.rows).toBe(12_000);
    expect(Object.keys(report.byShard).sort()).toEqual(SHARDS);
    const { rows: found } = await router.query(7, 'SELECT name FROM users WHERE id = 7');
    expect(found).toEqual([{ name: 't\tab \\N\n7' }]);
    await expect(router.copyFrom('users', [{ id: 3 }], { columns: ['id'] })).rejects.toMatchObject({
      code: '23505',
    });
  });
});

describe('scatter', () => {
  beforeEach(async () => {
    await router.insertMany(
      'users',
      Array.from({ length: 1000 }, (_, id) => ({
        id,
        name: id % 7 === 0 ? null : `n${id % 10}`,
        score: `${id}.25`,
        born: new Date(Date.UTC(2000, 0, 1) + (id % 50) * 1000),
      })),
    );
  });

  test('merges by order with limit and offset as one server would', async () => {
    const rows = await router
      .scatter('SELECT id, name FROM users WHERE id < $1', [500], {
        orderBy: [{ column: 'name', direction: 'desc', nulls: 'last', collation: 'C' }, 'id'],
        limit: 100,
        offset: 30,
        batchRows: 7,
      })
      .all();
    const expected = Array.from({ length: 500 }, (_, id) => ({
      id: String(id),
      name: id % 7 === 0 ? null : `n${id % 10}`,
    }))
      .sort(
        (a, b) =>
          (a.name === b.name
            ? 0
            : a.name === null
              ? 1
              : b.name === null
                ? -1
                : a.name < b.name
                  ? 1
                  : -1) || Number(a.id) - Number(b.id),
      )
      .slice(30, 130);
    expect(rows).toEqual(expected);
  });

  test('merges totals exactly, grouped and not', async () => {
    const [all] = await router
      .scatter('SELECT id, score, name FROM users', [], {
        aggregate: {
          n: 'count',
          named: { count: 'name' },
          sum: { sum: 'score' },
          mean: { avg: 'id' },
          low: { min: 'score' },
          top: { max: 'id' },
        },
      })
      .all();
    expect(all).toEqual({
      n: '1000',
      named: '857',
      sum: '499750.25'.replace('.25', '.00'),
      mean: '499.5000000000000000',
      low: '0.25',
      top: '999',
    });
    const groups = await router
      .scatter('SELECT name, id FROM users WHERE name IS NOT NULL', [], {
        groupBy: ['name'],
        aggregate: { n: 'count' },
        orderBy: [{ column: 'name', collation: 'C' }],
        limit: 2,
      })
      .all();
    expect(groups.map(({ name }) => name)).toEqual(['n0', 'n1']);
  });

  test('a dead shard fails it, or is reported', async () => {
    const bad = 'SELECT 1 / (id - id) AS x FROM users';
    await expect(router.scatter(bad).all()).rejects.toMatchObject({ code: 'SCATTER_PARTIAL' });
    await expect(router.scatter(bad, [], { limit: 5 }).all()).rejects.toMatchObject({
      code: 'SCATTER_PARTIAL',
    });
    await expect(
      router.scatter('SELECT id, name FROM users', [], { orderBy: ['name'], limit: 5 }).all(),
    ).rejects.toMatchObject({ code: 'SCATTER_REFUSED' });
    const one = keyOn('c');
    const rows = router.scatter('SELECT 10 / (id - $1) AS x FROM users', [one], {
      partial: 'report',
    });
    const found = await rows.all();
    expect(rows.failures.map(({ shard }) => shard)).toEqual(['c']);
    expect(found.length).toBeGreaterThan(0);
  });

  test('a stream that is left early gives its connections back', async () => {
    for (let round = 0; round < 20; round += 1) {
      for await (const _ of router.scatter('SELECT * FROM users', [], { batchRows: 10 })) break;
    }
    expect((await router.query(1, 'SELECT 1 AS one')).rows).toEqual([{ one: 1 }]);
  });
});

describe('while slots move', () => {
  test('a scatter counts every row once, before, during and after', async () => {
    await router.insertMany(
      'users',
      Array.from({ length: 400 }, (_, id) => ({ id, name: 'x' })),
    );
    const key = keyOn('a');
    const slot = router.keyspace('users').keyspace.slotOf(key);
    const count = async () => {
      const all = (await router.scatter('SELECT id FROM users').all()).length;
      // By cursors and by pages, which check the epoch in ways of their own.
      expect(await router.scatter('SELECT id FROM users', [], { limit: 400 }).all()).toHaveLength(
        all,
      );
      return all;
    };
    const both = [
      { shard: 'a', slots: [slot] },
      { shard: 'b', slots: [slot] },
    ];
    expect(await count()).toBe(400);
    await change({ keyspace: 'users', enterTransit: both });
    await copySlot('a', 'b', slot);
    expect(await count()).toBe(400);
    expect(
      await router
        .scatter('SELECT u.id FROM users u LEFT JOIN bets b ON b.user_id = u.id', [], {
          aggregate: { n: 'count' },
        })
        .all(),
    ).toEqual([{ n: '400' }]);
    await expect(router.scatter('SELECT * FROM pg_temp.unknown').all()).rejects.toMatchObject({
      code: 'SCATTER_REFUSED',
    });
    await change({ keyspace: 'users', owners: [{ shard: 'b', slots: [slot] }] });
    expect(await count()).toBe(400);
    expect(
      (await router.query(key, 'SELECT name FROM users WHERE id = $1', [key])).rows,
    ).toHaveLength(1);
    expect(router.explain(key)).toMatchObject({ shard: 'b' });
    await deleteSlot('a', slot);
    await change({ keyspace: 'users', leaveTransit: both });
    expect(await count()).toBe(400);
  });

  test('a stale router writes to the new owner and reads from it, without an error', async () => {
    await using stale = await createRouter({
      ...options,
      pollInterval: '10m',
      listen: false,
      lease: '100ms',
    });
    const key = keyOn('c');
    const slot = router.keyspace('users').keyspace.slotOf(key);
    await stale.query(key, 'INSERT INTO users (id, name) VALUES ($1, $2)', [key, 'old']);
    await new Promise((resolve) => setTimeout(resolve, 150));
    await copySlot('c', 'd', slot);
    await change({ keyspace: 'users', owners: [{ shard: 'd', slots: [slot] }] });
    await direct('d', (client) =>
      client.query('UPDATE users SET name = $2 WHERE id = $1', [key, 'new']),
    );
    expect(stale.explain(key)).toMatchObject({ shard: 'c' });
    const read = await stale.query(key, 'SELECT name FROM users WHERE id = $1', [key]);
    expect(read.rows).toEqual([{ name: 'new' }]);
    await deleteSlot('c', slot);
  });

  test('an UPDATE that meets no row at the old owner is done at the new one', async () => {
    await using stale = await createRouter({
      ...options,
      pollInterval: '10m',
      listen: false,
      lease: '100ms',
    });
    const key = keyOn('c');
    const slot = router.keyspace('users').keyspace.slotOf(key);
    await router.query(key, 'INSERT INTO users (id, name) VALUES ($1, $2)', [key, 'old']);
    await copySlot('c', 'd', slot);
    await change({ keyspace: 'users', owners: [{ shard: 'd', slots: [slot] }] });
    await deleteSlot('c', slot);
    await new Promise((resolve) => setTimeout(resolve, 150));
    const update = await stale.query(key, 'UPDATE users SET name = $2 WHERE id = $1', [key, 'new']);
    expect(update.rowCount).toBe(1);
    await stale.transaction(key, async (transaction) => {
      const { rows } = await transaction.query('SELECT name FROM users WHERE id = $1', [key]);
      expect(rows).toEqual([{ name: 'new' }]);
    });
  });

  test('held slots make calls wait, and release lets them through to the new owner', async () => {
    const key = keyOn('a');
    const slot = router.keyspace('users').keyspace.slotOf(key);
    await router.query(key, 'INSERT INTO users (id, name) VALUES ($1, $2)', [key, 'x']);
    const { id, revision } = await direct('catalog', (client) =>
      requestHold(client as never, 'users', [slot]),
    );
    await until(
      async () =>
        (await direct('catalog', (client) => unacknowledgedRouters(client as never, revision)))
          .length === 0,
    );
    let answered = false;
    const waiting = router
      .query(key, 'SELECT name FROM users WHERE id = $1', [key])
      .then((result) => {
        answered = true;
        return result;
      });
    await until(async () => router.health().holds[0]!.waiting === 1);
    expect(answered).toBe(false);
    await copySlot('a', 'b', slot);
    await change({ keyspace: 'users', owners: [{ shard: 'b', slots: [slot] }] });
    await direct('catalog', (client) => releaseHold(client as never, id));
    expect((await waiting).rows).toEqual([{ name: 'x' }]);
    expect(router.explain(key)).toMatchObject({ shard: 'b' });
    await deleteSlot('a', slot);
  });
});

describe('everywhere and reference tables', () => {
  test('a run that fails on one shard can be repeated as it is', async () => {
    await direct('c', (client) => client.query('CREATE TABLE extra (id int)'));
    const failing = router.everywhere('CREATE TABLE extra (id int)', [], { id: 'extra-1' });
    await expect(failing).rejects.toMatchObject({
      code: 'EVERYWHERE_INCOMPLETE',
      details: { failed: ['c'] },
    });
    await direct('c', (client) => client.query('DROP TABLE extra'));
    const outcomes = await router.everywhere('CREATE TABLE extra (id int)', [], { id: 'extra-1' });
    expect(outcomes.map(({ status }) => status)).toEqual(['skipped', 'skipped', 'done', 'skipped']);
    await router.everywhere('DROP TABLE extra');
  });

  test('a reference table is written on all shards or on none', async () => {
    await router.reference.write('INSERT INTO countries VALUES ($1, $2)', ['no', 'Norway']);
    for (let turn = 0; turn < SHARDS.length; turn += 1) {
      expect((await router.reference.query('SELECT name FROM countries')).rows).toEqual([
        { name: 'Norway' },
      ]);
    }
    await direct('d', (client) => client.query(`INSERT INTO countries VALUES ('se', 'Sweden')`));
    await expect(
      router.reference.write(`INSERT INTO countries VALUES ('se', 'Sverige')`),
    ).rejects.toMatchObject({ code: '23505' });
    expect(
      await direct('a', async (client) => (await client.query('SELECT code FROM countries')).rows),
    ).toEqual([{ code: 'no' }]);
  });

  test('doctor lists what differs between shards', async () => {
    expect(await router.doctor()).toEqual([]);
    await direct('b', (client) =>
      client.query('ALTER TABLE users ADD COLUMN oops int; CREATE INDEX odd ON bets (stake)'),
    );
    const found = await router.doctor();
    expect(found.map(({ table, part }) => `${table} ${part}`)).toEqual([
      'public.bets index odd',
      'public.users column oops',
    ]);
    expect(found[1]!.definitions).toEqual({
      a: undefined,
      b: 'integer',
      c: undefined,
      d: undefined,
    });
    await direct('b', (client) =>
      client.query('ALTER TABLE users DROP COLUMN oops; DROP INDEX odd'),
    );
  });
});

describe('a router that must not be opened', () => {
  test('all faults of its options are named', async () => {
    const bad = {
      ...options,
      shards: { a: { primary: urls['a']! }, b: { primary: urls['a']! } },
      polInterval: '1s',
    };
    await expect(createRouter(bad as never)).rejects.toThrow(/did you mean 'pollInterval'/);
    const same = { ...options, shards: { ...options.shards, b: { primary: urls['a']! } } };
    await expect(createRouter(same)).rejects.toThrow("has the same address as shard 'a'");
  });

  test('a shard that is another, a shard that is missing, a catalog of the future', async () => {
    const swapped = {
      ...options,
      shards: {
        ...options.shards,
        a: { primary: `${urls['b']}?application_name=x` },
        b: { primary: urls['a']! },
      },
    };
    await expect(createRouter(swapped)).rejects.toMatchObject({ code: 'SHARD_MISMATCH' });
    const { d: _, ...three } = options.shards as Record<string, { primary: string }>;
    await expect(createRouter({ ...options, shards: three })).rejects.toMatchObject({
      code: 'SHARD_MISSING',
      details: { missing: ['d'] },
    });
    const other = {
      ...options,
      keyspaces: { users: { ...options.keyspaces['users']!, keyType: 'text' as const } },
    };
    await expect(createRouter(other)).rejects.toMatchObject({ code: 'TOPOLOGY_INVALID' });
    await direct('catalog', (client) =>
      client.query(`INSERT INTO shardline.catalog_migration VALUES (99, 'future')`),
    );
    await expect(createRouter(options)).rejects.toMatchObject({ code: 'CATALOG_TOO_NEW' });
    await direct('catalog', (client) =>
      client.query('DELETE FROM shardline.catalog_migration WHERE version = 99'),
    );
    const empty = { ...options, catalog: { primary: server.url } };
    await expect(createRouter(empty)).rejects.toMatchObject({ code: 'CATALOG_MISSING' });
  });
});

async function until(condition: () => Promise<boolean>): Promise<void> {
  const deadline = Date.now() + 20_000;
  while (!(await condition())) {
    if (Date.now() > deadline) throw new Error('the condition never came true');
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
