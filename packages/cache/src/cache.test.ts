import { getEventListeners } from 'node:events';
import { type RedisServer, startMemcached, startRedis } from '@shardline/testkit';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createCache } from './index.js';

describe('a cache over three tiers', () => {
  let redis: RedisServer;
  let memcached: Awaited<ReturnType<typeof startMemcached>>;

  beforeAll(async () => {
    [redis, memcached] = await Promise.all([startRedis({}), startMemcached({})]);
  });
  afterAll(async () => {
    await redis?.stop();
    await memcached?.stop();
  });

  const open = () => createCache({ redis: redis.url, memcached: memcached.address });

  it('loads once, serves from every tier, and drops from all on invalidation', async () => {
    await using one = open();
    await using two = open();
    await Promise.all([one.ready(), two.ready()]);
    let loads = 0;
    let source = 'old';
    const load = async () => {
      loads += 1;
      return source;
    };
    const first = one.namespace<string>('profiles', { ttl: '1h', load });
    const second = two.namespace<string>('profiles', { ttl: '1h', load });
    expect(await first.get('42')).toBe('old');
    expect(first.peek('42')).toBe('old');
    expect(await second.get('42')).toBe('old');
    expect(loads).toBe(1);
    // A read that L2 answers is one that L1 did not.
    expect(second.stats()).toMatchObject({ l1Hits: 0, l2Hits: 1, misses: 1 });
    source = 'new';
    expect(await first.invalidate('42')).toEqual({ acknowledged: true, waitingFor: [] });
    await expect.poll(() => second.peek('42')).toBe(undefined);
    expect(await second.get('42')).toBe('new');
    expect(await first.get('42')).toBe('new');
    expect(loads).toBe(2);
    await redis.command('FLUSHALL');
    await expect.poll(() => first.peek('42')).toBe(undefined);
    expect(await first.get('42')).toBe('new');
    expect(loads).toBe(2);
  });

  it('shows a caller who knows more than this process nothing from before that time', async () => {
    let sinceMs: number | undefined;
    await using reader = createCache({ redis: redis.url, provenSince: () => sinceMs });
    await using writer = createCache({ redis: redis.url });
    await Promise.all([reader.ready(), writer.ready()]);
    const policy = { ttl: '1h', tiers: ['l1', 'l2'], bound: '1h' } as const;
    let source = 0;
    const load = async () => {
      source += 1;
      return source;
    };
    const own = reader.namespace<number>('since', { ...policy, load });
    const others = writer.namespace<number>('since', { ...policy, load });
    for (let round = 1; round <= 20; round += 1) {
      const key = `k${round}`;
      const first = await own.get(key);
      await others.invalidate(key);
      // Whether or not this process has heard of it by now.
      sinceMs = performance.now();
      expect(own.peek(key) ?? (await own.get(key))).toBeGreaterThan(first ?? Number.NaN);
      const loads = source;
      expect(await own.get(key)).toBe(loads);
      sinceMs = undefined;
    }
  });

  it('runs every load in its context, and leaves a mark where an invalidation gives none', async () => {
    await using cache = open();
    await cache.ready();
    const marks: (string | undefined)[] = [];
    let around = 0;
    const namespace = cache.namespace<number>('context', {
      ttl: '1h',
      freshness: 'now',
      around: (load) => {
        around += 1;
        return load();
      },
      load: (_key, { freshness }) => marks.push(freshness),
    });
    await namespace.get('a');
    await namespace.invalidate('a');
    await namespace.get('a');
    await cache.apply([{ namespace: 'context', keys: ['b'], freshness: 'then' }]);
    await namespace.get('b', { load: (_key, { freshness }) => marks.push(freshness) });
    await cache.apply([{ namespace: 'context', keys: ['c'] }]);
    await namespace.get('c');
    expect(marks).toEqual([undefined, 'now', 'then', 'now']);
    expect(around).toBe(4);
  });

  it('reads many keys with one signal, and leaves nothing on it', async () => {
    const warnings: Error[] = [];
    const onWarning = (warning: Error) => warnings.push(warning);
    process.on('warning', onWarning);
    await using cache = createCache({});
    const things = cache.namespace<string>('many', {
      ttl: '1h',
      load: (key) => new Promise<string>((resolve) => setImmediate(resolve, key)),
    });
    const { signal } = new AbortController();
    const keys = Array.from({ length: 200 }, (_, index) => `k${index}`);
    expect(await things.getMany(keys, { signal })).toEqual(keys);
    await new Promise((resolve) => setImmediate(resolve));
    process.off('warning', onWarning);
    expect(warnings).toEqual([]);
    expect(getEventListeners(signal, 'abort')).toEqual([]);
  });
});
