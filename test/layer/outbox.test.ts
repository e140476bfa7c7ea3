import { startTopology, type Topology } from '@shardline/testkit';
import { createDataLayer, initialiseShards } from 'shardline';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { configOf, type ReadingServers, readingsSchema, serversOf } from './readings.js';
import { type ServiceProcess, type Services, startServices } from './service-process.js';

/** Invalidations that ride the transaction, and what becomes of them when their process dies. */
let topology: Topology;
let servers: ReadingServers;
let layer: Awaited<ReturnType<typeof open>>;
let services: Services | undefined;
let nextKey = 0n;

beforeAll(async () => {
  topology = await startTopology({ shards: 2, redis: 'standalone', memcached: 1 });
  servers = serversOf(topology);
  await initialiseShards(configOf(servers));
  // Again: it may be broken off and repeated.
  await initialiseShards(configOf(servers));
  layer = await open();
  await layer.router.everywhere(readingsSchema);
});

afterAll(async () => {
  await layer?.close();
  await topology?.stop();
  await services?.stop();
});

function open() {
  return createDataLayer(configOf(servers));
}

async function newRow(): Promise<bigint> {
  nextKey += 1n;
  await layer.entities.readings.insert({ key: nextKey });
  return nextKey;
}

/** Rows of all outboxes, by what they say. */
async function leftInOutboxes(): Promise<string[]> {
  const rows = await Promise.all(
    topology.shards.map(({ primary }) =>
      primary.query<{ records: unknown }>('SELECT records FROM shardline.outbox'),
    ),
  );
  return rows.flatMap((result) => result.rows.map(({ records }) => JSON.stringify(records)));
}

function shardOf(key: bigint) {
  const { shard } = layer.router.explain(key) as { shard: string };
  return topology.shard(shard);
}

describe('a write', () => {
  test('leaves nothing in the outbox once it is invalidated', async () => {
    const key = await newRow();
    await layer.entities.readings.update(key, { value: 'two' });
    await layer.entities.readings.delete(key);
    await expect.poll(leftInOutboxes).toEqual([]);
  });

  test('has its row in the outbox in the same transaction, and none if it is rolled back', async () => {
    const key = await newRow();
    const attempt = layer.transaction('readings', key, async (transaction) => {
      await layer.entities.readings.update(key, { value: 'never' });
      await layer.emit('reading.changed', {});
      const inside = await transaction.query('SELECT version FROM readings WHERE key = $1', [key]);
      expect(inside.rows[0]?.['version']).toBe(2);
      throw new Error('no');
    });
    await expect(attempt).rejects.toThrow('no');
    expect((await layer.entities.readings.get(key))?.version).toBe(1);
    await expect.poll(leftInOutboxes).toEqual([]);
  });

  test('in a transaction is seen inside at once, and outside only after the commit', async () => {
    const key = await newRow();
    await layer.entities.readings.get(key);
    const outside = layer.entities.readings;
    await using other = await open();
    await layer.transaction('readings', key, async () => {
      await layer.entities.readings.update(key, { value: 'mine' });
      expect((await outside.get(key))?.value).toBe('mine');
      expect((await other.entities.readings.get(key))?.value).toBeNull();
    });
    expect((await layer.entities.readings.get(key))?.value).toBe('mine');
    await expect
      .poll(async () => (await other.entities.readings.get(key))?.value, { timeout: 5000 })
      .toBe('mine');
  });

  test('that a process leaves behind between its commit and the invalidation is carried out by another', {
    timeout: 120_000,
  }, async () => {
    services = await startServices(servers, 1);
    const [service] = services.processes as [ServiceProcess];
    for (const what of ['update', 'transaction'] as const) {
      const key = await newRow();
      expect((await layer.entities.readings.get(key))?.version).toBe(1);
      // While Redis stands still no invalidation gets through, so the process is caught in between.
      await topology.redis.freeze();
      const asked = service.ask({ what, key: Number(key), value: 'left behind' });
      asked.catch(() => {});
      const committed = async () => {
        const text = 'SELECT version FROM readings WHERE key = $1';
        const { rows } = await shardOf(key).primary.query<{ version: number }>(text, [String(key)]);
        return rows[0]?.version;
      };
      await expect.poll(committed, { interval: 5 }).toBe(2);
      await service.kill();
      await topology.redis.thaw();
      expect((await leftInOutboxes()).join()).toContain(`"${key}"`);
      await expect
        .poll(async () => (await layer.entities.readings.get(key))?.version, { timeout: 30_000 })
        .toBe(2);
      await expect.poll(leftInOutboxes).toEqual([]);
      await service.start();
    }
    await service.kill();
  });

  test('to a key of another shard is refused inside a transaction', async () => {
    const key = await newRow();
    let other = await newRow();
    while (shardOf(other) === shardOf(key)) other = await newRow();
    const attempt = layer.transaction('readings', key, () =>
      layer.entities.readings.update(other, { value: 'stray' }),
    );
    await expect(attempt).rejects.toMatchObject({ code: 'WRONG_SHARD' });
    expect((await layer.entities.readings.get(other))?.version).toBe(1);
  });

  test('that outlives its transaction is refused', async () => {
    const key = await newRow();
    let late: (() => Promise<unknown>) | undefined;
    await layer.transaction('readings', key, async (transaction) => {
      late = () => transaction.query('SELECT 1');
    });
    await expect(async () => late?.()).rejects.toMatchObject({ code: 'LAYER_TRANSACTION_OVER' });
  });
});

test('a layer whose shards have no outbox says so, and which', async () => {
  await topology.shard(1).primary.query('ALTER TABLE shardline.outbox RENAME TO gone');
  try {
    await expect(open()).rejects.toMatchObject({
      code: 'LAYER_OUTBOX_MISSING',
      details: { shards: ['shard-1'] },
    });
  } finally {
    await topology.shard(1).primary.query('ALTER TABLE shardline.gone RENAME TO outbox');
  }
});
