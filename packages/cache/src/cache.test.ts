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
});
