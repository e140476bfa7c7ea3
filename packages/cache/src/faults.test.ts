import { setTimeout as sleep } from 'node:timers/promises';
import {
  type MemcachedServer,
  type RedisServer,
  startMemcached,
  startRedis,
} from '@shardline/testkit';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createCache, type LoadContext } from './index.js';

/** Single faults, one at a time; `test/cache/chaos.test.ts` mixes them. */
describe('a cache whose servers fail', () => {
  let redis: RedisServer;
  let memcached: MemcachedServer;
  beforeAll(async () => {
    [redis, memcached] = await Promise.all([startRedis({}), startMemcached({})]);
  });
  afterAll(async () => {
    await redis?.stop();
    await memcached?.stop();
  });

  it.each([
    [false, 'new'],
    [true, 'old'],
  ])(
    'a Redis that comes back from a snapshot, trusted: %s, shows %s',
    async (trustAfterRestart, shown) => {
      await redis.command('FLUSHALL');
      await using cache = createCache({ redis: redis.url, trustAfterRestart });
      await cache.ready();
      let source = 'old';
      const load = () => source;
      const things = cache.namespace('things', { ttl: '1h', tiers: ['l2'], load });
      expect(await things.get('k')).toBe('old');
      await redis.command('SAVE');
      source = 'new';
      expect((await things.invalidate('k')).acknowledged).toBe(true);
      await redis.kill();
      await redis.restart();
      await cache.ready();
      await expect.poll(async () => String(await redis.command('DBSIZE'))).not.toBe('0');
      await sleep(600); // the breaker may have opened while it was away
      expect(await things.get('k')).toBe(shown);
    },
  );

  it('tells the mark of an invalidation that still waits for a tier to its own loads', async () => {
    await redis.command('FLUSHALL');
    await using cache = createCache({ redis: redis.url, l2Timeout: '200ms' });
    await cache.ready();
    const asked: (string | undefined)[] = [];
    const load = (_key: string, { freshness }: LoadContext) => asked.push(freshness);
    const things = cache.namespace('things', { ttl: '1h', load });
    await redis.freeze();
    const marked = ['a', 'b'].map((key, index) =>
      things.invalidate(key, { freshness: `lsn-${index}` }),
    );
    for (const one of marked) expect((await one).acknowledged).toBe(false);
    await things.get('a');
    await things.get('b');
    expect(asked).toEqual(['lsn-0', 'lsn-1']);
    await redis.thaw();
    // Each key comes to the tier with its own.
    await expect.poll(() => cache.health().healthy, { timeout: 15_000 }).toBe(true);
    await things.get('a');
    await things.get('b');
    expect(asked.slice(2)).toEqual(['lsn-0', 'lsn-1']);
  });

  it('without Redis goes on at the price of one deadline, then of none', async () => {
    await using cache = createCache({
      redis: redis.url,
      memcached: memcached.address,
      l2Timeout: '200ms',
    });
    await cache.ready();
    let loads = 0;
    const load = async (key: string) => {
      loads += 1;
      return `value of ${key}`;
    };
    const things = cache.namespace('frozen', { ttl: '1h', load });
    await redis.freeze();
    const times: number[] = [];
    for (let index = 0; index < 300; index += 1) {
      const beganMs = performance.now();
      expect(await things.get(`k${index % 100}`)).toBe(`value of k${index % 100}`);
      times.push(performance.now() - beganMs);
    }
    expect(cache.health()).toMatchObject({ healthy: false });
    const late = times.slice(50).sort((a, b) => a - b);
    expect(late[Math.floor(late.length * 0.9)]).toBeLessThan(50);
    expect(loads).toBeLessThan(300);
    await redis.thaw();
    await expect
      .poll(
        async () => {
          await things.get(`after ${Math.random()}`);
          return cache.health().healthy;
        },
        { timeout: 15_000 },
      )
      .toBe(true);
  });

  it('without Memcached goes on', async () => {
    await using cache = createCache({ redis: redis.url, memcached: memcached.address });
    await cache.ready();
    const things = cache.namespace('half', { ttl: '1h', load: (key) => key });
    await memcached.kill();
    for (let index = 0; index < 50; index += 1)
      expect(await things.get(`k${index}`)).toBe(`k${index}`);
    await memcached.restart();
    await expect
      .poll(
        async () => {
          await things.invalidate('k1');
          return cache.health().healthy;
        },
        { timeout: 15_000 },
      )
      .toBe(true);
  });

  it('keeps what could not be invalidated, asks no tier for it, and repeats it', async () => {
    await using here = createCache({ redis: redis.url, l2Timeout: '200ms', prefix: 'queue' });
    await using there = createCache({ redis: redis.url, l2Timeout: '200ms', prefix: 'queue' });
    await Promise.all([here.ready(), there.ready()]);
    let source = 'old';
    const options = { ttl: '1h', load: () => source } as const;
    const mine = here.namespace('things', options);
    const theirs = there.namespace('things', options);
    expect(await mine.get('k')).toBe('old');
    expect(await theirs.get('k')).toBe('old');
    await redis.freeze();
    source = 'new';
    expect(await mine.invalidate('k')).toMatchObject({ acknowledged: false });
    expect(here.health().pendingInvalidations).toBe(1);
    expect(await mine.get('k')).toBe('new');
    await redis.thaw();
    await expect.poll(() => here.health().pendingInvalidations, { timeout: 15_000 }).toBe(0);
    expect(await mine.get('k')).toBe('new');
    await expect.poll(() => theirs.get('k'), { timeout: 15_000 }).toBe('new');
  });

  it('tells a strict namespace that its invalidation did not get through', async () => {
    await using cache = createCache({ redis: redis.url, l2Timeout: '200ms', prefix: 'strict' });
    await cache.ready();
    const things = cache.namespace('things', { ttl: '1h', coherence: 'strict', load: () => 1 });
    await redis.freeze();
    await expect(things.invalidate('k')).rejects.toMatchObject({
      code: 'CACHE_INVALIDATION_QUEUED',
      retryable: true,
    });
    await redis.thaw();
    await expect.poll(() => cache.health().pendingInvalidations, { timeout: 15_000 }).toBe(0);
  });

  it('bytes under its keys that are no entry, and keys of another type, poison nothing', async () => {
    await using cache = createCache({ redis: redis.url, prefix: 'foreign' });
    await cache.ready();
    let loads = 0;
    const load = (key: string) => {
      loads += 1;
      return `right ${key}`;
    };
    const things = cache.namespace('things', { ttl: '1h', tiers: ['l2'], load });
    await redis.command('SET', 'foreign:things:v:text', 'somebody else was here');
    await redis.command('HSET', 'foreign:things:v:hash', 'a', '1');
    await redis.command('SET', 'foreign:things:v:cut', Buffer.from('534c0101', 'hex'));
    for (const key of ['text', 'hash', 'cut']) {
      expect(await things.get(key)).toBe(`right ${key}`);
      expect(await things.get(key)).toBe(`right ${key}`);
    }
    expect(loads).toBe(4); // what is of another type is not overwritten, and loaded each time
    await things.invalidate('hash');
    await things.get('hash');
    await things.get('hash');
    expect(loads).toBe(5);
    expect(cache.health().healthy).toBe(true);
  });

  it('a Redis that evicts stamps invalidates what they covered, and brings nothing back', async () => {
    await using cache = createCache({ redis: redis.url, prefix: 'evict' });
    await cache.ready();
    let source = 'old';
    const things = cache.namespace('things', {
      ttl: '1h',
      coherence: 'strict',
      tags: () => ['team'],
      load: () => source,
    });
    expect(await things.get('k')).toBe('old');
    source = 'new';
    await things.invalidateTags(['team']);
    for (const key of (await redis.command('KEYS', 'evict:things:s:*')) as string[]) {
      await redis.command('DEL', key);
    }
    expect(await things.get('k')).toBe('new');
  });

  it('values that cannot be written or are too large are returned and not kept', async () => {
    await using cache = createCache({
      redis: redis.url,
      memcached: memcached.address,
      prefix: 'large',
    });
    await cache.ready();
    const load = (key: string) => (key === 'big' ? 'x'.repeat(3_000_000) : 10n);
    const things = cache.namespace<string | bigint>('things', {
      ttl: '1h',
      tiers: ['l2', 'l3'],
      compression: 'none',
      load,
    });
    expect(await things.get('big')).toHaveLength(3_000_000);
    expect(await things.get('unwritable')).toBe(10n);
    expect(await things.get('unwritable')).toBe(10n);
    await expect(things.set('unwritable', 10n)).rejects.toMatchObject({
      code: 'CACHE_VALUE_INVALID',
    });
    expect(await redis.command('EXISTS', 'large:things:v:big')).toBe(1);
    expect(cache.health().healthy).toBe(true);
    expect((await things.set('big', 'y'.repeat(3_000_000))).acknowledged).toBe(true);
  });
});

describe('ten thousand callers of one cold key in eight caches', () => {
  it('make one load', async () => {
    const redis = await startRedis({});
    // One process plays eight: its own slowness must not look like Redis's.
    const caches = Array.from({ length: 8 }, () =>
      createCache({ redis: redis.url, l2Timeout: '10s' }),
    );
    await Promise.all(caches.map((cache) => cache.ready()));
    let loads = 0;
    const load = async () => {
      loads += 1;
      await sleep(100);
      return 'hot';
    };
    const namespaces = caches.map((cache) =>
      cache.namespace('hot', { ttl: '1h', leaseWait: '20s', load }),
    );
    const values = await Promise.all(
      Array.from({ length: 10_000 }, (_, index) => namespaces[index % 8]?.get('key')),
    );
    expect(new Set(values)).toEqual(new Set(['hot']));
    expect(loads).toBe(1);
    await Promise.all(caches.map((cache) => cache.close()));
    await redis.stop();
  });
});
