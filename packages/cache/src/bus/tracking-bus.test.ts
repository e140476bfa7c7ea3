import { type RedisServer, startRedis } from '@shardline/testkit';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Cache, type CacheNamespace, createCache } from '../index.js';

/** What L1 keeps after a read: a fill is told to its own process, too, so the first read may not stay. */
async function kept(namespace: CacheNamespace<string>): Promise<string | undefined> {
  await namespace.get('k');
  return namespace.peek('k');
}

describe('the bus by CLIENT TRACKING', () => {
  let redis: RedisServer;
  const open: Cache[] = [];
  beforeAll(async () => {
    redis = await startRedis({});
  });
  afterAll(async () => {
    await Promise.all(open.map((cache) => cache.close()));
    await redis?.stop();
  });

  /** With a bound of an hour only the bus can tell. */
  async function pair(prefix: string) {
    const source = { value: 'old' };
    const caches = [0, 1].map(() => createCache({ redis: redis.url, bus: 'tracking', prefix }));
    open.push(...caches);
    await Promise.all(caches.map((cache) => cache.ready()));
    const options = { ttl: '1h', bound: '1h', load: () => source.value } as const;
    const [one, two] = caches.map((cache) => cache.namespace('things', options));
    if (one === undefined || two === undefined) throw new Error('two caches were made');
    return { source, one, two };
  }

  it('carries invalidations of keys, also of keys that L2 does not hold', async () => {
    const { source, one, two } = await pair('t1');
    await one.get('k');
    await expect.poll(() => kept(two)).toBe('old');
    source.value = 'new';
    await one.invalidate('k');
    await expect.poll(() => two.get('k')).toBe('new');
    await expect.poll(() => kept(two)).toBe('new');
    await one.clear();
    await expect.poll(() => two.peek('k')).toBe(undefined);
  });

  it('hears of foreign writers', async () => {
    const { source, one } = await pair('t2');
    await expect.poll(() => kept(one)).toBe('old');
    source.value = 'new';
    await redis.command('DEL', 't2:things:v:k');
    await expect.poll(() => one.get('k')).toBe('new');
    await expect.poll(() => kept(one)).toBe('new');
    await redis.command('FLUSHALL');
    await expect.poll(() => one.peek('k')).toBe(undefined);
  });

  it('is armed anew when its connections are cut, and what was missed counts as a gap', async () => {
    const { source, one, two } = await pair('t3');
    for (let round = 0; round < 4; round += 1) {
      await expect.poll(() => kept(two)).toBe(source.value);
      const type = round % 2 === 0 ? 'pubsub' : 'normal';
      await redis.command('CLIENT', 'KILL', 'TYPE', type, 'SKIPME', 'yes');
      source.value = `new ${round}`;
      await expect.poll(async () => (await one.invalidate('k')).acknowledged).toBe(true);
      await expect.poll(() => two.get('k'), { timeout: 10_000 }).toBe(source.value);
    }
  });
});
