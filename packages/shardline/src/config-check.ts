import type { NamespaceOptions } from '@shardline/cache';
import {
  checkOptions,
  durationOption,
  integerOption,
  LONGEST_KEY_ID_BYTES,
  nearestName,
  quoteIdentifier,
} from '@shardline/core';
import type { RedisTarget } from '@shardline/core/redis';
import type { LimiterOptions } from '@shardline/ratelimit';
import type { StandardSchemaV1 } from '@standard-schema/spec';
import * as v from 'valibot';
import { administrationSchema } from './administration.js';
import type { DataLayerConfig, NamespaceDefinition, PoolPolicy } from './config.js';
import { expandEnvironment } from './environment.js';

/**
 * The configuration, checked: each part by itself, then what its parts say of each other. Every fault is
 * named at once, with its path. What is handed through to a library below (pool, cache, limits) is checked
 * there as well, by whoever knows it.
 */

const name = v.pipe(v.string(), v.minLength(1, 'must not be empty'));
const identifier = v.pipe(
  name,
  v.check((text) => isIdentifier(text), 'must be a name of at most 63 bytes'),
);
const postgresUrl = v.pipe(
  v.string(),
  v.regex(/^postgres(ql)?:\/\//, 'must begin with postgres:// or postgresql://'),
);
const memcachedNodes = v.array(
  v.pipe(v.string(), v.regex(/^[^:\s]+:\d+$/, "must be written as 'host:port'")),
);
const redisTarget = v.custom<RedisTarget>((value) => value !== null && value !== undefined);
const tiers = v.pipe(
  v.array(v.picklist(['l1', 'l2', 'l3'], "must be 'l1', 'l2' or 'l3'")),
  v.minLength(1, 'must name a tier'),
);
const standardSchema = v.custom<StandardSchemaV1>(isStandardSchema, 'must be a Standard Schema');
const limit = v.strictObject({
  limit: integerOption(1),
  per: durationOption({ min: '1ms', max: '30d' }),
  burst: v.optional(integerOption(1)),
});
const targetList = v.array(
  v.pipe(v.string(), v.regex(/^[^:#\s]+[:#]./, "must be 'name:key', 'name:*' or 'name#tag'")),
);
const targets = v.pipe(targetList, v.minLength(1, 'must name what becomes stale'));
const handedThrough = <T>() =>
  v.custom<T>((value) => typeof value === 'object' && value !== null, 'must be an object');

const cachePolicy = v.looseObject({
  ttl: durationOption({ min: '1ms', max: '3650d' }),
  tiers: v.optional(tiers),
  partition: v.optional(name),
  afterWrite: v.optional(v.picklist(['fill', 'invalidate'], "must be 'fill' or 'invalidate'")),
});

/** What of an entity's cache policy goes to the cache as it is; anything else is no option. */
const HANDED_THROUGH = [
  'bound',
  'coherence',
  'compression',
  'eagerRefresh',
  'jitter',
  'l1',
  'leaseWait',
  'loadTimeout',
  'negativeTtl',
  'partition',
  'softTimeout',
  'staleIfError',
  'staleWhileRevalidate',
] as const;

const entitySchema = v.strictObject({
  table: identifier,
  keyspace: v.optional(name),
  shard: v.optional(name),
  reference: v.optional(v.literal(true)),
  key: identifier,
  id: v.optional(identifier),
  schema: v.optional(standardSchema),
  cache: v.optional(cachePolicy),
  invalidates: v.optional(targetList, []),
  limits: v.optional(v.strictObject({ reads: v.optional(limit), writes: v.optional(limit) }), {}),
});

const shapeSchema = v.strictObject({
  name: v.pipe(
    v.string(),
    v.regex(/^[A-Za-z0-9_.-]{1,64}$/, "must be 1 to 64 letters, digits, '_', '.' or '-'"),
  ),
  catalog: v.optional(postgresUrl),
  shards: v.pipe(
    v.record(
      name,
      v.strictObject({ primary: postgresUrl, replicas: v.optional(v.array(postgresUrl), []) }),
    ),
    v.check((shards) => Object.keys(shards).length > 0, 'must name at least one shard'),
  ),
  pool: v.optional(handedThrough<PoolPolicy>(), {}),
  keyspaces: v.record(
    name,
    v.strictObject({
      keyType: v.picklist(['bigint', 'text', 'uuid'], "must be 'bigint', 'text' or 'uuid'"),
      slots: v.optional(integerOption(2, 65_536), 4096),
      shards: v.optional(v.pipe(v.array(name), v.minLength(1, 'must name a shard'))),
    }),
  ),
  redis: v.optional(redisTarget),
  memcached: v.optional(memcachedNodes),
  partitions: v.optional(
    v.record(
      name,
      v.strictObject({ redis: v.optional(redisTarget), memcached: v.optional(memcachedNodes) }),
    ),
    {},
  ),
  entities: v.record(name, entitySchema),
  namespaces: v.optional(
    v.record(name, handedThrough<NamespaceDefinition & NamespaceOptions<unknown>>()),
    {},
  ),
  events: v.optional(
    v.record(
      name,
      v.union(
        [
          v.pipe(
            targets,
            v.transform((invalidates) => ({ invalidates, warms: [], payload: undefined })),
          ),
          v.pipe(
            v.strictObject({
              invalidates: v.optional(targetList, []),
              warms: v.optional(targetList, []),
              payload: v.optional(standardSchema),
            }),
            v.check(
              ({ invalidates, warms }) => invalidates.length + warms.length > 0,
              'must name what becomes stale or what is read ahead',
            ),
          ),
        ],
        'must be a list of what becomes stale, or { invalidates, warms, payload }',
      ),
    ),
    {},
  ),
  schedules: v.optional(handedThrough<NonNullable<DataLayerConfig['schedules']>>(), {}),
  warming: v.optional(handedThrough<NonNullable<DataLayerConfig['warming']>>(), {}),
  limits: v.optional(
    v.strictObject({
      tiers: v.optional(v.record(name, limit)),
      policies: v.optional(handedThrough<NonNullable<LimiterOptions['policies']>>()),
      defaultTier: v.optional(name),
      tierOf: v.optional(
        v.custom<NonNullable<LimiterOptions['tierOf']>>(
          (value) => typeof value === 'function',
          'must be a function',
        ),
      ),
      onRedisDown: v.optional(v.picklist(['open', 'closed', 'local'])),
    }),
  ),
  sessions: v.optional(
    v.strictObject({
      signingKeys: v.optional(
        v.array(
          v.strictObject({
            id: v.pipe(
              name,
              v.maxBytes(LONGEST_KEY_ID_BYTES, `must be at most ${LONGEST_KEY_ID_BYTES} bytes`),
            ),
            secret: v.custom<string | Uint8Array>(isSecret, 'must be at least 32 random bytes'),
          }),
        ),
        [],
      ),
      tokenLifetime: v.optional(durationOption({ min: '1s', max: '30d' }), '15m'),
      replicaWait: v.optional(durationOption({ max: '1m' }), '50ms'),
    }),
    {},
  ),
  outbox: v.optional(
    v.union(
      [
        v.boolean(),
        v.strictObject({ relayInterval: v.optional(durationOption({ min: '10ms', max: '10m' })) }),
      ],
      'must be true, false or { relayInterval }',
    ),
  ),
  operationTimeout: v.optional(durationOption({ min: '1ms', max: '1d' }), '30s'),
  administration: v.optional(administrationSchema, {}),
});

type Shape = v.InferOutput<typeof shapeSchema>;

/** A configuration whose parts are known to fit each other, with every default filled in. */
export type ResolvedConfig = Shape;

/** One entity of it. */
export type ResolvedEntity = Shape['entities'][string];

interface Fault {
  readonly path: readonly string[];
  readonly message: string;
}

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
function contradictions(config: Shape): Fault[] {
  return [
    ...keyspaceFaults(config),
    ...Object.keys(config.entities).flatMap((entity) => entityFaults(config, entity)),
    ...namespaceFaults(config),
    ...eventFaults(config),
    ...limitFaults(config),
    ...unshardedFaults(config),
  ];
}

function keyspaceFaults({ keyspaces, shards }: Shape): Fault[] {
  return Object.entries(keyspaces).flatMap(([keyspace, { slots, shards: own = [] }]) => [
    ...((slots & (slots - 1)) === 0
      ? []
      : [
          {
            path: ['keyspaces', keyspace, 'slots'],
            message: `must be a power of two, received ${slots}`,
          },
        ]),
    ...own
      .filter((shard) => !(shard in shards))
      .map((shard) => ({
        path: ['keyspaces', keyspace, 'shards'],
        message: `names the shard '${shard}'; there are ${quoted(Object.keys(shards))}`,
      })),
  ]);
}

function entityFaults(config: Shape, entity: string): Fault[] {
  const definition = config.entities[entity] as ResolvedEntity;
  const at = (option: string, message: string): Fault => ({
    path: ['entities', entity, option],
    message,
  });
  const faults = [...placementFaults(config, entity), ...cacheFaults(config, entity)];
  if (definition.id !== undefined && definition.id === definition.key) {
    faults.push(at('id', 'is the key; leave it out where the key alone names a row'));
  }
  if (entity in config.namespaces) {
    faults.push(at('', 'has the name of a namespace; both live in one cache'));
  }
  return faults;
}

function placementFaults({ entities, keyspaces, shards }: Shape, entity: string): Fault[] {
  const { keyspace, shard, reference } = entities[entity] as ResolvedEntity;
  const given = [keyspace, shard, reference].filter((one) => one !== undefined).length;
  if (given !== 1) {
    const message =
      given === 0
        ? 'must say where the rows are: `keyspace`, `shard` or `reference: true`'
        : 'says twice where the rows are: give one of `keyspace`, `shard` and `reference`';
    return [{ path: ['entities', entity], message }];
  }
  if (keyspace !== undefined && !(keyspace in keyspaces)) {
    const message = `names the keyspace '${keyspace}'; there are ${quoted(Object.keys(keyspaces))}`;
    return [{ path: ['entities', entity, 'keyspace'], message }];
  }
  if (shard !== undefined && !(shard in shards)) {
    const message = `names the shard '${shard}'; there are ${quoted(Object.keys(shards))}`;
    return [{ path: ['entities', entity, 'shard'], message }];
  }
  return [];
}

function cacheFaults(config: Shape, entity: string): Fault[] {
  const { cache } = config.entities[entity] as ResolvedEntity;
  if (cache === undefined) return [];
  const known = ['ttl', 'tiers', 'afterWrite', ...HANDED_THROUGH];
  const unknown = Object.keys(cache).filter((option) => !known.includes(option));
  return [
    ...unknown.map((option) => {
      const nearest = nearestName(option, known);
      const hint = nearest === undefined ? '' : `; did you mean '${nearest}'?`;
      return { path: ['entities', entity, 'cache', option], message: `is no option${hint}` };
    }),
    ...tierFaults(
      config,
      ['entities', entity, 'cache'],
      cache.tiers ?? ['l1', 'l2'],
      cache.partition,
    ),
  ];
}

function tierFaults(
  config: Shape,
  path: readonly string[],
  wanted: readonly string[],
  partition: string | undefined,
): Fault[] {
  const place = partition === undefined ? config : config.partitions[partition];
  if (place === undefined) {
    const known = quoted(Object.keys(config.partitions));
    const message = `names the partition '${partition}'; there are ${known}`;
    return [{ path: [...path, 'partition'], message }];
  }
  const faults: Fault[] = [];
  const fault = (message: string) => faults.push({ path: [...path, 'tiers'], message });
  if (wanted.includes('l2') && place.redis === undefined) {
    fault("uses 'l2', but no `redis` is given");
  }
  if (wanted.includes('l3') && (place.memcached ?? []).length === 0) {
    fault("uses 'l3', but no `memcached` is given");
  }
  return faults;
}

function namespaceFaults(config: Shape): Fault[] {
  return Object.entries(config.namespaces).flatMap(([namespace, definition]) => {
    const wanted = Array.isArray(definition.tiers) ? definition.tiers : [];
    return tierFaults(config, ['namespaces', namespace], wanted, definition.partition);
  });
}

/** A rule that names nothing that is cached would never do anything. */
function eventFaults(config: Shape): Fault[] {
  const { entities, namespaces, events } = config;
  const cached = [
    ...Object.keys(entities).filter((entity) => entities[entity]?.cache !== undefined),
    ...Object.keys(namespaces),
  ];
  const check = (path: readonly string[], names: readonly string[]) =>
    names.flatMap((target, at): Fault[] => {
      const [namespace = ''] = target.split(/[:#]/, 1);
      if (cached.includes(namespace)) return [];
      const message = `'${target}' names '${namespace}', which is not cached; cached are ${quoted(cached)}`;
      return [{ path: [...path, String(at)], message }];
    });
  const checkWarmed = (event: string, names: readonly string[]) =>
    names.flatMap((target, at): Fault[] => {
      const [namespace = ''] = target.split(/[:#]/, 1);
      if (namespaces[namespace]?.load !== undefined) return [];
      const message = `'${target}' is of no namespace with a \`load\`, so nobody knows how to read it ahead`;
      return [{ path: ['events', event, 'warms', String(at)], message }];
    });
  return [
    ...Object.entries(events).flatMap(([event, { invalidates, warms }]) => [
      ...check(['events', event], invalidates),
      ...checkWarmed(event, warms),
    ]),
    ...Object.entries(entities).flatMap(([entity, { invalidates }]) =>
      check(['entities', entity, 'invalidates'], invalidates),
    ),
  ];
}

function limitFaults({ limits }: Shape): Fault[] {
  if (limits === undefined) return [];
  if ((limits.tiers === undefined) === (limits.policies === undefined)) {
    return [{ path: ['limits'], message: 'must have either `tiers` or `policies`' }];
  }
  return [];
}

function unshardedFaults({ entities }: Shape): Fault[] {
  const placed = Object.entries(entities).filter(([, { shard }]) => shard !== undefined);
  const [first] = placed;
  return placed
    .filter(([, { shard }]) => shard !== first?.[1].shard)
    .map(([entity, { shard }]) => ({
      path: ['entities', entity, 'shard'],
      message: `is '${shard}', while '${first?.[0]}' is on '${first?.[1].shard}': unsharded entities share one shard`,
    }));
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

function isSecret(value: unknown): boolean {
  if (typeof value === 'string') return Buffer.byteLength(value) >= 32;
  return value instanceof Uint8Array && value.length >= 32;
}

function isIdentifier(text: string): boolean {
  try {
    for (const part of text.split('.')) quoteIdentifier(part);
    return true;
  } catch {
    return false;
  }
}
