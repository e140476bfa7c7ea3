import { startTopology, type Topology } from '@shardline/testkit';
import { createDataLayer, defineConfig, initialiseShards } from 'shardline';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

/** Rows that are cached by the writes that return them, in two processes' worth of layers over real servers. */
let topology: Topology;
let here: Awaited<ReturnType<typeof open>>;
let there: Awaited<ReturnType<typeof open>>;
let nextId = 0n;

function configOf() {
  const shards = topology.shards.map(({ name, primary, replicas }) => [
    name,
    { primary: primary.url, replicas: replicas.map(({ url }) => url) },
  ]);
  const keyspace = 'accounts';
  return defineConfig({
    name: 'fills',
    catalog: topology.shard(0).primary.url,
    shards: Object.fromEntries(shards),
    keyspaces: { accounts: { keyType: 'bigint', slots: 64 } },
    redis: topology.redis.url,
    memcached: topology.memcached.map(({ address }) => address),
    entities: {
      accounts: {
        table: 'accounts',
        keyspace,
        key: 'account_id',
        cache: { ttl: '1h', tiers: ['l1', 'l2', 'l3'] },
      },
      strictly: {
        table: 'accounts',
        keyspace,
        key: 'account_id',
        cache: { ttl: '1h', tiers: ['l2'], coherence: 'strict' },
      },
      rarelyRead: {
        table: 'rarely_read',
        keyspace,
        key: 'account_id',
        cache: { ttl: '1h', afterWrite: 'invalidate' },
      },
    },
  });
}

function open() {
  return createDataLayer(configOf());
}

beforeAll(async () => {
  topology = await startTopology({
    shards: [{ replicas: 1 }],
    redis: 'standalone',
    memcached: 1,
  });
  await initialiseShards(configOf());
  here = await open();
  const columns = '(account_id bigint PRIMARY KEY, cents int NOT NULL, tags jsonb)';
  await here.router.everywhere(
    `CREATE TABLE accounts ${columns}; CREATE TABLE rarely_read ${columns};`,
  );
  there = await open();
  await here.cache.ready({ deadline: '20s' });
  await there.cache.ready({ deadline: '20s' });
});

afterAll(async () => {
  await here?.close();
  await there?.close();
  await topology?.stop();
});

async function account(cents = 1): Promise<bigint> {
  nextId += 1n;
  await here.entities.accounts.insert({ account_id: nextId, cents, tags: { of: 'mine' } });
  return nextId;
}

function loads(layer = here, name = 'accounts'): number {
  return layer.stats()[name]?.loads ?? 0;
}

describe('a row that was written', () => {
  test('is read again without being loaded, here and in another process', async () => {
    const id = await account();
    const before = [loads(), loads(there)];
    expect(await here.entities.accounts.get(id)).toMatchObject({ cents: 1 });
    expect(await there.entities.accounts.get(id)).toMatchObject({ cents: 1 });
    await here.entities.accounts.update(id, { cents: 2 });
    expect(await here.entities.accounts.get(id)).toMatchObject({ cents: 2 });
    await expect.poll(() => there.entities.accounts.get(id)).toMatchObject({ cents: 2 });
    await there.entities.accounts.update(id, { cents: 3 });
    expect(await there.entities.accounts.get(id)).toMatchObject({ cents: 3 });
    await expect.poll(() => here.entities.accounts.get(id)).toMatchObject({ cents: 3 });
    expect([loads(), loads(there)]).toEqual(before);
  });

  test('is its writer’s own: the cached one does not change with it', async () => {
    const id = await account();
    const row = await here.entities.accounts.update(id, { cents: 2 });
    Object.assign(row ?? {}, { cents: 99 });
    Object.assign(row?.['tags'] ?? {}, { of: 'changed' });
    const tags = { of: 'mine' };
    expect(await here.entities.accounts.get(id)).toMatchObject({ cents: 2, tags });
  });

  test('within a session is read in it from the cache, and in the next process that has its token', async () => {
    const id = await account();
    const session = here.session();
    await session.run(() => here.entities.accounts.update(id, { cents: 2 }));
    const before = [loads(), loads(there)];
    const hits = here.stats()['accounts']?.l1 ?? 0;
    await session.run(async () => {
      expect(await here.entities.accounts.get(id)).toMatchObject({ cents: 2 });
    });
    expect((here.stats()['accounts']?.l1 ?? 0) - hits).toBe(1);
    const next = there.session(await session.token());
    await next.run(async () => {
      expect(await there.entities.accounts.get(id)).toMatchObject({ cents: 2 });
    });
    expect([loads(), loads(there)]).toEqual(before);
  });

  test('and deleted is gone everywhere', async () => {
    const id = await account();
    await here.entities.accounts.delete(id);
    expect(await here.entities.accounts.get(id)).toBe(undefined);
    await expect.poll(() => there.entities.accounts.get(id)).toBe(undefined);
  });

  test('by a service that seldom reads what it writes is only invalidated', async () => {
    nextId += 1n;
    await here.entities.rarelyRead.insert({ account_id: nextId, cents: 1 });
    const before = loads(here, 'rarelyRead');
    expect(await here.entities.rarelyRead.get(nextId)).toMatchObject({ cents: 1 });
    expect(loads(here, 'rarelyRead')).toBe(before + 1);
  });
});

describe('writers of one row at once', () => {
  test('leave what the last of them stored, or nothing, in every process', async () => {
    const id = await account();
    for (let round = 0; round < 25; round += 1) {
      const writers = [here, there, here, there].map((layer, at) =>
        layer.entities.accounts.update(id, { cents: 10 * round + at }),
      );
      const readers = [here, there].map((layer) => layer.entities.accounts.get(id));
      await Promise.all([...writers, ...readers]);
      const { rows } = await topology
        .shard(0)
        .primary.query<{ cents: number }>(`SELECT cents FROM accounts WHERE account_id = ${id}`);
      const cents = rows[0]?.cents;
      for (const layer of [here, there]) {
        await expect.poll(() => layer.entities.accounts.get(id)).toMatchObject({ cents });
      }
    }
  });

  test('that change it around the cache are never hidden: a strict read shows what was acknowledged', async () => {
    const id = await account();
    for (let round = 0; round < 20; round += 1) {
      const around = async () => {
        const sql = `UPDATE accounts SET cents = ${1000 + round} WHERE account_id = ${id}`;
        await topology.shard(0).primary.query(sql);
        await there.entities.strictly.invalidate(id);
      };
      await Promise.all([here.entities.strictly.update(id, { cents: round }), around()]);
      const { rows } = await topology
        .shard(0)
        .primary.query<{ cents: number }>(`SELECT cents FROM accounts WHERE account_id = ${id}`);
      for (const layer of [here, there]) {
        expect(await layer.entities.strictly.get(id)).toMatchObject({ cents: rows[0]?.cents });
      }
    }
  });
});

test('a table that is given a column while statements on it are prepared is read and written on', async () => {
  const id = await account();
  await here.entities.accounts.update(id, { cents: 2 });
  await here.entities.accounts.invalidate(id);
  await here.entities.accounts.get(id);
  await here.router.everywhere('ALTER TABLE accounts ADD COLUMN note text');
  expect(await here.entities.accounts.update(id, { cents: 3 })).toMatchObject({ note: null });
  await here.entities.accounts.invalidate(id);
  expect(await here.entities.accounts.get(id)).toMatchObject({ cents: 3, note: null });
});
