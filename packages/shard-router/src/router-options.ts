import {
  type ConfigurationFault,
  checkOptions,
  configurationError,
  type Duration,
  durationOption,
  integerOption,
} from '@shardline/core';
import type { ReplicaPoolOptions } from '@shardline/pool';
import type pg from 'pg';
import * as v from 'valibot';
import type { HashName, KeyType, ShardedTable } from './keyspace.js';
import type { Topology } from './topology/topology.js';

/** A keyspace as a service declares it. */
export interface KeyspaceOptions {
  readonly keyType: KeyType;
  /** @default 'postgres' */
  readonly hash?: HashName;
  /** A power of two; cannot be changed once rows are there. @default 4096 */
  readonly slots?: number;
  /**
   * Shards that it may live on: `bootstrap` spreads its slots over these, and a plan keeps them there. Where a slot
   * is, the topology alone says. @default all
   */
  readonly shards?: readonly string[];
  /** Tables by name (`users` or `schema.users`), each with its key column. */
  readonly tables: Readonly<
    Record<string, string | { readonly key: string; readonly slotColumn?: string }>
  >;
}

/** Where a shard is: the options of its `ReplicaPool`, or a pool that the service has made itself. */
export type ShardLocation = ReplicaPoolOptions | pg.Pool;

/** How a router is made. */
export interface RouterOptions {
  /** Shards by name; the topology must name no other. */
  readonly shards: Readonly<Record<string, ShardLocation>>;
  /** Keyspaces by name; the same in every service. */
  readonly keyspaces: Readonly<Record<string, KeyspaceOptions>>;
  /** The database that holds the catalog: options of a pool, or a pool. Either this or `topology`. */
  readonly catalog?: ShardLocation;
  /** A topology that does not change while the service runs. */
  readonly topology?: Topology;
  /** Tables that are the same on every shard. */
  readonly referenceTables?: readonly string[];
  /** Tables that live on one shard. */
  readonly unsharded?: { readonly shard: string; readonly tables: readonly string[] };
  /** For `status`: which service this is. @default 'router' */
  readonly name?: string;
  /** How often the catalog is asked for news. @default '1s' */
  readonly pollInterval?: Duration;
  /** For how long an acknowledged topology may be used unverified without renewal. @default '10s' */
  readonly lease?: Duration;
  /** Whether calls may skip verification under a lease. @default 'leased' */
  readonly verify?: 'leased' | 'always';
  /** Whether to LISTEN for news; turn it off behind a transaction pooler. @default true */
  readonly listen?: boolean;
  /** Longest wait of a call for a held or moved slot. @default '10s' */
  readonly holdTimeout?: Duration;
  /** Most calls that may wait per hold. @default 10000 */
  readonly holdQueueLimit?: number;
}

/** With every default filled in. */
export interface FilledRouterOptions {
  readonly shards: Readonly<Record<string, ShardLocation>>;
  readonly keyspaces: ReadonlyMap<string, FilledKeyspaceOptions>;
  readonly catalog: ShardLocation | undefined;
  readonly topology: Topology | undefined;
  readonly referenceTables: readonly TableName[];
  readonly unsharded: { readonly shard: string; readonly tables: readonly TableName[] } | undefined;
  readonly name: string;
  readonly pollMs: number;
  readonly leaseMs: number;
  readonly verify: 'leased' | 'always';
  readonly listen: boolean;
  readonly holdTimeoutMs: number;
  readonly holdQueueLimit: number;
}

/** A keyspace with its tables resolved. */
export interface FilledKeyspaceOptions {
  readonly keyType: KeyType;
  readonly hash: HashName;
  readonly slots: number;
  /** Undefined: all shards. */
  readonly shards: readonly string[] | undefined;
  readonly tables: readonly ShardedTable[];
}

/** A table with its schema. */
export interface TableName {
  readonly schema: string;
  readonly name: string;
}

const location = v.custom<ShardLocation>(
  (value) => typeof value === 'object' && value !== null && !Array.isArray(value),
  'must be the options of a pool, or a pool',
);

const table = v.union([
  v.string(),
  v.strictObject({ key: v.string(), slotColumn: v.optional(v.string()) }),
]);

const schema = v.strictObject({
  shards: v.record(v.string(), location),
  keyspaces: v.record(
    v.string(),
    v.strictObject({
      keyType: v.picklist(['bigint', 'text', 'uuid']),
      hash: v.optional(v.picklist(['postgres', 'murmur3']), 'postgres'),
      slots: v.optional(integerOption(2, 65536), 4096),
      shards: v.optional(v.pipe(v.array(v.string()), v.minLength(1, 'must name a shard'))),
      tables: v.record(v.string(), table),
    }),
  ),
  catalog: v.optional(location),
  topology: v.optional(v.custom<Topology>((value) => isTopology(value), 'must be a Topology')),
  referenceTables: v.optional(v.array(v.string()), []),
  unsharded: v.optional(v.strictObject({ shard: v.string(), tables: v.array(v.string()) })),
  name: v.optional(v.string(), 'router'),
  pollInterval: v.optional(durationOption({ min: '10ms', max: '10m' }), '1s'),
  lease: v.optional(durationOption({ min: '100ms', max: '10m' }), '10s'),
  verify: v.optional(v.picklist(['leased', 'always']), 'leased'),
  listen: v.optional(v.boolean(), true),
  holdTimeout: v.optional(durationOption({ min: '1ms' }), '10s'),
  holdQueueLimit: v.optional(integerOption(1), 10_000),
});

function isTopology(value: unknown): boolean {
  return typeof value === 'object' && value !== null && 'epoch' in value && 'keyspaces' in value;
}

/** Whether a location is a pool already: told by shape, since another copy of `pg` may have made it. */
export function isPool(value: ShardLocation): value is pg.Pool {
  const shape = value as { query?: unknown; connect?: unknown; end?: unknown };
  return [shape.query, shape.connect, shape.end].every((member) => typeof member === 'function');
}

/**
 * Checks the options of a router and fills in what is not given.
 *
 * @throws ShardlineError `CONFIG_INVALID`, with every fault.
 */
export function fillRouterOptions(options: RouterOptions): FilledRouterOptions {
  const checked = checkOptions(schema, options, 'createRouter');
  const faults = contradictions(checked as unknown as RouterOptions);
  if (faults.length > 0) throw configurationError('createRouter', faults);
  const { pollInterval, lease, holdTimeout, keyspaces, unsharded, ...others } = checked;
  return {
    ...others,
    catalog: others.catalog,
    topology: others.topology,
    keyspaces: new Map(
      Object.entries(keyspaces).map(([name, keyspace]) => [
        name,
        {
          ...keyspace,
          shards: keyspace.shards,
          tables: Object.entries(keyspace.tables).map(toShardedTable),
        },
      ]),
    ),
    referenceTables: others.referenceTables.map(toTableName),
    unsharded:
      unsharded === undefined
        ? undefined
        : { shard: unsharded.shard, tables: unsharded.tables.map(toTableName) },
    pollMs: pollInterval,
    leaseMs: lease,
    holdTimeoutMs: holdTimeout,
  };
}

function toShardedTable([name, table]: [
  string,
  string | { key: string; slotColumn?: string | undefined },
]): ShardedTable {
  const { key, slotColumn } =
    typeof table === 'string' ? { key: table, slotColumn: undefined } : table;
  return { ...toTableName(name), key, ...(slotColumn === undefined ? {} : { slotColumn }) };
}

/** `users` is in schema `public`; `app.users` says otherwise. */
export function toTableName(name: string): TableName {
  const dot = name.indexOf('.');
  return dot < 0
    ? { schema: 'public', name }
    : { schema: name.slice(0, dot), name: name.slice(dot + 1) };
}

function contradictions(options: RouterOptions): ConfigurationFault[] {
  const faults: ConfigurationFault[] = [];
  const names = Object.keys(options.shards);
  if (names.length === 0) faults.push({ path: 'shards', message: 'must name at least one shard' });
  if (Object.keys(options.keyspaces).length === 0) {
    faults.push({ path: 'keyspaces', message: 'must name at least one keyspace' });
  }
  if ((options.catalog === undefined) === (options.topology === undefined)) {
    faults.push({ path: 'catalog', message: 'give either `catalog` or `topology`' });
  }
  if (options.unsharded !== undefined && !names.includes(options.unsharded.shard)) {
    faults.push({ path: 'unsharded.shard', message: `'${options.unsharded.shard}' is no shard` });
  }
  for (const [name, { shards: wanted = [] }] of Object.entries(options.keyspaces)) {
    for (const shard of wanted.filter((one) => !names.includes(one))) {
      faults.push({ path: `keyspaces.${name}.shards`, message: `'${shard}' is no shard` });
    }
  }
  faults.push(...sharedAddresses(options), ...tablesTwice(options));
  return faults;
}

/** Two shards at one address would be one database with half of its rows refused. */
function sharedAddresses({ shards }: RouterOptions): ConfigurationFault[] {
  const seen = new Map<unknown, string>();
  return Object.entries(shards).flatMap(([name, where]) => {
    const address = isPool(where) ? where : addressOf(where);
    if (address === undefined) return [];
    const other = seen.get(address);
    seen.set(address, name);
    return other === undefined
      ? []
      : [{ path: `shards.${name}`, message: `has the same address as shard '${other}'` }];
  });
}

function addressOf(options: ReplicaPoolOptions): string | undefined {
  const primary = options.primary ?? options;
  const text = typeof primary === 'string' ? primary : primary.connectionString;
  if (text !== undefined) {
    if (!URL.canParse(text)) return text;
    const { hostname, port, pathname } = new URL(text);
    return `${hostname}:${port === '' ? 5432 : port}${pathname}`;
  }
  if (typeof primary === 'string' || primary.host === undefined) return undefined;
  return `${primary.host}:${primary.port ?? 5432}/${primary.database ?? options.database ?? ''}`;
}

function tablesTwice(options: RouterOptions): ConfigurationFault[] {
  const seen = new Map<string, string>();
  const faults: ConfigurationFault[] = [];
  const add = (table: string, path: string) => {
    const { schema: schemaName, name } = toTableName(table);
    const other = seen.get(`${schemaName}.${name}`);
    if (other !== undefined) faults.push({ path, message: `'${table}' is already in ${other}` });
    seen.set(`${schemaName}.${name}`, path);
  };
  for (const [name, { tables }] of Object.entries(options.keyspaces)) {
    for (const table of Object.keys(tables)) add(table, `keyspaces.${name}.tables`);
  }
  for (const table of options.referenceTables ?? []) add(table, 'referenceTables');
  for (const table of options.unsharded?.tables ?? []) add(table, 'unsharded.tables');
  return faults;
}
