import { type RedisServer, startRedis } from '@shardline/testkit';
import Keyv from 'keyv';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Cache, createCache, keyvStore } from './index.js';

describe.each([
  ['memory', false],
  ['memory and Redis', true],
] as const)('a Keyv on a namespace in %s', (_, isShared) => {
  let redis: RedisServer | undefined;
  let number = 0;
  const caches: Cache[] = [];
  beforeAll(async () => {
    if (isShared) redis = await startRedis({});
  });
  afterAll(async () => {
    for (const cache of caches) await cache.close();
    await redis?.stop();
  });

  async function keyvs() {
    number += 1;
    const cache = createCache(redis ? { redis: redis.url, prefix: `k${number}` } : {});
    caches.push(cache);
    await cache.ready();
    const things = cache.namespace('things', { ttl: '1h', keys: '{namespace}:{key}' });
    const make = (namespace?: string) =>
      new Keyv({
        store: keyvStore(things),
        throwOnErrors: true,
        ...(namespace ? { namespace } : {}),
      });
    return { make, things };
  }

  it('gets, sets, has and deletes, one and many, falsy values too', async () => {
    const keyv = (await keyvs()).make();
    expect([await keyv.get('a'), await keyv.has('a')]).toEqual([undefined, false]);
    await keyv.set('a', { deep: [1, 'two'] });
    for (const value of [0, '', false, null]) {
      await keyv.set('falsy', value);
      expect(await keyv.get('falsy')).toBe(value);
    }
    expect([await keyv.get('a'), await keyv.has('a')]).toEqual([{ deep: [1, 'two'] }, true]);
    expect([await keyv.delete('a'), await keyv.delete('a'), await keyv.get('a')]).toEqual([
      true,
      false,
      undefined,
    ]);
    await keyv.setMany([
      { key: 'x', value: 1 },
      { key: 'y', value: 2 },
    ]);
    expect(await keyv.getMany(['x', 'none', 'y'])).toEqual([1, undefined, 2]);
    expect(await keyv.hasMany(['x', 'none'])).toEqual([true, false]);
    expect(await keyv.delete(['x', 'y'])).toBe(true);
    expect(await keyv.getMany(['x', 'y'])).toEqual([undefined, undefined]);
  });

  it('lets values go after their own time to live', async () => {
    const keyv = (await keyvs()).make();
    await keyv.set('short', 1, 200);
    await keyv.set('long', 1);
    expect(await keyv.has('short')).toBe(true);
    await expect.poll(() => keyv.get('short')).toBe(undefined);
    expect([await keyv.has('short'), await keyv.has('long')]).toEqual([false, true]);
  });

  it('keeps namespaces apart, when it clears and when it iterates', async () => {
    const { make } = await keyvs();
    const [one, two] = [make('one'), make('two')];
    await one.set('a', 1);
    await one.set('b', 2);
    await two.set('a', 3);
    const all = async (keyv: Keyv) => {
      const entries: [string, unknown][] = [];
      for await (const entry of keyv.iterator?.(keyv.namespace) ?? []) entries.push(entry);
      return entries.sort();
    };
    expect(await all(one)).toEqual([
      ['a', 1],
      ['b', 2],
    ]);
    await one.clear();
    expect([await one.get('a'), await two.get('a')]).toEqual([undefined, 3]);
    expect([await all(one), await all(two)]).toEqual([[], [['a', 3]]]);
  });
});
