import type { CacheNamespace } from './namespace.js';

/**
 * What Keyv 5 expects of a store. Its own type is not imported: whoever uses Keyv has it, nobody else
 * needs it.
 */
export interface KeyvStore {
  /** Keyv offers its iterator only for the dialects that it knows. */
  readonly opts: { readonly dialect: 'redis'; readonly url: string };
  namespace?: string | undefined;
  get<Value>(key: string): Promise<Value | undefined>;
  getMany<Value>(keys: string[]): Promise<(Value | undefined)[]>;
  set(key: string, value: unknown, ttl?: number): Promise<boolean>;
  setMany(entries: { key: string; value: unknown; ttl?: number }[]): Promise<void>;
  has(key: string): Promise<boolean>;
  hasMany(keys: string[]): Promise<boolean[]>;
  delete(key: string): Promise<boolean>;
  deleteMany(keys: string[]): Promise<boolean>;
  clear(): Promise<void>;
  iterator<Value>(namespace?: string): AsyncGenerator<[string, Value], void>;
  disconnect(): Promise<void>;
  on(event: string, listener: (...args: unknown[]) => void): KeyvStore;
}

/**
 * Puts Keyv, and everything that takes a Keyv, onto a namespace: with its tiers, its leases and its bus.
 *
 * A Keyv with a `namespace` of its own writes `namespace:key`; declare `keys: '{namespace}:{key}'`, so that
 * its `clear` is one step. Whether an invalidation reached every tier is not something that Keyv's
 * interface can say: use the namespace itself where that matters.
 *
 * @example
 * ```ts
 * import { createCache, keyvStore } from '@shardline/cache';
 *
 * const cache = createCache({ redis: 'redis://127.0.0.1:6379' });
 * const store = keyvStore(cache.namespace('sessions', { ttl: '1d', keys: '{namespace}:{key}' }));
 * // new Keyv({ store, namespace: 'web' })
 * ```
 */
export function keyvStore(cached: CacheNamespace<unknown>): KeyvStore {
  const miss = { load: () => undefined };
  const read = (key: string) => cached.get(key, miss);
  return {
    opts: { dialect: 'redis', url: '' },
    get: <Value>(key: string) => read(key) as Promise<Value | undefined>,
    getMany: <Value>(keys: string[]) =>
      Promise.all(keys.map(read)) as Promise<(Value | undefined)[]>,
    async set(key, value, ttlMs) {
      await cached.set(key, value, ttlMs === undefined || ttlMs <= 0 ? {} : { ttl: `${ttlMs}ms` });
      return true;
    },
    async setMany(entries) {
      await Promise.all(entries.map(({ key, value, ttl }) => this.set(key, value, ttl)));
    },
    has: async (key) => (await read(key)) !== undefined,
    hasMany: async (keys) => (await Promise.all(keys.map(read))).map((one) => one !== undefined),
    async delete(key) {
      const wasThere = await this.has(key);
      await cached.invalidate(key);
      return wasThere;
    },
    async deleteMany(keys) {
      const were = await this.hasMany(keys);
      if (keys.length > 0) await cached.invalidate(keys);
      return were.some(Boolean);
    },
    async clear() {
      const { namespace } = this;
      await (namespace === undefined ? cached.clear() : cached.invalidatePattern(`${namespace}:*`));
    },
    async *iterator<Value>(namespace?: string) {
      const seen = new Set<string>();
      for await (const key of cached.keys()) {
        if (seen.has(key) || (namespace !== undefined && !key.startsWith(`${namespace}:`)))
          continue;
        seen.add(key);
        const value = (await read(key)) as Value | undefined;
        if (value !== undefined) yield [key, value];
      }
    },
    // The cache is closed by whoever made it.
    disconnect: async () => {},
    on() {
      // Errors are thrown where they happen; there are none besides.
      return this;
    },
  };
}
