import { setTimeout as sleep } from 'node:timers/promises';
import { type RedisCluster, startRedisCluster } from '@shardline/testkit';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Cache, type CacheNamespace, createCache } from './index.js';

/** More than one page of each master. */
const MANY = 5000;

describe('the keys of a namespace on a Redis Cluster', () => {
  let cluster: RedisCluster;
  let cache: Cache;
  let things: CacheNamespace<number>;
  const wanted = Array.from({ length: MANY }, (_, index) => `k${index}`);
  beforeAll(async () => {
    cluster = await startRedisCluster({});
    cache = createCache({
      redis: { cluster: cluster.nodes.map(({ host, port }) => ({ host, port })) },
      l2Timeout: '2s',
    });
    await cache.ready({ deadline: '20s' });
    things = cache.namespace('things', { ttl: '1h', tiers: ['l2'], load: (key) => key.length });
    const neighbours = cache.namespace('thing', { ttl: '1h', tiers: ['l2'], load: () => 1 });
    for (let start = 0; start < MANY; start += 500) {
      await fill(things, wanted.slice(start, start + 500));
    }
    await fill(neighbours, ['s:v:k1', '*', 'k0']);
  }, 60_000);
  afterAll(async () => {
    await cache?.close();
    await cluster?.stop();
  });

  /** Until Redis has them all: the first calls may find a master that is not connected to yet. */
  async function fill(namespace: CacheNamespace<number>, keys: readonly string[]): Promise<void> {
    const endsAtMs = performance.now() + 30_000;
    for (;;) {
      const { loads } = namespace.stats();
      await namespace.getMany(keys);
      if (namespace.stats().loads === loads) return;
      expect(performance.now()).toBeLessThan(endsAtMs);
      await sleep(50);
    }
  }

  async function keysOf(namespace: CacheNamespace<number>): Promise<string[]> {
    const keys: string[] = [];
    for await (const key of namespace.keys()) keys.push(key);
    return keys;
  }

  it('are those of every master, and no neighbour of theirs', async () => {
    for (const master of await cluster.masters()) {
      expect(Number(await master.command('DBSIZE'))).toBeGreaterThan(MANY / 6);
    }
    const keys = await keysOf(things);
    expect(new Set(keys)).toEqual(new Set(wanted));
  });

  it('are all there while a slot is on its way, one or the other twice', async () => {
    const [key] = wanted as [string];
    const slot = cluster.slotOf(`shardline:things:v:${key}`);
    const from = await cluster.masterOf(slot);
    const to = (await cluster.masters()).find((one) => one !== from);
    const move = await cluster.beginSlotMove(slot, to as typeof from);
    await move.moveKeys();
    expect(new Set(await keysOf(things))).toEqual(new Set(wanted));
    await move.finish();
    expect(new Set(await keysOf(things))).toEqual(new Set(wanted));
  });

  it('are invalidated once each though they come twice', async () => {
    const few = cache.namespace<number>('few', { ttl: '1h', tiers: ['l2'], load: () => 1 });
    await fill(few, ['a', 'b', 'c']);
    const keys = await keysOf(few);
    expect(new Set(keys)).toEqual(new Set(['a', 'b', 'c']));
    await few.invalidate([...keys, ...keys]);
    expect(await keysOf(few)).toEqual([]);
  });

  it('end with the signal, and with whoever has seen enough', async () => {
    const stop = new AbortController();
    let seen = 0;
    const reading = (async () => {
      for await (const _ of things.keys({ signal: stop.signal })) {
        seen += 1;
        if (seen === 3) stop.abort();
      }
    })();
    await expect(reading).rejects.toMatchObject({ code: 'ABORTED' });
    expect(seen).toBe(3);
    const early = things.keys({ signal: AbortSignal.abort() });
    await expect(early.next()).rejects.toMatchObject({ code: 'ABORTED' });
    for await (const key of things.keys()) {
      expect(key).toMatch(/^k/);
      break;
    }
  });

  it('end with a typed error by the deadline of one command when a master is silent', async () => {
    const [master] = await cluster.masters();
    await master?.freeze();
    try {
      const beganMs = performance.now();
      await expect(keysOf(things)).rejects.toMatchObject({ code: 'CACHE_TIER_UNAVAILABLE' });
      expect(performance.now() - beganMs).toBeLessThan(10_000);
    } finally {
      await master?.thaw();
    }
  });
});
