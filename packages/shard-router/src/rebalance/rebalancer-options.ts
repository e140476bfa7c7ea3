import { hostname } from 'node:os';
import {
  type ConfigurationFault,
  checkOptions,
  configurationError,
  type Duration,
  durationOption,
  integerOption,
} from '@shardline/core';
import * as v from 'valibot';
import {
  type FilledKeyspaceOptions,
  fillRouterOptions,
  isPool,
  type RouterOptions,
  type ShardLocation,
  type TableName,
} from '../router-options.js';

/** How a shard is reached by those who administer it and by the other shards. */
export interface ShardAdministration {
  /** A role that owns the tables and may create publications, subscriptions and roles (PostgreSQL 15: a superuser). */
  readonly location: ShardLocation;
  /**
   * How another shard's server reaches this one, as it stands in a subscription: `host=… port=… dbname=…`. No
   * user and no password: each move makes a role of its own. @default host, port and database of `location`
   */
  readonly peerAddress?: string;
}

/** The longest a move may wait, and how careful it is. Every member has a default that suits production. */
export interface MoveLimits {
  /** Longest wait for a lock on the tables of a shard, per try. New writers queue behind it. @default '300ms' */
  readonly lockTimeout?: Duration;
  /** What to do with transactions that keep the fence from being set. @default 'wait' */
  readonly longTransactions?: 'wait' | 'terminate';
  /** With `terminate`: how long a transaction may keep the fence waiting first. @default '30s' */
  readonly terminateAfter?: Duration;
  /** Longest time that callers are held back; past it the switch is undone and tried again later. @default '5s' */
  readonly pauseTimeout?: Duration;
  /** Largest distance between the shards at which the switch begins. @default 1_048_576 */
  readonly switchLagBytes?: number;
  /**
   * Longest wait for every router to know a shard that joins, before reference tables are compared there. One that is cut
   * off from the catalog is waited for until its lease has ended. @default '11m', the longest lease and a little
   */
  readonly routersTimeout?: Duration;
  /** How long after the switch `rollback` is possible before the source is cleaned. @default '1h' */
  readonly rollbackWindow?: Duration;
  /** Largest lag of a replica of source or destination before the copy is slowed down. @default '10s' */
  readonly replicaLag?: Duration;
  /** Most WAL that the move's replication slot may hold back. @default 10_737_418_240 */
  readonly slotBytes?: number;
  /**
   * Most bytes of one move, by what a plan measures; what is more is cut into several, which go one after another. A slot
   * stays whole. It bounds how long a copy goes on that others suffer from. @default 53_687_091_200
   */
  readonly moveBytes?: number;
  /** Most moves that copy at once. @default 2 */
  readonly parallelMoves?: number;
  /** Rows per transaction of clean-up. @default 1_000 */
  readonly cleanBatchRows?: number;
  /** Whether rows are compared before the switch. @default true */
  readonly verify?: boolean;
}

/** Who rebalances what. */
export interface RebalancerOptions
  extends Pick<RouterOptions, 'keyspaces' | 'referenceTables' | 'unsharded'> {
  /** The catalog, with a role that owns schema `shardline`. */
  readonly catalog: ShardLocation;
  /** Every shard of the topology, and those that are to join it. */
  readonly shards: Readonly<Record<string, ShardAdministration>>;
  /** Who this is, for `status` of others. @default host name and process id */
  readonly name?: string;
  readonly limits?: MoveLimits;
  /** How long a mover that does not answer keeps a move to itself. @default '10s' */
  readonly lease?: Duration;
}

/** Limits with every default filled in; durations in milliseconds. */
export interface FilledMoveLimits {
  readonly lockTimeoutMs: number;
  readonly longTransactions: 'wait' | 'terminate';
  readonly terminateAfterMs: number;
  readonly pauseTimeoutMs: number;
  readonly switchLagBytes: number;
  readonly routersTimeoutMs: number;
  readonly rollbackWindowMs: number;
  readonly replicaLagMs: number;
  readonly slotBytes: number;
  readonly moveBytes: number;
  readonly parallelMoves: number;
  readonly cleanBatchRows: number;
  readonly verify: boolean;
}

/** Options with every default filled in. */
export interface FilledRebalancerOptions {
  readonly catalog: ShardLocation;
  readonly shards: ReadonlyMap<string, FilledAdministration>;
  readonly keyspaces: ReadonlyMap<string, FilledKeyspaceOptions>;
  readonly referenceTables: readonly TableName[];
  readonly name: string;
  readonly limits: FilledMoveLimits;
  readonly leaseMs: number;
}

/** A shard with the address by which its peers reach it. */
export interface FilledAdministration {
  readonly location: ShardLocation;
  readonly peerAddress: string;
}

const limits = v.strictObject({
  lockTimeout: v.optional(durationOption({ min: '1ms', max: '1m' }), '300ms'),
  longTransactions: v.optional(v.picklist(['wait', 'terminate']), 'wait'),
  terminateAfter: v.optional(durationOption({ min: '0ms' }), '30s'),
  pauseTimeout: v.optional(durationOption({ min: '10ms', max: '10m' }), '5s'),
  switchLagBytes: v.optional(integerOption(0), 1_048_576),
  routersTimeout: v.optional(durationOption({ min: '1ms' }), '11m'),
  rollbackWindow: v.optional(durationOption({ min: '0ms' }), '1h'),
  replicaLag: v.optional(durationOption({ min: '1ms' }), '10s'),
  slotBytes: v.optional(integerOption(1), 10_737_418_240),
  moveBytes: v.optional(integerOption(1), 53_687_091_200),
  parallelMoves: v.optional(integerOption(1, 100), 2),
  cleanBatchRows: v.optional(integerOption(1, 1_000_000), 1_000),
  verify: v.optional(v.boolean(), true),
});

const place = v.custom<ShardLocation>(
  (value) => typeof value === 'object' && value !== null && !Array.isArray(value),
  'must be the options of a pool, or a pool',
);

const schema = v.strictObject({
  catalog: place,
  shards: v.record(
    v.string(),
    v.strictObject({ location: place, peerAddress: v.optional(v.string()) }),
  ),
  keyspaces: v.custom<RouterOptions['keyspaces']>(() => true),
  referenceTables: v.optional(v.array(v.string())),
  unsharded: v.optional(v.custom<RouterOptions['unsharded']>(() => true)),
  name: v.optional(v.string()),
  limits: v.optional(limits, {}),
  lease: v.optional(durationOption({ min: '500ms', max: '10m' }), '10s'),
});

/**
 * Checks the options of a rebalancer and fills in what is not given.
 *
 * @throws ShardlineError `CONFIG_INVALID`, with every fault.
 */
export function fillRebalancerOptions(options: RebalancerOptions): FilledRebalancerOptions {
  const checked = checkOptions(schema, options, 'openRebalancer');
  const faults: ConfigurationFault[] = [];
  const shards = new Map<string, FilledAdministration>();
  for (const [name, shard] of Object.entries(checked.shards)) {
    const peerAddress = shard.peerAddress ?? peerAddressOf(shard.location);
    if (peerAddress === undefined) {
      faults.push({
        path: `shards.${name}.peerAddress`,
        message: 'is needed, since host, port and database cannot be told from `location`',
      });
    } else if (/(?:^|\s)(user|password|passfile|service)\s*=/i.test(peerAddress)) {
      faults.push({
        path: `shards.${name}.peerAddress`,
        message: 'must name no user and no password: each move makes a role of its own',
      });
    } else shards.set(name, { location: shard.location, peerAddress });
  }
  if (faults.length > 0) throw configurationError('openRebalancer', faults);
  const { keyspaces, referenceTables } = fillRouterOptions({
    keyspaces: options.keyspaces,
    ...(options.referenceTables === undefined ? {} : { referenceTables: options.referenceTables }),
    ...(options.unsharded === undefined ? {} : { unsharded: options.unsharded }),
    catalog: options.catalog,
    shards: Object.fromEntries([...shards].map(([name, { location }]) => [name, location])),
  });
  return {
    catalog: checked.catalog,
    shards,
    keyspaces,
    referenceTables,
    name: checked.name ?? `${hostname()}:${process.pid}`,
    limits: filledLimits(checked.limits),
    leaseMs: checked.lease,
  };
}

function filledLimits(checked: v.InferOutput<typeof limits>): FilledMoveLimits {
  const {
    lockTimeout,
    terminateAfter,
    pauseTimeout,
    routersTimeout,
    rollbackWindow,
    replicaLag,
    ...others
  } = checked;
  return {
    ...others,
    lockTimeoutMs: lockTimeout,
    terminateAfterMs: terminateAfter,
    pauseTimeoutMs: pauseTimeout,
    routersTimeoutMs: routersTimeout,
    rollbackWindowMs: rollbackWindow,
    replicaLagMs: replicaLag,
  };
}

/** Host, port and database as a subscription names them; undefined if they cannot be told. */
function peerAddressOf(location: ShardLocation): string | undefined {
  const options = isPool(location) ? (location as { options?: object }).options : location;
  const { primary, ...around } = (options ?? {}) as {
    primary?: string | Record<string, unknown>;
    connectionString?: string;
  };
  const place = typeof primary === 'object' ? { ...around, ...primary } : around;
  const text =
    typeof primary === 'string'
      ? primary
      : (place as { connectionString?: string }).connectionString;
  if (text !== undefined) {
    if (!URL.canParse(text)) return undefined;
    const { hostname: host, port, pathname } = new URL(text);
    const database = decodeURIComponent(pathname.slice(1));
    return address(host, port === '' ? 5432 : port, database);
  }
  const { host, port, database } = place as { host?: string; port?: number; database?: string };
  return host === undefined || database === undefined
    ? undefined
    : address(host, port ?? 5432, database);
}

function address(host: string, port: string | number, database: string): string | undefined {
  if (host === '' || database === '') return undefined;
  const quote = (text: string) => `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;
  return `host=${quote(host.replace(/^\[|\]$/g, ''))} port=${port} dbname=${quote(database)}`;
}
