import { checkOptions, type Duration, durationOption, integerOption } from '@shardline/core';
import type { RedisTarget } from '@shardline/core/redis';
import type { StandardSchemaV1 } from '@standard-schema/spec';
import * as v from 'valibot';
import { type AdministrationConfig, administrationSchema } from './administration.js';
import { expandEnvironment } from './environment.js';

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
}

/** How an entity is cached. */
export interface EntityCachePolicy {
  /** How long an entry may be served without asking the source. */
  readonly ttl: Duration;
  /** Tiers from the nearest on. @default ['l1', 'l2'] */
  readonly tiers?: readonly ('l1' | 'l2' | 'l3')[];
}

/** One table, how its rows are found, and how they are cached. */
export interface EntityDefinition<Schema extends StandardSchemaV1 = StandardSchemaV1> {
  readonly table: string;
  readonly keyspace: string;
  /** Column that the table is sharded by. */
  readonly key: string;
  /** Column that, with the key, names one row. @default the key alone names it */
  readonly id?: string;
  /** Rows are checked against it where they enter and leave: valibot, zod, any Standard Schema. */
  readonly schema?: Schema;
  /** @default not cached */
  readonly cache?: EntityCachePolicy;
}

/** How many requests a subject of one tier may make. */
export interface TierLimit {
  readonly limit: number;
  readonly per: Duration;
  /** Requests that may come at once. @default limit */
  readonly burst?: number;
}

/** Entities by name. */
export type EntityDefinitions = Readonly<Record<string, EntityDefinition>>;

/** The whole data layer of a service: one object, used by the service and the command line alike. */
export interface DataLayerConfig<Entities extends EntityDefinitions = EntityDefinitions> {
  /** Names the service in connections, metrics and keys. */
  readonly name: string;
  /**
   * The database that holds the catalog: who owns what, and how it changes. Without one the map follows
   * from this configuration alone, and no slot can ever move.
   */
  readonly catalog?: string;
  readonly shards: Readonly<Record<string, ShardServers>>;
  readonly keyspaces: Readonly<Record<string, KeyspaceDefinition>>;
  readonly redis?: RedisTarget;
  /** Memcached nodes as `host:port`, for the tier `l3`. */
  readonly memcached?: readonly string[];
  readonly entities: Entities;
  readonly limits?: { readonly tiers: Readonly<Record<string, TierLimit>> };
  /** What the command line needs beyond what services need. */
  readonly administration?: AdministrationConfig;
}

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
export function defineConfig<const Entities extends EntityDefinitions>(
  config: DataLayerConfig<Entities>,
): DataLayerConfig<Entities> {
  return config;
}

const name = v.pipe(v.string(), v.minLength(1, 'must not be empty'));
const postgresUrl = v.pipe(
  v.string(),
  v.regex(/^postgres(ql)?:\/\//, 'must begin with postgres:// or postgresql://'),
);
const tier = v.picklist(['l1', 'l2', 'l3'], "must be 'l1', 'l2' or 'l3'");

const entitySchema = v.strictObject({
  table: name,
  keyspace: name,
  key: name,
  id: v.optional(name),
  schema: v.optional(v.custom<StandardSchemaV1>(isStandardSchema, 'must be a Standard Schema')),
  cache: v.optional(
    v.strictObject({
      ttl: durationOption({ min: '1ms', max: '25d' }),
      tiers: v.optional(v.pipe(v.array(tier), v.minLength(1, 'must name a tier')), ['l1', 'l2']),
    }),
  ),
});

const shapeSchema = v.strictObject({
  name,
  catalog: v.optional(postgresUrl),
  shards: v.pipe(
    v.record(
      name,
      v.strictObject({ primary: postgresUrl, replicas: v.optional(v.array(postgresUrl), []) }),
    ),
    v.check((shards) => Object.keys(shards).length > 0, 'must name at least one shard'),
  ),
  keyspaces: v.record(
    name,
    v.strictObject({
      keyType: v.picklist(['bigint', 'text', 'uuid'], "must be 'bigint', 'text' or 'uuid'"),
      slots: v.optional(integerOption(2, 65_536), 4096),
    }),
  ),
  redis: v.optional(v.custom<RedisTarget>((value) => value !== null)),
  memcached: v.optional(
    v.array(v.pipe(v.string(), v.regex(/^[^:\s]+:\d+$/, "must be written as 'host:port'"))),
  ),
  entities: v.record(name, entitySchema),
  limits: v.optional(
    v.strictObject({
      tiers: v.record(
        name,
        v.strictObject({
          limit: integerOption(1),
          per: durationOption({ min: '1ms', max: '30d' }),
          burst: v.optional(integerOption(1)),
        }),
      ),
    }),
  ),
  administration: v.optional(administrationSchema, {}),
});

type Shape = v.InferOutput<typeof shapeSchema>;

/** A configuration whose parts are known to fit each other, with every default filled in. */
export type ResolvedConfig = Shape;

const configSchema = v.pipe(
  shapeSchema,
  v.rawCheck(({ dataset, addIssue }) => {
    if (!dataset.typed) return;
    for (const { path, message } of contradictions(dataset.value)) {
      addIssue({
        message,
        path: path.map((key) => ({
          type: 'object' as const,
          origin: 'value' as const,
          input: {},
          key,
          value: undefined,
        })) as unknown as [v.IssuePathItem, ...v.IssuePathItem[]],
      });
    }
  }),
);

/**
 * Checks a configuration and fills in its defaults.
 *
 * @throws ShardlineError `CONFIG_INVALID`, with every fault and its path.
 */
export function resolveConfig(config: unknown): ResolvedConfig {
  const expanded = expandEnvironment(config, process.env, 'the data layer');
  return checkOptions(configSchema, expanded, 'the data layer');
}

/** What each part may say by itself and the whole may not. */
function contradictions(config: Shape): { path: string[]; message: string }[] {
  const keyspaceFaults = Object.entries(config.keyspaces)
    .filter(([, { slots }]) => (slots & (slots - 1)) !== 0)
    .map(([keyspace, { slots }]) => ({
      path: ['keyspaces', keyspace, 'slots'],
      message: `must be a power of two, received ${slots}`,
    }));
  return [...keyspaceFaults, ...entityFaults(config)];
}

function entityFaults(config: Shape): { path: string[]; message: string }[] {
  const keyspaces = Object.keys(config.keyspaces);
  return Object.entries(config.entities).flatMap(([entity, definition]) => {
    const faults: { path: string[]; message: string }[] = [];
    if (!keyspaces.includes(definition.keyspace)) {
      faults.push({
        path: ['entities', entity, 'keyspace'],
        message: `names the keyspace '${definition.keyspace}'; there are ${quoted(keyspaces)}`,
      });
    }
    const tiers = definition.cache?.tiers ?? [];
    if (tiers.includes('l2') && config.redis === undefined) {
      faults.push({
        path: ['entities', entity, 'cache', 'tiers'],
        message: "uses 'l2', but no `redis` is given",
      });
    }
    if (tiers.includes('l3') && (config.memcached ?? []).length === 0) {
      faults.push({
        path: ['entities', entity, 'cache', 'tiers'],
        message: "uses 'l3', but no `memcached` is given",
      });
    }
    return faults;
  });
}

function quoted(names: readonly string[]): string {
  return names.length === 0 ? 'none' : names.map((each) => `'${each}'`).join(', ');
}

function isStandardSchema(value: unknown): boolean {
  return (
    (typeof value === 'object' || typeof value === 'function') &&
    value !== null &&
    '~standard' in value
  );
}
