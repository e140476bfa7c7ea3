import { describe, expect, it } from 'vitest';
import { createCache, type NamespaceOptions } from './index.js';
import { keyFault, memcachedAddress } from './keys.js';

function faultsOf(act: () => unknown): string[] {
  try {
    act();
  } catch (error) {
    const { code, details } = error as { code: string; details: { faults?: { path: string }[] } };
    expect(code).toBe('CONFIG_INVALID');
    return (details.faults ?? []).map(({ path }) => path);
  }
  return [];
}

describe('options that cannot be used', () => {
  it('of a namespace are all named at once', () => {
    const cache = createCache({});
    const wrong = {
      ttl: 60,
      tiers: ['l4'],
      jitter: 2,
      codec: 'xml',
      l1: { maxEntries: 0 },
      staleIfErorr: '1h',
      keys: 'userId',
    } as unknown as NamespaceOptions<unknown>;
    expect(faultsOf(() => cache.namespace('wrong', wrong)).sort()).toEqual([
      'codec',
      'jitter',
      'keys',
      'l1.maxEntries',
      'staleIfErorr',
      'tiers[0]',
      'ttl',
    ]);
  });

  it('name the option that was meant, and both readings of a bare number', () => {
    const cache = createCache({});
    const misspelt = { ttl: 60, staleIfErorr: '1h' } as unknown as NamespaceOptions<unknown>;
    expect(() => cache.namespace('wrong', misspelt)).toThrow(/did you mean 'staleIfError'/);
    expect(() => cache.namespace('wrong', misspelt)).toThrow(/'60s'.*'60ms'/);
  });

  it('that contradict each other are named, too', () => {
    const cache = createCache({});
    expect(faultsOf(() => cache.namespace('a', { ttl: '1s', tiers: ['l2'] }))).toEqual(['tiers']);
    expect(faultsOf(() => cache.namespace('b', { ttl: '1s', coherence: 'strict' }))).toEqual([
      'coherence',
    ]);
    expect(faultsOf(() => cache.namespace('c', { ttl: '1s', write: 'through' }))).toEqual([
      'store',
    ]);
    expect(faultsOf(() => cache.namespace('d:e', { ttl: '1s' }))).toEqual(['']);
    expect(faultsOf(() => cache.namespace('f', { ttl: '1s', partition: 'p' }))).toEqual([
      'partition',
    ]);
    expect(faultsOf(() => cache.namespace('g', { ttl: '0ms' }))).toEqual(['ttl']);
  });

  it('of a namespace that is declared twice are refused; without options it is returned', () => {
    const cache = createCache({});
    const first = cache.namespace('one', { ttl: '1s' });
    expect(cache.namespace('one')).toBe(first);
    expect(() => cache.namespace('one', { ttl: '2s' })).toThrow(/declared twice/);
    expect(() => cache.namespace('two')).toThrow(/not declared/);
  });

  it('of rules are found when the cache or the namespace is made', () => {
    expect(() => createCache({ rules: { e: ['nonsense'] } })).toThrow(/rules\['e'\]\[0\]/);
    const cache = createCache({ rules: { e: ['users:{id}:*'] } });
    expect(() => cache.namespace('users', { ttl: '1s' })).toThrow(/`keys` template/);
    cache.namespace('users', { ttl: '1s', keys: '{id}:{page}' });
  });

  it('of the cache itself are named', () => {
    const wrong = { redis: 5, prefix: 'a:b', l2Timeout: 100, redsi: 'x' };
    expect(faultsOf(() => createCache(wrong as never)).sort()).toEqual([
      'l2Timeout',
      'prefix',
      'redis',
      'redsi',
    ]);
    expect(() => createCache({ memcached: 'not an address!' })).toThrow(/10\.0\.0\.1:11211/);
  });
});

describe('keys', () => {
  it('that are empty, too long or hold control characters are refused', async () => {
    const cache = createCache({});
    const things = cache.namespace('things', { ttl: '1s', load: (key) => key });
    for (const key of ['', 'a\nb', 'a\0', 'x'.repeat(1025), 'é'.repeat(600), '\ud800']) {
      await expect(things.get(key)).rejects.toMatchObject({ code: 'CACHE_KEY_INVALID' });
      await expect(things.set(key, 'v')).rejects.toMatchObject({ code: 'CACHE_KEY_INVALID' });
      expect(things.peek(key)).toBe(undefined);
    }
    expect(await things.get(42)).toBe('42');
    expect(await things.get(42n)).toBe('42');
    expect(keyFault('user 42: ü')).toBe(undefined);
  });

  it('are hashed for Memcached where it could not take them', () => {
    expect(memcachedAddress('a:v:42')).toBe('a:v:42');
    for (const address of ['with blank', 'ümlaut', 'x'.repeat(251)]) {
      expect(memcachedAddress(address)).toMatch(/^#[\w-]{43}$/);
    }
    expect(memcachedAddress('with blank')).not.toBe(memcachedAddress('with  blank'));
  });
});

describe('a key without a loader', () => {
  it('is refused with advice, and a loader for one call helps', async () => {
    const cache = createCache({});
    const things = cache.namespace<string>('things', { ttl: '1s' });
    await expect(things.get('a')).rejects.toMatchObject({ code: 'CACHE_NO_LOADER' });
    expect(await things.get('a', { load: async () => 'here' })).toBe('here');
    expect(await things.get('a')).toBe('here');
    await expect(things.set('b', undefined as never)).rejects.toMatchObject({
      code: 'CACHE_VALUE_INVALID',
    });
  });
});
