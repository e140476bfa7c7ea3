import { type Cache, createCache } from '@shardline/cache';
import {
  coreErrors,
  type Duration,
  durationMs,
  ShardlineError,
  withDeadline,
} from '@shardline/core';
import { createLimiter, type RateLimiter } from '@shardline/ratelimit';
import type { Router } from '@shardline/shard-router';
import type { StandardSchemaV1 } from '@standard-schema/spec';
import type {
  DataLayerConfig,
  EntityDefinition,
  EntityDefinitions,
  ResolvedConfig,
} from './config.js';
import { resolveConfig } from './config.js';
import { Entity } from './entity/entity.js';
import { openRouter } from './shards.js';

/** The rows of an entity, as its schema says. */
export type RowOf<Definition extends EntityDefinition> =
  Definition['schema'] extends StandardSchemaV1<unknown, infer Row>
    ? Row extends object
      ? Row
      : Record<string, unknown>
    : Record<string, unknown>;

/** Entities by name, each with the type of its rows. */
export type EntitiesOf<Definitions extends EntityDefinitions> = {
  readonly [Name in keyof Definitions]: Entity<RowOf<Definitions[Name]>>;
};

/** How the layer is: `ready` means that it can do its work, `live` that it has not been closed. */
export interface DataLayerHealth {
  readonly live: boolean;
  readonly ready: boolean;
  readonly router: ReturnType<Router['health']>;
  readonly cache: ReturnType<Cache['health']> | undefined;
  readonly limits: ReturnType<RateLimiter['health']> | undefined;
}

/** How often each tier answered, by entity. */
export type DataLayerStats = Readonly<
  Record<string, { lookups: number; l1: number; l2: number; l3: number; loads: number }>
>;

const DEFAULT_CLOSE: Duration = '10s';

/**
 * Opens everything that a configuration names and joins it.
 *
 * @throws ShardlineError `CONFIG_INVALID`, with every fault; what router, cache and limiter throw when
 * their servers cannot be reached. Whatever had been opened by then is closed.
 *
 * @example
 * ```ts
 * import { createDataLayer } from 'shardline';
 *
 * await using layer = await createDataLayer({
 *   name: 'shop',
 *   shards: {
 *     one: { primary: 'postgres://127.0.0.1:5432/shop' },
 *     two: { primary: 'postgres://127.0.0.1:5433/shop' },
 *   },
 *   keyspaces: { customers: { keyType: 'bigint' } },
 *   redis: 'redis://127.0.0.1:6379',
 *   entities: {
 *     customers: {
 *       table: 'customers',
 *       keyspace: 'customers',
 *       key: 'customer_id',
 *       cache: { ttl: '1h', tiers: ['l1', 'l2'] },
 *     },
 *   },
 * });
 *
 * const customer = await layer.entities.customers.get(42n);
 * ```
 */
export async function createDataLayer<const Definitions extends EntityDefinitions>(
  config: DataLayerConfig<Definitions>,
): Promise<DataLayer<Definitions>> {
  const resolved = resolveConfig(config);
  const opened: AsyncDisposable[] = [];
  try {
    const router = await openRouter(resolved);
    opened.push(router);
    const cache = openCache(resolved);
    if (cache !== undefined) opened.push(cache);
    const limiter = openLimiter(resolved);
    if (limiter !== undefined) opened.push(limiter);
    // The limiter first: it names the Redis that cannot be reached, the cache waits for several tiers.
    await limiter?.ready();
    await cache?.ready();
    return new DataLayer<Definitions>(resolved, { router, cache, limiter });
  } catch (error) {
    await Promise.allSettled(opened.map((part) => part[Symbol.asyncDispose]()));
    throw error;
  }
}

/** The data layer of a service. Made by {@link createDataLayer}. */
export class DataLayer<Definitions extends EntityDefinitions> implements AsyncDisposable {
  /** The entities of the configuration, by name. */
  readonly entities: EntitiesOf<Definitions>;
  /** The shards underneath, for what entities do not do. */
  readonly router: Router;
  readonly #cache: Cache | undefined;
  readonly #limiter: RateLimiter | undefined;
  readonly #cached: readonly string[];
  #closing: Promise<void> | undefined;

  /** @internal Use createDataLayer(). */
  constructor(
    config: ResolvedConfig,
    parts: { router: Router; cache: Cache | undefined; limiter: RateLimiter | undefined },
  ) {
    this.router = parts.router;
    this.#cache = parts.cache;
    this.#limiter = parts.limiter;
    const entities = Object.entries(config.entities);
    this.#cached = entities.filter(([, { cache }]) => cache !== undefined).map(([name]) => name);
    this.entities = Object.fromEntries(
      entities.map(([name, definition]) => [name, this.#makeEntity(name, definition)]),
    ) as unknown as EntitiesOf<Definitions>;
  }

  /**
   * The cache underneath.
   *
   * @throws ShardlineError `CONFIG_INVALID` when no entity is cached.
   */
  get cache(): Cache {
    return this.#cache ?? this.#absent('a cache', 'give an entity a `cache`');
  }

  /**
   * The limits of the configuration.
   *
   * @throws ShardlineError `CONFIG_INVALID` when it has none.
   */
  get limits(): RateLimiter {
    return this.#limiter ?? this.#absent('limits', 'give it `limits.tiers`');
  }

  /** For a readiness probe: asks nobody, tells what is known. */
  health(): DataLayerHealth {
    const live = this.#closing === undefined;
    const router = this.router.health();
    return {
      live,
      ready: live && router.ready,
      router,
      cache: this.#cache?.health(),
      limits: this.#limiter?.health(),
    };
  }

  /** How often each tier answered since the start, by entity that is cached. */
  stats(): DataLayerStats {
    return Object.fromEntries(
      this.#cached.map((name) => {
        const { l1Hits, l2Hits, l3Hits, misses, loads } = this.cache.namespace(name).stats();
        return [name, { lookups: l1Hits + misses, l1: l1Hits, l2: l2Hits, l3: l3Hits, loads }];
      }),
    );
  }

  /**
   * Lets calls under way end, then closes everything, nearest to the user first.
   *
   * @throws ShardlineError `DEADLINE_EXCEEDED` when something would not close in time.
   */
  close(options: { deadline?: Duration } = {}): Promise<void> {
    this.#closing ??= withDeadline(
      { timeoutMs: durationMs(options.deadline ?? DEFAULT_CLOSE), doing: 'Closing the data layer' },
      async () => {
        await Promise.all([this.#limiter?.close(), this.#cache?.close()]);
        await this.router.close();
      },
    );
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #makeEntity(name: string, definition: ResolvedConfig['entities'][string]) {
    const { table, key, id, keyspace, schema, cache } = definition;
    const namespace =
      cache === undefined
        ? undefined
        : this.#cache?.namespace<object>(name, {
            ttl: `${cache.ttl}ms`,
            tiers: cache.tiers,
            // Rows hold big integers and dates, which JSON does not.
            codec: 'msgpack',
          });
    return new Entity({
      table: { entity: name, table, key, id },
      shards: this.router.keyspace(keyspace),
      schema: schema as StandardSchemaV1<unknown, object> | undefined,
      cache: namespace,
    });
  }

  #absent(what: string, remedy: string): never {
    throw new ShardlineError(
      coreErrors.CONFIG_INVALID,
      `The data layer was configured without ${what}.`,
      { remedy: `${remedy[0]?.toUpperCase()}${remedy.slice(1)} in its configuration.` },
    );
  }
}

function openCache(config: ResolvedConfig): Cache | undefined {
  const isUsed = Object.values(config.entities).some(({ cache }) => cache !== undefined);
  if (!isUsed) return undefined;
  return createCache({
    prefix: config.name,
    ...(config.redis === undefined ? {} : { redis: config.redis }),
    ...(config.memcached === undefined ? {} : { memcached: config.memcached.join(',') }),
  });
}

function openLimiter(config: ResolvedConfig): RateLimiter | undefined {
  if (config.limits === undefined) return undefined;
  const tiers = Object.entries(config.limits.tiers).map(([name, { limit, per, burst }]) => [
    name,
    { limit, window: `${per}ms` as Duration, ...(burst === undefined ? {} : { burst }) },
  ]);
  return createLimiter({
    ...(config.redis === undefined ? {} : { redis: config.redis }),
    tiers: Object.fromEntries(tiers),
  });
}
