import {
  type MemcachedServer,
  type RedisServer,
  startMemcached,
  startRedis,
} from '@shardline/testkit';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Cache, createCache, FRESHEST, type LoadContext } from './index.js';

describe('invalidation over three tiers and two caches', () => {
  let redis: RedisServer;
  let memcached: MemcachedServer;
  let number = 0;
  const open: Cache[] = [];
  beforeAll(async () => {
    [redis, memcached] = await Promise.all([startRedis({}), startMemcached({})]);
  });
  afterAll(async () => {
    await Promise.all(open.map((cache) => cache.close()));
    await redis?.stop();
    await memcached?.stop();
  });

  async function pair(rules = {}) {
    number += 1;
    const caches = [0, 1].map(() =>
      createCache({
        redis: redis.url,
        memcached: memcached.address,
        prefix: `i${number}`,
        rules,
        l2Timeout: '2s',
        l3Timeout: '2s',
      }),
    ) as [Cache, Cache];
    open.push(...caches);
    await Promise.all(caches.map((cache) => cache.ready()));
    return caches;
  }

  it('by tag takes what carries it, wherever it is, and leaves the rest', async () => {
    const [one, two] = await pair();
    let round = 1;
    const options = {
      ttl: '1h',
      load: (key: string) => `${key} ${round}`,
      tags: (key: string) => [`club:${key.length}`],
    } as const;
    const here = one.namespace('players', options);
    const there = two.namespace('players', options);
    expect(await here.getMany(['a', 'b', 'cc'])).toEqual(['a 1', 'b 1', 'cc 1']);
    expect(await there.getMany(['a', 'b', 'cc'])).toEqual(['a 1', 'b 1', 'cc 1']);
    round = 2;
    expect(await here.invalidateTags(['club:1'])).toMatchObject({ acknowledged: true });
    expect(await here.getMany(['a', 'b', 'cc'])).toEqual(['a 2', 'b 2', 'cc 1']);
    await expect.poll(() => there.getMany(['a', 'b', 'cc'])).toEqual(['a 2', 'b 2', 'cc 1']);
    round = 3;
    await two.invalidateTags(['club:2']);
    await expect.poll(() => here.get('cc')).toBe('cc 3');
    expect(await here.get('a')).toBe('a 2');
  });

  it('by a tag that `set` gave takes what was set', async () => {
    const [one] = await pair();
    const posts = one.namespace<string>('posts', { ttl: '1h', load: () => 'loaded' });
    await posts.set('1', 'set', { tags: ['author:7'] });
    expect(await posts.get('1')).toBe('set');
    await posts.invalidateTags(['author:7']);
    expect(await posts.get('1')).toBe('loaded');
  });

  it('by pattern takes a beginning or one part, in one step', async () => {
    const [one, two] = await pair();
    let round = 1;
    const options = {
      ttl: '1h',
      keys: '{user}:{status}:{page}',
      load: (key: string) => `${key} ${round}`,
    } as const;
    const here = one.namespace('bets', options);
    const there = two.namespace('bets', options);
    const keys = ['7:open:1', '7:open:2', '7:closed:1', '8:open:1'];
    await here.getMany(keys);
    await there.getMany(keys);
    round = 2;
    await here.invalidatePattern('7:open:*');
    await expect
      .poll(() => there.getMany(keys))
      .toEqual(['7:open:1 2', '7:open:2 2', '7:closed:1 1', '8:open:1 1']);
    round = 3;
    await here.invalidatePattern('*:closed:*');
    await expect.poll(() => there.get('7:closed:1')).toBe('7:closed:1 3');
    expect(await there.get('8:open:1')).toBe('8:open:1 1');
    await expect(here.invalidatePattern('7:*:1')).rejects.toMatchObject({
      code: 'CACHE_PATTERN_UNSUPPORTED',
    });
  });

  it('by event runs its rules', async () => {
    const rules = {
      'user.profile.updated': ['userProfiles:{userId}', 'leaderboards:*'],
    };
    const [one, two] = await pair(rules);
    let round = 1;
    for (const cache of [one, two]) {
      cache.namespace('userProfiles', { ttl: '1h', load: (key) => `${key} ${round}` });
      cache.namespace('leaderboards', { ttl: '1h', load: (key) => `${key} ${round}` });
    }
    const read = (cache: Cache) =>
      Promise.all([
        cache.namespace('userProfiles').get('42'),
        cache.namespace('userProfiles').get('43'),
        cache.namespace('leaderboards').get('weekly'),
      ]);
    expect(await read(one)).toEqual(['42 1', '43 1', 'weekly 1']);
    expect(await read(two)).toEqual(['42 1', '43 1', 'weekly 1']);
    round = 2;
    await one.emit('user.profile.updated', { userId: 42 });
    expect(await read(one)).toEqual(['42 2', '43 1', 'weekly 2']);
    await expect.poll(() => read(two)).toEqual(['42 2', '43 1', 'weekly 2']);
    // The same as rows of an outbox, carried out by another process.
    round = 3;
    const rows = JSON.parse(JSON.stringify(one.recordsOf('user.profile.updated', { userId: 43 })));
    await two.apply(rows);
    await expect.poll(() => read(one)).toEqual(['42 2', '43 3', 'weekly 3']);
  });

  it('within a transaction waits for the commit, and is dropped with a rollback', async () => {
    const [one] = await pair();
    let source = 'old';
    const things = one.namespace('things', { ttl: '1h', load: () => source });
    expect(await things.get('k')).toBe('old');
    await one.afterCommit(async () => {
      expect(await things.invalidate('k')).toEqual({ acknowledged: false, waitingFor: ['commit'] });
      expect(await things.get('k')).toBe('old');
      source = 'new'; // the commit
    });
    expect(await things.get('k')).toBe('new');
    source = 'never';
    const rolledBack = one.afterCommit(async () => {
      await things.invalidate('k');
      throw new Error('rolled back');
    });
    await expect(rolledBack).rejects.toThrow('rolled back');
    expect(await things.get('k')).toBe('new');
  });

  it('within a transaction lets nothing that is read there fill a tier', async () => {
    const [one] = await pair();
    let loads = 0;
    const load = () => {
      loads += 1;
      return 'from an old snapshot';
    };
    const things = one.namespace('things', { ttl: '1h', load });
    await one.afterCommit(() => things.get('k'));
    await one.afterCommit(() => things.get('k'));
    expect(loads).toBe(2);
    expect(things.peek('k')).toBe(undefined);
    expect(await redis.command('EXISTS', `i${number}:things:v:k`)).toBe(0);
  });

  it('hands the freshness that it carried to the loader, in whichever process', async () => {
    const [one, two] = await pair();
    const asked: (string | undefined)[] = [];
    const options = {
      ttl: '1h',
      load: (_key: string, { freshness }: { freshness: string | undefined }) => {
        asked.push(freshness);
        return 'v';
      },
    } as const;
    const here = one.namespace('things', options);
    const there = two.namespace('things', options);
    await here.get('k');
    await here.invalidate('k', { freshness: '0/30000F8' });
    await there.get('k');
    expect(asked).toEqual([undefined, '0/30000F8']);
  });

  it('keeps its mark over one without, and tells unlike ones as FRESHEST, values between or not', async () => {
    const [one, two] = await pair();
    const asked: (string | undefined)[] = [];
    const load = (_key: string, { freshness }: LoadContext) => asked.push(freshness);
    const options = { ttl: '1h', coherence: 'strict', load } as const;
    const here = one.namespace('things', options);
    const there = two.namespace('things', options);
    await here.invalidate('k', { freshness: 'lsn-1' });
    await there.get('k');
    await here.invalidate('k');
    await there.get('k');
    await there.invalidate('k', { freshness: 'lsn-2' });
    await here.get('k');
    expect(asked).toEqual(['lsn-1', 'lsn-1', FRESHEST]);
  });

  it('keeps its mark over a `set`, and gives the mark of its namespace to what was set', async () => {
    const [one, two] = await pair();
    const asked: (string | undefined)[] = [];
    const load = (_key: string, { freshness }: LoadContext) => asked.push(freshness);
    const plain = one.namespace('things', { ttl: '1h', load });
    await plain.invalidate('k', { freshness: 'lsn-1' });
    await plain.set('k', 1000);
    await plain.invalidate('k');
    await plain.get('k');
    const marked = two.namespace('marked', { ttl: '1h', load, freshness: 'now' });
    await marked.set('k', 1000);
    await redis.command('DEL', `i${number}:marked:v:k`);
    expect(await marked.peek('k')).toBe(1000);
    await marked.set('j', 1000, { ttl: '20ms' });
    await expect.poll(() => marked.peek('j')).toBe(undefined);
    await marked.get('j');
    expect(asked).toEqual(['lsn-1', 'now']);
  });

  it("tells its mark to who loads because another's lease takes too long", async () => {
    const [one, two] = await pair();
    const never = new Promise<string>(() => {});
    const asked: (string | undefined)[] = [];
    const here = one.namespace('things', { ttl: '1h', load: () => never });
    const there = two.namespace('things', {
      ttl: '1h',
      leaseWait: '30ms',
      load: (_key: string, { freshness }) => {
        asked.push(freshness);
        return 'v';
      },
    });
    await here.invalidate('k', { freshness: 'lsn-1' });
    const giveUp = new AbortController();
    const slow = here.get('k', { signal: giveUp.signal });
    await expect.poll(() => here.stats().loads).toBe(1);
    expect(await there.get('k')).toBe('v');
    expect(asked).toEqual(['lsn-1']);
    giveUp.abort();
    await expect(slow).rejects.toMatchObject({ code: 'ABORTED' });
  });

  it('refuses a mark that no tier can keep', async () => {
    const [one] = await pair();
    const things = one.namespace('things', { ttl: '1h', load: () => 1 });
    for (const freshness of ['', 'x'.repeat(257), '\ud800', 7 as never]) {
      await expect(things.invalidate('k', { freshness })).rejects.toMatchObject({
        code: 'CACHE_FRESHNESS_INVALID',
      });
      const record = { namespace: 'things', keys: ['k'], freshness };
      await expect(one.apply([record])).rejects.toMatchObject({ code: 'CACHE_FRESHNESS_INVALID' });
    }
    expect(() => one.namespace('more', { ttl: '1h', freshness: '' })).toThrow(/is empty/);
    const longest = 'é'.repeat(128);
    await things.invalidate('k', { freshness: longest });
    await things.invalidate('k');
    const told = things.get('k', { load: (_key, { freshness }) => freshness as never });
    expect(await told).toBe(longest);
  });

  it('of everything leaves nothing, and costs one step', async () => {
    const [one, two] = await pair();
    let round = 1;
    const load = (key: string) => `${key} ${round}`;
    const here = one.namespace('things', { ttl: '1h', load });
    const there = two.namespace('things', { ttl: '1h', load });
    const keys = Array.from({ length: 200 }, (_, index) => `k${index}`);
    await here.getMany(keys);
    await there.getMany(keys);
    round = 2;
    await here.clear();
    const expected = keys.map((key) => `${key} 2`);
    expect(await here.getMany(keys)).toEqual(expected);
    await expect.poll(() => there.getMany(keys)).toEqual(expected);
  });

  it('promotes from L3 when L2 has lost an entry, with its remaining life', async () => {
    const [one, two] = await pair();
    let loads = 0;
    const load = () => {
      loads += 1;
      return { odds: 1.5 };
    };
    const here = one.namespace('things', { ttl: '1h', load, codec: 'msgpack' });
    const there = two.namespace('things', { ttl: '1h', load, codec: 'msgpack' });
    await here.get('k');
    await redis.command('DEL', `i${number}:things:v:k`);
    expect(await there.get('k')).toEqual({ odds: 1.5 });
    expect(loads).toBe(1);
    const left = Number(await redis.command('PTTL', `i${number}:things:v:k`));
    expect(left).toBeGreaterThan(3_000_000);
    expect(left).toBeLessThanOrEqual(3_600_000);
  });

  it('with a partition of its own keeps a namespace on other servers', async () => {
    const live = await startRedis({});
    const cache = createCache({
      redis: redis.url,
      prefix: 'part',
      partitions: { live: { redis: live.url } },
    });
    await cache.ready();
    const scores = cache.namespace<number>('liveScores', { ttl: '30s', partition: 'live' });
    await scores.set('match', 3);
    expect(await live.command('EXISTS', 'part:liveScores:v:match')).toBe(1);
    expect(await redis.command('EXISTS', 'part:liveScores:v:match')).toBe(0);
    await cache.close();
    await live.stop();
  });
});
