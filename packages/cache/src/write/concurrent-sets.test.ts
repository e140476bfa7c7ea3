import { type RedisServer, startRedis } from '@shardline/testkit';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createCache } from '../index.js';

/** Enough keys at once that some share a stripe of L1's epochs, whichever they are. */
const SETS = 512;

describe('many sets at once', () => {
  let redis: RedisServer;

  beforeAll(async () => {
    redis = await startRedis();
  });

  afterAll(async () => {
    await redis.stop();
  });

  it.each([
    ['in memory alone', ['l1']],
    ['over Redis', ['l1', 'l2']],
  ] as const)('all keep their values, %s', async (where, tiers) => {
    const server = tiers.length > 1 ? { redis: redis.url } : {};
    await using cache = createCache({
      ...server,
      l2Timeout: '30s',
      prefix: where.replaceAll(' ', '-'),
    });
    await cache.ready();
    const numbers = cache.namespace<number>('numbers', { ttl: '1h', tiers: [...tiers] });
    const keys = Array.from({ length: SETS }, (_, index) => `key-${index}`);

    await Promise.all(keys.map((key, index) => numbers.set(key, index)));

    // There is no loader: a value that was lost would be an error.
    expect(await numbers.getMany(keys)).toEqual(keys.map((_, index) => index));
  });

  it('an invalidation during a write still has the last word', async () => {
    let release = () => {};
    const gate = new Promise<void>((resolve) => {
      release = resolve;
    });
    let reach = () => {};
    const reached = new Promise<void>((resolve) => {
      reach = resolve;
    });
    await using cache = createCache({});
    const numbers = cache.namespace<number>('numbers', {
      ttl: '1h',
      tiers: ['l1'],
      write: 'through',
      load: () => Promise.resolve(2),
      store: async () => {
        reach();
        await gate;
      },
    });
    const writing = numbers.set('one', 1);
    await reached;
    await numbers.invalidate('one');
    release();
    await writing;

    expect(await numbers.get('one')).toBe(2);
  });
});
