import type { NamespaceOptions, ScheduleOptions, WarmingOptions } from '@shardline/cache';
import type { Duration } from '@shardline/core';
import type { RedisTarget } from '@shardline/core/redis';
import type { ReplicaPoolOptions } from '@shardline/pool';
import type { LimiterOptions } from '@shardline/ratelimit';
import type { Router } from '@shardline/shard-router';
import type { StandardSchemaV1 } from '@standard-schema/spec';
import type { AdministrationConfig } from './administration.js';

/** What a key may be. */
export type KeyType = 'bigint' | 'text' | 'uuid';

/** Where one shard's servers are, as PostgreSQL URLs. */
export interface ShardServers {
  readonly primary: string;
  /** @default [] */
  readonly replicas?: readonly string[];
}

/** Tables that share a key type, and so a shard for each key. */
export interface KeyspaceDefinition {
  readonly keyType: KeyType;
  /** Number of slots, a power of two up to 65536; it cannot be changed later. @default 4096 */
  readonly slots?: number;
  /** Shards that its slots are on at the beginning: live events on servers of their own. @default all */
  readonly shards?: readonly string[];
}

/** Keyspaces by name. */
export type KeyspaceDefinitions = Readonly<Record<string, KeyspaceDefinition>>;

/** How an entity is cached. Whatever the cache knows of a namespace, but what the layer itself decides. */
export interface EntityCachePolicy
  extends Pick<
    NamespaceOptions<unknown>,
    | 'bound'
    | 'coherence'
    | 'compression'
    | 'eagerRefresh'
    | 'jitter'
    | 'l1'
    | 'leaseWait'
    | 'loadTimeout'
    | 'negativeTtl'
    | 'partition'
    | 'softTimeout'
    | 'staleIfError'
    | 'staleWhileRevalidate'
  > {
  /** How long an entry may be served without asking the source. */
  readonly ttl: Duration;
  /** Tiers from the nearest on. @default ['l1', 'l2'] */
  readonly tiers?: readonly ('l1' | 'l2' | 'l3')[];
  /**
   * What a write does with the cached row: `'fill'` puts the row as stored in its place, so that the next reader finds
   * it; `'invalidate'` only takes the old one away, for rows that are written more often than read.
   *
   * @default 'fill'
   */
  readonly afterWrite?: 'fill' | 'invalidate';
}

/** How many requests a subject of one tier may make. */
export interface TierLimit {
  readonly limit: number;
  readonly per: Duration;
  /** Requests that may come at once. @default limit */
  readonly burst?: number;
}

/**
 * One table, where its rows are, how they are found, and how they are cached.
 *
 * Exactly one of `keyspace`, `shard` and `reference` says where the rows are.
 */
export interface EntityDefinition<Schema extends StandardSchemaV1 = StandardSchemaV1> {
  readonly table: string;
  /** The rows are spread over the shards of this keyspace, by `key`. */
  readonly keyspace?: string;
  /** All rows are on this shard. All such entities of a layer are on the same one. */
  readonly shard?: string;
  /** Every shard has all rows: small, read often, written seldom. */
  readonly reference?: true;
  /** Column that the table is sharded by; without a keyspace, the column that names a row. */
  readonly key: string;
  /** Column that, with the key, names one row. @default the key alone names it */
  readonly id?: string;
  /** Rows are checked against it where they leave the database: valibot, zod, any Standard Schema. */
  readonly schema?: Schema;
  /** @default not cached */
  readonly cache?: EntityCachePolicy;
  /**
   * What a write of a row makes stale beside the row itself, with columns of the row in braces:
   * `['userBets:{creator_id}:*', 'leaderboards:*']`.
   *
   * @default nothing
   */
  readonly invalidates?: readonly string[];
  /** How often the rows of one key may be read or written through this entity. @default as often as asked */
  readonly limits?: { readonly reads?: TierLimit; readonly writes?: TierLimit };
}

/** Entities by name. */
export type EntityDefinitions = Readonly<Record<string, EntityDefinition>>;

/** What a loader of a cached query is given, beside its key. */
export interface NamespaceLoadContext {
  readonly signal: AbortSignal;
  /** The shards. Whatever is read through it in a loader is no older than the moment of loading. */
  readonly router: Router;
}

/** A cached query or anything else that is cached beside entities. */
export interface NamespaceDefinition<Value = unknown>
  extends Omit<NamespaceOptions<Value>, 'load' | 'tiers'> {
  /** Tiers from the nearest on. @default ['l1', 'l2'], or ['l1'] without a `redis` */
  readonly tiers?: readonly ('l1' | 'l2' | 'l3')[];
  /** Reads a value on a miss; a call may give another. */
  readonly load?: (
    key: string,
    context: NamespaceLoadContext,
  ) => Promise<Value | undefined> | Value | undefined;
}

/** Cached queries by name. */
// biome-ignore lint/suspicious/noExplicitAny: a loader's value is its own business
export type NamespaceDefinitions = Readonly<Record<string, NamespaceDefinition<any>>>;

/**
 * An event: what it makes stale, with fields of its payload in braces; or that, what it makes likely to be asked for
 * next, and what its payload is.
 */
export type EventDefinition =
  | readonly string[]
  | {
      /** @default nothing */
      readonly invalidates?: readonly string[];
      /**
       * Keys of namespaces with a `load` that are read ahead, within the budget of `warming`. An event that is
       * emitted within a transaction warms nothing. @default none
       */
      readonly warms?: readonly string[];
      /** The payload is checked against it. @default the fields that `invalidates` names */
      readonly payload?: StandardSchemaV1;
    };

/** Events by name. */
export type EventDefinitions = Readonly<Record<string, EventDefinition>>;

/** What sessions are made of. */
export interface SessionPolicy {
  /**
   * Keys that sign tokens: the first signs, all verify. At least 32 random bytes each. Give them wherever
   * tokens leave the service: without a signature a token is a mere claim, checked against the primary.
   *
   * @default unsigned
   */
  readonly signingKeys?: readonly { readonly id: string; readonly secret: string | Uint8Array }[];
  /** How long a token is believed. @default '15m' */
  readonly tokenLifetime?: Duration;
  /** How long a read waits for a replica to catch up, before it takes the primary. @default '50ms' */
  readonly replicaWait?: Duration;
}

/** What all pools of a layer have in common; see `ReplicaPoolOptions`. */
export type PoolPolicy = Pick<
  ReplicaPoolOptions,
  | 'acquireTimeout'
  | 'balancing'
  | 'dialTimeout'
  | 'failoverTimeout'
  | 'idleInTransactionTimeout'
  | 'idleTimeout'
  | 'leakReportAfter'
  | 'max'
  | 'maxLag'
  | 'maxLifetime'
  | 'maxWaiting'
  | 'min'
  | 'monitor'
  | 'pgBouncer'
  | 'pipelining'
  | 'pureFunctions'
  | 'reads'
  | 'ssl'
  | 'statementTimeout'
  | 'zone'
>;

/** Limits for `layer.limits`: tiers for one limit, or policies for several. */
export interface LimitsDefinition
  extends Pick<LimiterOptions, 'defaultTier' | 'onRedisDown' | 'policies' | 'tierOf'> {
  readonly tiers?: Readonly<Record<string, TierLimit>>;
}

/** The whole data layer of a service: one object, used by the service and the command line alike. */
export interface DataLayerConfig<
  Entities extends EntityDefinitions = EntityDefinitions,
  Keyspaces extends KeyspaceDefinitions = KeyspaceDefinitions,
  Events extends EventDefinitions = EventDefinitions,
  Namespaces extends NamespaceDefinitions = NamespaceDefinitions,
> {
  /** Names the service in connections, metrics and keys. */
  readonly name: string;
  /**
   * The database that holds the catalog: who owns what, and how it changes. Without one the map follows
   * from this configuration alone, and no slot can ever move.
   */
  readonly catalog?: string;
  readonly shards: Readonly<Record<string, ShardServers>>;
  /** Of every shard's pool. @default those of `ReplicaPool` */
  readonly pool?: PoolPolicy;
  readonly keyspaces: Keyspaces;
  readonly redis?: RedisTarget;
  /** Memcached nodes as `host:port`, for the tier `l3`. */
  readonly memcached?: readonly string[];
  /** Redis and Memcached servers of their own, for entities and namespaces that name them as `partition`. */
  readonly partitions?: Readonly<
    Record<string, { readonly redis?: RedisTarget; readonly memcached?: readonly string[] }>
  >;
  readonly entities: Entities;
  /** Cached queries and the like, beside entities. */
  readonly namespaces?: Namespaces;
  /** What each event makes stale. */
  readonly events?: Events;
  /** What becomes stale at set times, by cron; one process of all sees to it. */
  readonly schedules?: Readonly<Record<string, ScheduleOptions>>;
  /** What reading ahead may cost, and whether peak hours are prepared for. */
  readonly warming?: Omit<WarmingOptions, 'events'>;
  readonly limits?: LimitsDefinition;
  readonly sessions?: SessionPolicy;
  /**
   * Whether invalidations are also rows of the transaction that makes them necessary, so that none is lost
   * with its process. `relayInterval`: how often each process looks for what others left. @default true with
   * a `catalog`, else false
   */
  readonly outbox?: boolean | { readonly relayInterval?: Duration };
  /** Longest run of one statement of an entity, waiting for a connection included. @default '30s' */
  readonly operationTimeout?: Duration;
  /** What the command line needs beyond what services need. */
  readonly administration?: AdministrationConfig;
}

/** No events, no namespaces. */
export type None = Readonly<Record<never, never>>;

/**
 * Writes a configuration with its types, for a file that the service and the command line share.
 *
 * @example
 * ```ts
 * import { defineConfig } from 'shardline';
 *
 * export default defineConfig({
 *   name: 'shop',
 *   shards: { one: { primary: 'postgres://127.0.0.1:5432/shop' } },
 *   keyspaces: { customers: { keyType: 'bigint' } },
 *   entities: {
 *     customers: { table: 'customers', keyspace: 'customers', key: 'customer_id' },
 *   },
 * });
 * ```
 */
export function defineConfig<
  const Entities extends EntityDefinitions,
  const Keyspaces extends KeyspaceDefinitions,
  const Events extends EventDefinitions = None,
  const Namespaces extends NamespaceDefinitions = NamespaceDefinitions,
>(
  config: DataLayerConfig<Entities, Keyspaces, Events, Namespaces>,
): DataLayerConfig<Entities, Keyspaces, Events, Namespaces> {
  return config;
}
