import {
  loadCatalog,
  publishChange,
  type Queryable,
  writeOwnership,
} from '@shardline/shard-router';
import { startTopology, type Topology } from '@shardline/testkit';
import { createDataLayer, initialiseShards } from 'shardline';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { configOf, type ReadingServers, readingsSchema, serversOf } from './readings.js';

/**
 * Sessions and caches over slots that have moved: positions of the old shard say nothing of the new one, whose
 * replica here is 500 ms behind and has not got the moved rows yet when they are read.
 */
let topology: Topology;
let servers: ReadingServers;
let layer: Awaited<ReturnType<typeof open>>;
let other: Awaited<ReturnType<typeof open>>;

beforeAll(async () => {
  topology = await startTopology({
    shards: [{ replicas: [{ applyDelay: '500ms' }] }, { replicas: [{ applyDelay: '500ms' }] }],
    redis: 'standalone',
    memcached: 1,
  });
  servers = serversOf(topology);
  await initialiseShards(configOf(servers));
  layer = await open();
  await layer.router.everywhere(readingsSchema);
  other = await open();
});

afterAll(async () => {
  await layer?.close();
  await other?.close();
  await topology?.stop();
});

function open() {
  return createDataLayer(configOf(servers));
}

/** Moves the slot of a key to the other shard: rows past the guard, records, catalog. Nobody is at work on it. */
async function moveSlotOf(key: bigint): Promise<void> {
  const { shard: from } = layer.router.explain(key) as { shard: string };
  const to = from === 'shard-0' ? 'shard-1' : 'shard-0';
  const slot = layer.router.keyspace('readings').slotOf(key);
  const { rows } = await topology.shard(from).primary.query('SELECT * FROM readings');
  const moved = rows.filter(
    (row) => layer.router.keyspace('readings').slotOf(String(row['key'])) === slot,
  );
  await topology.shard(to).primary.withClient(async (client) => {
    await client.query('SET session_replication_role = replica');
    for (const row of moved) {
      // The copy that an earlier move left behind.
      await client.query('DELETE FROM readings WHERE key = $1', [row['key']]);
      await client.query('INSERT INTO readings VALUES ($1, $2, $3)', [
        row['key'],
        row['version'],
        row['value'],
      ]);
    }
  });
  await topology.shard(0).primary.withClient(async (catalog) => {
    const current = await loadCatalog(catalog as unknown as Queryable);
    if (current === undefined) throw new Error('There is no topology.');
    const owners = [{ shard: to, slots: [slot] }];
    const change = { keyspace: 'readings', owners };
    const next = current.topology.with(change);
    for (const { name, primary } of topology.shards) {
      await primary.withClient(async (client) => {
        await client.query('BEGIN');
        await writeOwnership(client as unknown as Queryable, name, next, 'readings');
        await client.query('COMMIT');
      });
    }
    await publishChange(catalog as unknown as Queryable, current.topology, change);
  });
}

test('a session sees its own write on the shard that its row has moved to, in every process', async () => {
  for (let key = 1n; key <= 6n; key += 1n) {
    await layer.entities.readings.insert({ key });
    await other.entities.readings.get(key);
    const session = layer.session();
    await session.run(() => layer.entities.readings.update(key, { value: 'mine' }));
    const token = await session.token();
    await moveSlotOf(key);
    await Promise.all([layer.router.refresh(), other.router.refresh()]);
    for (const at of [other, layer]) {
      const taken = at.session(token);
      await taken.run(async () => {
        const text = 'SELECT * FROM readings WHERE key = $1';
        expect((await at.entities.readings.query(key, text, [key]))[0]?.version).toBe(2);
        expect((await at.entities.readings.get(key))?.version).toBe(2);
        expect((await at.entities.readings.update(key, { value: 'again' }))?.value).toBe('again');
        expect((await at.entities.readings.get(key))?.value).toBe('again');
      });
      await taken.run(() => at.entities.readings.delete(key));
      await at.entities.readings.insert({ key, version: 2, value: 'mine' });
    }
  }
});

test('the cache is filled from what the new shard has acknowledged, not from its late replica', async () => {
  for (let key = 11n; key <= 16n; key += 1n) {
    await layer.entities.readings.insert({ key });
    await layer.entities.readings.get(key);
    await moveSlotOf(key);
    await Promise.all([layer.router.refresh(), other.router.refresh()]);
    await layer.entities.readings.update(key, { value: 'on the new shard' });
    expect((await layer.entities.readings.get(key))?.version).toBe(2);
    await expect
      .poll(async () => (await other.entities.readings.get(key))?.version, { timeout: 10_000 })
      .toBe(2);
  }
});

test('a row that was not cached when its slot moved is found at once where it is now', async () => {
  for (let key = 21n; key <= 26n; key += 1n) {
    await layer.entities.readings.insert({ key });
    await moveSlotOf(key);
    await Promise.all([layer.router.refresh(), other.router.refresh()]);
    expect((await other.entities.readings.get(key))?.version).toBe(1);
  }
});
