import { startTopology, type Topology } from '@shardline/testkit';
import { createDataLayer, defineConfig, initialiseShards } from 'shardline';
import * as v from 'valibot';
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';

/** The data layer over two real shards with a replica each, Redis and Memcached. */

const Account = v.object({ account_id: v.bigint(), owner: v.string(), cents: v.bigint() });

let topology: Topology;
let first: Awaited<ReturnType<typeof open>>;
let second: Awaited<ReturnType<typeof open>>;
let nextId = 1000n;

function configOf(servers: Topology) {
  const shards = servers.shards.map(({ name, primary, replicas }) => [
    name,
    { primary: primary.url, replicas: replicas.map(({ url }) => url) },
  ]);
  return defineConfig({
    name: 'bank',
    catalog: servers.shard(0).primary.url,
    shards: Object.fromEntries(shards),
    keyspaces: { accounts: { keyType: 'bigint', slots: 64 } },
    redis: servers.redis.url,
    memcached: servers.memcached.map(({ address }) => address),
    entities: {
      accounts: {
        table: 'accounts',
        keyspace: 'accounts',
        key: 'account_id',
        schema: Account,
        cache: { ttl: '1h', tiers: ['l1', 'l2', 'l3'] },
      },
      entries: { table: 'entries', keyspace: 'accounts', key: 'account_id', id: 'entry_no' },
    },
    limits: { tiers: { free: { limit: 3, per: '1h' } } },
  });
}

function open() {
  return createDataLayer(configOf(topology));
}

beforeAll(async () => {
  topology = await startTopology({
    shards: 2,
    replicasPerShard: 1,
    redis: 'standalone',
    memcached: 1,
  });
  await initialiseShards(configOf(topology));
  first = await open();
  await first.router.everywhere(`
    CREATE TABLE accounts (account_id bigint PRIMARY KEY, owner text NOT NULL, cents bigint NOT NULL);
    CREATE TABLE entries (account_id bigint, entry_no int, cents bigint, PRIMARY KEY (account_id, entry_no));
  `);
  second = await open();
});

afterAll(async () => {
  await first?.close();
  await second?.close();
  await topology?.stop();
});

beforeEach(() => {
  nextId += 1000n;
});

const account = (offset: bigint, cents = 0n) => ({
  account_id: nextId + offset,
  owner: `owner ${offset}`,
  cents,
});

describe('an entity', () => {
  test('gives back what was inserted, typed by its schema, and undefined for what is not there', async () => {
    const stored = await first.entities.accounts.insert(account(1n, 7n));
    expect(stored).toEqual(account(1n, 7n));
    expect(await first.entities.accounts.get(nextId + 1n)).toEqual(account(1n, 7n));
    expect(await first.entities.accounts.get(nextId + 2n)).toBeUndefined();
  });

  test('a row that was asked for in vain is found once it is inserted, in another process too', async () => {
    expect(await second.entities.accounts.get(nextId)).toBeUndefined();
    await first.entities.accounts.insert(account(0n));
    expect(await first.entities.accounts.get(nextId)).toEqual(account(0n));
  });

  test('after an update no tier of this layer shows the old row', async () => {
    await first.entities.accounts.insert(account(1n, 1n));
    await first.entities.accounts.get(nextId + 1n);
    const changed = await first.entities.accounts.update(nextId + 1n, { cents: 2n });
    expect(changed?.cents).toBe(2n);
    expect((await first.entities.accounts.get(nextId + 1n))?.cents).toBe(2n);
  });

  test('a deleted row is gone, and deleting it again says so', async () => {
    await first.entities.accounts.insert(account(1n));
    expect(await first.entities.accounts.delete(nextId + 1n)).toEqual(account(1n));
    expect(await first.entities.accounts.get(nextId + 1n)).toBeUndefined();
    expect(await first.entities.accounts.delete(nextId + 1n)).toBeUndefined();
  });

  test('rows of many keys lie on both shards, each once, where the router says', async () => {
    const ids = Array.from({ length: 100 }, (_, at) => nextId + BigInt(at));
    const rows = ids.map((id) => ({ account_id: id, owner: 'many', cents: id }));
    expect(await first.entities.accounts.insertMany(rows)).toBe(100);
    for (const { name, primary } of topology.shards) {
      const { rows: held } = await primary.query<{ account_id: string }>(
        'SELECT account_id FROM accounts WHERE account_id BETWEEN $1 AND $2',
        [String(ids[0]), String(ids.at(-1))],
      );
      expect(held.length).toBeGreaterThan(0);
      for (const { account_id } of held) {
        expect(first.router.explain(account_id)).toMatchObject({ kind: 'one', shard: name });
      }
    }
    const found = await second.entities.accounts.getMany(ids);
    expect(found.map((row) => row?.account_id)).toEqual(ids);
  });

  test('what one tick asks for is one statement per shard', async () => {
    const ids = Array.from({ length: 50 }, (_, at) => nextId + BigInt(at));
    await first.entities.entries.insertMany(
      ids.map((id) => ({ account_id: id, entry_no: 1, cents: 1n })),
    );
    const byKeys = vi.spyOn(first.router.keyspace('accounts'), 'byKeys');
    const found = await Promise.all(ids.map((id) => first.entities.entries.get(id, 1)));
    expect(found.every((row) => row?.['entry_no'] === 1)).toBe(true);
    // One call of byKeys is one statement for each shard that owns a key of it.
    expect(byKeys).toHaveBeenCalledTimes(1);
    byKeys.mockRestore();
  });

  test('a key of the wrong type and a row without a key are refused before anything is sent', async () => {
    await expect(first.entities.accounts.get('not a number' as never)).rejects.toMatchObject({
      code: 'KEY_INVALID',
    });
    await expect(first.entities.accounts.insert({ owner: 'nobody' })).rejects.toMatchObject({
      code: 'ENTITY_KEY_MISSING',
    });
    await expect(first.entities.entries.get(1n, undefined as never)).rejects.toMatchObject({
      code: 'ENTITY_KEY_MISSING',
    });
  });

  test('a row that does not fit the schema is an error that names the column', async () => {
    const { accounts } = first.entities;
    await accounts.insert(account(1n));
    const layer = await createDataLayer({
      ...configOf(topology),
      entities: {
        accounts: {
          table: 'accounts',
          keyspace: 'accounts',
          key: 'account_id',
          schema: v.object({ account_id: v.bigint(), owner: v.number() }),
        },
      },
    });
    await expect(layer.entities.accounts.get(nextId + 1n)).rejects.toMatchObject({
      code: 'ENTITY_ROW_INVALID',
      message: expect.stringContaining('owner'),
    });
    await layer.close();
  });
});

test('a write to the wrong shard is refused by that shard, whoever sends it', async () => {
  const id = nextId;
  const { shard } = first.router.explain(id) as { shard: string };
  const other = topology.shards.find(({ name }) => name !== shard);
  await expect(
    other?.primary.query('INSERT INTO accounts VALUES ($1, $2, 0)', [String(id), 'thief']),
  ).rejects.toMatchObject({ code: 'SL001' });
});

test('limits are those of the configuration, shared by all processes', async () => {
  const subject = `user:${nextId}`;
  const decisions = [];
  for (const layer of [first, second, first, second]) {
    decisions.push(await layer.limits.check(subject, { tier: 'free' }));
  }
  expect(decisions.map(({ allowed }) => allowed)).toEqual([true, true, true, false]);
  expect(decisions[3]?.retryAfterMs).toBeGreaterThan(0);
});

test('a layer whose servers are away says which, and leaves nothing open', async () => {
  const config = { ...configOf(topology), redis: 'redis://127.0.0.1:1' };
  await expect(createDataLayer(config)).rejects.toMatchObject({ code: 'REDIS_UNREACHABLE' });
});

test('after close the layer says that it is not live', async () => {
  const layer = await open();
  expect(layer.health()).toMatchObject({ live: true, ready: true });
  await layer.close();
  await layer.close();
  expect(layer.health()).toMatchObject({ live: false, ready: false });
});
