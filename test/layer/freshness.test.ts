import { startFaultProxy, startTopology, type Topology } from '@shardline/testkit';
import { BentoCache, bentostore } from 'bentocache';
import { memoryDriver } from 'bentocache/drivers/memory';
import pg from 'pg';
import { createDataLayer, initialiseShards } from 'shardline';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { configOf, type ReadingServers, readingsSchema, serversOf } from './readings.js';

/** A replica that is 500 ms behind, and what that does to caches. */
let topology: Topology;
let servers: ReadingServers;
let nextKey = 1;

beforeAll(async () => {
  topology = await startTopology({
    shards: [{ replicas: [{ applyDelay: '500ms' }] }],
    redis: 'standalone',
    memcached: 1,
  });
  servers = serversOf(topology);
  await initialiseShards(configOf(servers));
  await using layer = await open();
  await layer.router.everywhere(readingsSchema);
});

afterAll(async () => {
  await topology?.stop();
});

function open(tiers?: ReadingServers['tiers']) {
  return createDataLayer(configOf(tiers === undefined ? servers : { ...servers, tiers }));
}

type Layer = Awaited<ReturnType<typeof open>>;

/** A row that every server has, at version 1. */
async function settledRow(layer: Layer): Promise<number> {
  nextKey += 1;
  await layer.entities.readings.insert({ key: BigInt(nextKey), value: 'first' });
  const { primary, replicas } = topology.shard(0);
  for (const replica of replicas) await primary.waitForReplica(replica);
  return nextKey;
}

describe('a replica that is 500 ms behind', () => {
  test('never fills the cache with what was there before a change, in any process', async () => {
    await using writer = await open();
    await using reader = await open();
    for (let round = 0; round < 10; round += 1) {
      const key = await settledRow(writer);
      await reader.entities.readings.get(key);
      await writer.entities.readings.update(key, { value: 'second' });
      // No session: what is seen is what the cache was filled with.
      const seen = await Promise.all([
        writer.entities.readings.get(key),
        reader.cache
          .namespace('readings')
          .invalidate(`${key}`)
          .then(() => writer.entities.readings.get(key)),
      ]);
      expect(seen.map((row) => row?.version)).toEqual([2, 2]);
      await expect
        .poll(async () => (await reader.entities.readings.get(key))?.version, { timeout: 2000 })
        .toBe(2);
    }
  });

  test('nor when the mark of an older write arrives after that of a newer one', async () => {
    await using proxy = await startFaultProxy(topology.redis);
    const url = new URL(servers.redis);
    url.port = String(proxy.port);
    const apart = { ...servers, tiers: ['l1', 'l2'], relayInterval: '600000ms' } as const;
    await using late = await createDataLayer(configOf({ ...apart, redis: url.href }));
    await using quick = await createDataLayer(configOf(apart));
    const key = await settledRow(quick);
    const { primary, replicas } = topology.shard(0);
    const [replica] = replicas;
    if (replica === undefined) throw new Error('There is no replica.');
    // Both know positions of the shard, so that loads may go to the replica.
    await Promise.all([late, quick].map((layer) => layer.entities.readings.get(key)));
    proxy.blackHole();
    const writing = late.entities.readings.update(key, { value: 'older' });
    await primary.waitForReplica(replica);
    await expect
      .poll(async () => {
        const text = 'SELECT version FROM readings WHERE key = $1';
        return (await replica.query<{ version: number }>(text, [key])).rows[0]?.version;
      })
      .toBe(2);
    await replica.query('SELECT pg_wal_replay_pause()');
    try {
      await quick.entities.readings.update(key, { value: 'newer' });
      await proxy.heal();
      await writing;
      await expect.poll(() => late.cache.health().pendingInvalidations).toBe(0);
      expect((await quick.entities.readings.get(key))?.value).toBe('newer');
      expect((await late.entities.readings.get(key))?.value).toBe('newer');
    } finally {
      await replica.query('SELECT pg_wal_replay_resume()');
    }
  });

  test('nor in a cache of one process alone, which keeps no marks for others', async () => {
    await using layer = await open(['l1']);
    for (let round = 0; round < 5; round += 1) {
      const key = await settledRow(layer);
      await layer.entities.readings.get(key);
      await layer.entities.readings.update(key, { value: 'second' });
      expect((await layer.entities.readings.get(key))?.version).toBe(2);
    }
  });

  test('nor in a cached query that a pattern makes stale', async () => {
    await using writer = await open();
    await using reader = await open();
    const key = await settledRow(writer);
    const before = Number(await writer.namespaces.totals.get('all'));
    await reader.namespaces.totals.get('all');
    for (let round = 1; round <= 5; round += 1) {
      await writer.transaction('readings', BigInt(key), async () => {
        await writer.entities.readings.update(key, { value: `round ${round}` });
        await writer.emit('reading.changed', {});
      });
      expect(Number(await writer.namespaces.totals.get('all'))).toBe(before + round);
    }
    await expect
      .poll(async () => Number(await reader.namespaces.totals.get('all')), { timeout: 5000 })
      .toBe(before + 5);
  });

  test('is used all the same, for rows that nobody has changed of late', async () => {
    await using layer = await open();
    const key = await settledRow(layer);
    const [replica] = topology.shard(0).replicas;
    const served = async () => {
      const sql =
        'SELECT count(*)::int AS n FROM pg_stat_activity WHERE query LIKE \'SELECT * FROM "readings"%\'';
      return Number((await replica?.query<{ n: number }>(sql))?.rows[0]?.n);
    };
    await expect
      .poll(
        async () => {
          await layer.entities.readings.invalidate(key);
          await layer.cache.namespace('readings').clear();
          await Promise.all(
            Array.from({ length: 20 }, (_, at) => layer.entities.readings.get(key + at)),
          );
          return served();
        },
        { timeout: 60_000, interval: 200 },
      )
      .toBeGreaterThan(0);
  });

  test('poisons the naive combination of a cache library and a pool on the replica', async () => {
    await using layer = await open();
    const key = await settledRow(layer);
    const { primary, replicas } = topology.shard(0);
    const writes = new pg.Pool({ connectionString: primary.url });
    const reads = new pg.Pool({ connectionString: replicas[0]?.url as string });
    const bento = new BentoCache({
      default: 'memory',
      stores: { memory: bentostore().useL1Layer(memoryDriver({ maxSize: '1mb' })) },
    });
    const get = () =>
      bento.getOrSet({
        key: `reading:${key}`,
        ttl: '1h',
        factory: async () => {
          const text = 'SELECT version FROM readings WHERE key = $1';
          return Number((await reads.query(text, [key])).rows[0].version);
        },
      });
    try {
      expect(await get()).toBe(1);
      await writes.query("UPDATE readings SET value = 'second' WHERE key = $1", [key]);
      await bento.delete({ key: `reading:${key}` });
      expect(await get()).toBe(1);
      const [replica] = replicas;
      if (replica !== undefined) await primary.waitForReplica(replica);
      // The replica has the change by now, and the cache will show the old row for an hour.
      expect(
        Number(
          (await reads.query('SELECT version FROM readings WHERE key = $1', [key])).rows[0].version,
        ),
      ).toBe(2);
      expect(await get()).toBe(1);
    } finally {
      await Promise.all([writes.end(), reads.end(), bento.disconnectAll()]);
    }
  });
});
