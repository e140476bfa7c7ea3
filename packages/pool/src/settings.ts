import {
  type ConfigurationFault,
  checkOptions,
  configurationError,
  isShardlineError,
} from '@shardline/core';
import type pg from 'pg';
import { parse } from 'pg-connection-string';
import type * as v from 'valibot';
import {
  CLIENT_OPTION_NAMES,
  type NodeOptions,
  poolOptionsSchema,
  type ReplicaPoolOptions,
  type SessionOptions,
} from './options.js';

/** Options as a pool uses them: checked, complete, in milliseconds, one entry per server. */
export interface PoolSettings {
  /** The declared primary first. */
  readonly nodes: readonly NodeSettings[];
  readonly reads: 'replica' | 'primary';
  readonly balancing: 'p2c-ewma' | 'least-connections' | 'round-robin';
  readonly zone: string | undefined;
  readonly max: number;
  readonly min: number;
  readonly maxUses: number;
  readonly maxWaiting: number;
  readonly acquireTimeoutMs: number;
  readonly dialTimeoutMs: number;
  /** 0: never. */
  readonly idleTimeoutMs: number;
  readonly maxLifetimeMs: number;
  readonly lifetimeJitter: number;
  readonly validateAfterIdleMs: number;
  /** 0: none. */
  readonly statementTimeoutMs: number;
  /** 0: never. */
  readonly leakReportAfterMs: number;
  readonly closeOnQueryError: boolean;
  readonly pipelining: boolean;
  readonly allowExitOnIdle: boolean;
  readonly maxLagMs: number;
  readonly maxLagBytes: bigint;
  readonly monitorIntervalMs: number;
  readonly monitorPanicIntervalMs: number;
  readonly monitorTimeoutMs: number;
  readonly failoverTimeoutMs: number;
  readonly tokenLifetimeMs: number;
  readonly replicaWaitMs: number;
  readonly signingKeys: NonNullable<SessionOptions['signingKeys']>;
  readonly pureFunctions: readonly string[];
}

/** One server, as the driver is to be told of it. */
export interface NodeSettings {
  readonly name: string;
  readonly zone: string | undefined;
  readonly weight: number;
  readonly isBehindPgBouncer: boolean;
  /** When the client ends a transaction that idles; 0: never, or the server does it. */
  readonly idleInTransactionMs: number;
  readonly config: pg.ClientConfig;
}

const DEFAULT_ACQUIRE_TIMEOUT_MS = 10_000;

type CheckedOptions = v.InferOutput<typeof poolOptionsSchema>;

/** What both `pg-pool` and this pool have a name for: either may be given, not both. */
const TWINS = [
  ['acquireTimeout', 'connectionTimeoutMillis'],
  ['idleTimeout', 'idleTimeoutMillis'],
  ['maxLifetime', 'maxLifetimeSeconds'],
  ['statementTimeout', 'statement_timeout'],
  ['statementTimeout', 'query_timeout'],
  ['idleInTransactionTimeout', 'idle_in_transaction_session_timeout'],
  ['max', 'poolSize'],
] as const;

const SUBJECT = 'ReplicaPool';
const SHORTEST_SECRET_BYTES = 32;

/**
 * Checks options and completes them.
 *
 * @throws ShardlineError `CONFIG_INVALID` with every fault in `details.faults`.
 */
export function resolveSettings(input: ReplicaPoolOptions = {}): PoolSettings {
  const raw = input.ignoreUnknownOptions === true ? knownOnly(input) : input;
  const faults: ConfigurationFault[] = [];
  let checked: CheckedOptions | undefined;
  try {
    checked = checkOptions(poolOptionsSchema, raw, SUBJECT);
  } catch (error) {
    if (!isShardlineError(error, 'CONFIG_INVALID')) throw error;
    faults.push(...(error.details['faults'] as ConfigurationFault[]));
  }
  faults.push(...contradictions(raw));
  const nodes = faults.length === 0 ? resolveNodes(raw, faults) : [];
  if (faults.length > 0 || checked === undefined) throw configurationError(SUBJECT, faults);
  return complete(checked, nodes);
}

function knownOnly(input: ReplicaPoolOptions): ReplicaPoolOptions {
  const known = Object.keys(poolOptionsSchema.entries);
  return Object.fromEntries(Object.entries(input).filter(([name]) => known.includes(name)));
}

function contradictions(raw: ReplicaPoolOptions): ConfigurationFault[] {
  const faults: ConfigurationFault[] = [];
  const given = raw as Readonly<Record<string, unknown>>;
  for (const [ours, theirs] of TWINS) {
    if (given[ours] === undefined || given[theirs] === undefined || given[theirs] === false)
      continue;
    faults.push({ path: ours, message: `says the same as '${theirs}': give one of them` });
  }
  if (raw.primary !== undefined) {
    for (const name of ['host', 'port', 'connectionString'] as const) {
      if (given[name] === undefined || given[name] === null) continue;
      faults.push({
        path: name,
        message: "names a server, and so does 'primary': give one of them",
      });
    }
  }
  if (Array.isArray(raw.replicas) && raw.replicas.length === 0) {
    faults.push({
      path: 'replicas',
      message:
        'is empty: name at least one server, or leave the option out to use the primary alone',
    });
  }
  const max = raw.max ?? (given['poolSize'] as number | undefined) ?? 10;
  if (typeof raw.min === 'number' && raw.min > max) {
    faults.push({ path: 'min', message: `is ${raw.min}, more than 'max', which is ${max}` });
  }
  for (const [at, key] of (raw.sessions?.signingKeys ?? []).entries()) {
    const bytes =
      typeof key?.secret === 'string' ? Buffer.byteLength(key.secret) : key?.secret?.length;
    if (bytes === undefined || bytes >= SHORTEST_SECRET_BYTES) continue;
    faults.push({
      path: `sessions.signingKeys[${at}].secret`,
      message: `has ${bytes} bytes; give at least ${SHORTEST_SECRET_BYTES} random ones`,
    });
  }
  return faults;
}

function resolveNodes(raw: ReplicaPoolOptions, faults: ConfigurationFault[]): NodeSettings[] {
  const base = clientConfig(raw);
  const entries: [string, string | NodeOptions][] = [
    ['primary', raw.primary ?? {}],
    ...(raw.replicas ?? []).map((replica, at): [string, string | NodeOptions] => [
      `replicas[${at}]`,
      replica,
    ]),
  ];
  const nodes: NodeSettings[] = [];
  for (const [path, entry] of entries) {
    try {
      const node = resolveNode(raw, base, entry);
      if (node.isBehindPgBouncer) faults.push(...lostOnTheWay(raw, path, entry));
      nodes.push(node);
    } catch (error) {
      faults.push({ path, message: `cannot be read as an address: ${(error as Error).message}` });
    }
  }
  const firstByName = new Map<string, string>();
  for (const [at, { name }] of nodes.entries()) {
    const path = entries[at]?.[0] ?? '';
    const first = firstByName.get(name);
    if (first === undefined) firstByName.set(name, path);
    else faults.push({ path, message: `is the same server as ${first} ('${name}')` });
  }
  return nodes;
}

/** The driver's own options among those given, with a connection string taken apart. */
function clientConfig(options: object): pg.ClientConfig {
  const picked = Object.fromEntries(
    Object.entries(options).filter(
      ([name, value]) =>
        CLIENT_OPTION_NAMES.includes(name) && value !== undefined && value !== null,
    ),
  ) as pg.ClientConfig;
  const { connectionString, ...rest } = picked;
  if (connectionString === undefined) return rest;
  const fromText = Object.entries(parse(connectionString)).filter(
    ([, value]) => value !== undefined && value !== null && value !== '',
  );
  return { ...rest, ...Object.fromEntries(fromText) };
}

function resolveNode(
  raw: ReplicaPoolOptions,
  base: pg.ClientConfig,
  entry: string | NodeOptions,
): NodeSettings {
  const given: NodeOptions = typeof entry === 'string' ? { connectionString: entry } : entry;
  const isBehindPgBouncer = given.pgBouncer ?? raw.pgBouncer ?? false;
  const merged = { ...base, ...clientConfig(given) };
  const host = merged.host ?? process.env['PGHOST'] ?? 'localhost';
  const port = Number(merged.port ?? process.env['PGPORT'] ?? 5432);
  return {
    name: given.name ?? `${host}:${port}`,
    zone: given.zone,
    weight: given.weight ?? 1,
    isBehindPgBouncer,
    idleInTransactionMs: isBehindPgBouncer ? idleInTransactionMs(merged, raw) : 0,
    config: withTimeouts({ ...merged, host, port }, raw, isBehindPgBouncer),
  };
}

/**
 * Timeouts as startup parameters where the server itself reads them. A pooler refuses such
 * parameters, or drops them silently: there the client keeps the time.
 */
function withTimeouts(
  config: pg.ClientConfig,
  raw: ReplicaPoolOptions,
  isBehindPgBouncer: boolean,
): pg.ClientConfig {
  const {
    statement_timeout,
    idle_in_transaction_session_timeout: _readBelow,
    query_timeout: _keptByThePool,
    ...rest
  } = config;
  if (isBehindPgBouncer) return rest;
  const statementMs = checkedTimeouts(raw).statementTimeout ?? statement_timeout;
  const idleMs = idleInTransactionMs(config, raw);
  return {
    ...rest,
    ...(statementMs === undefined ? {} : { statement_timeout: statementMs }),
    ...(idleMs === 0 ? {} : { idle_in_transaction_session_timeout: idleMs }),
  };
}

function idleInTransactionMs(config: pg.ClientConfig, raw: ReplicaPoolOptions): number {
  const { idle_in_transaction_session_timeout: asOfDriver } = config;
  return checkedTimeouts(raw).idleInTransactionTimeout ?? Number(asOfDriver ?? 0);
}

/** What only a startup parameter could say, and the client cannot keep instead. */
const STARTUP_ONLY = ['lock_timeout', 'options'] as const;

function lostOnTheWay(
  raw: ReplicaPoolOptions,
  path: string,
  entry: string | NodeOptions,
): ConfigurationFault[] {
  const own = clientConfig(typeof entry === 'string' ? { connectionString: entry } : entry);
  const around = clientConfig(raw);
  return STARTUP_ONLY.flatMap((name) => {
    const place = name in own ? `${path}.${name}` : name;
    if (!(name in own) && !(name in around)) return [];
    const message =
      'would not arrive: PgBouncer in transaction mode takes no such startup parameter. ' +
      'Set it for the role (ALTER ROLE ... SET), or with SET LOCAL in each transaction';
    return [{ path: place, message }];
  });
}

function checkedTimeouts(raw: ReplicaPoolOptions) {
  const { statementTimeout, idleInTransactionTimeout } = raw;
  return checkOptions(poolOptionsSchema, { statementTimeout, idleInTransactionTimeout }, SUBJECT);
}

function complete(o: CheckedOptions, nodes: readonly NodeSettings[]): PoolSettings {
  // 0 means "for ever" in `pg-pool`. Nothing here waits for ever: the default holds then.
  const acquireTimeoutMs =
    o.acquireTimeout ?? (o.connectionTimeoutMillis || DEFAULT_ACQUIRE_TIMEOUT_MS);
  const statementTimeoutMs = o.statementTimeout ?? (o.statement_timeout || o.query_timeout || 0);
  return {
    nodes,
    reads: o.reads ?? 'replica',
    balancing: o.balancing ?? 'p2c-ewma',
    zone: o.zone,
    max: o.max ?? o.poolSize ?? 10,
    min: o.min ?? 0,
    maxUses: o.maxUses ?? Number.POSITIVE_INFINITY,
    maxWaiting: o.maxWaiting ?? 1000,
    acquireTimeoutMs,
    dialTimeoutMs: o.dialTimeout ?? Math.min(5000, acquireTimeoutMs),
    idleTimeoutMs: o.idleTimeout ?? o.idleTimeoutMillis ?? 10_000,
    maxLifetimeMs: lifetimeMs(o),
    lifetimeJitter: o.lifetimeJitter ?? 0.1,
    validateAfterIdleMs: o.validateAfterIdle ?? 500,
    statementTimeoutMs,
    leakReportAfterMs: o.leakReportAfter ?? 0,
    closeOnQueryError: o.closeOnQueryError ?? false,
    pipelining: o.pipelining ?? false,
    allowExitOnIdle: o.allowExitOnIdle ?? false,
    maxLagMs: o.maxLag?.time ?? 10_000,
    maxLagBytes: BigInt(o.maxLag?.bytes ?? 8 * 1024 * 1024),
    monitorIntervalMs: o.monitor?.interval ?? 1000,
    monitorPanicIntervalMs: o.monitor?.panicInterval ?? 100,
    monitorTimeoutMs: o.monitor?.timeout ?? 1000,
    failoverTimeoutMs: o.failoverTimeout ?? acquireTimeoutMs,
    tokenLifetimeMs: o.sessions?.tokenLifetime ?? 15 * 60_000,
    replicaWaitMs: o.sessions?.replicaWait ?? 50,
    signingKeys: o.sessions?.signingKeys ?? [],
    pureFunctions: o.pureFunctions ?? [],
  };
}

const DEFAULT_LIFETIME_MS = 30 * 60_000;

/** 0 means that no age is too great, here as in `pg-pool`. */
function lifetimeMs(o: CheckedOptions): number {
  const givenMs =
    o.maxLifetime ??
    (o.maxLifetimeSeconds === undefined ? DEFAULT_LIFETIME_MS : o.maxLifetimeSeconds * 1000);
  return givenMs === 0 ? Number.POSITIVE_INFINITY : givenMs;
}
