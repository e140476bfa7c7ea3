import {
  type Duration,
  durationOption,
  integerOption,
  LONGEST_KEY_ID_BYTES,
} from '@shardline/core';
import type pg from 'pg';
import * as v from 'valibot';
import type { RouteTarget } from './route/decide.js';

/**
 * What can be set on a pool. Everything that `pg.Pool` takes keeps its name and its meaning, with
 * milliseconds and seconds as they were; what is new here is a duration with its unit. Where both
 * exist for one thing, either may be given, not both.
 */

/** One server. What is left out is as in the options around it: user, password, database, TLS. */
export interface NodeOptions extends pg.ClientConfig {
  /** For spans, metrics and messages. @default 'host:port' */
  readonly name?: string;
  /** Where it stands, for `zone`. */
  readonly zone?: string;
  /** Share of the reads that it gets. @default 1 */
  readonly weight?: number;
  /**
   * PgBouncer in transaction mode (or a like pooler) stands before it: timeouts are then kept by the
   * client, since such startup parameters are refused, and its role is found by asking.
   * @default that of the pool
   */
  readonly pgBouncer?: boolean;
}

/** How a replica is chosen among those that may serve a read. */
export type Balancing = 'p2c-ewma' | 'least-connections' | 'round-robin';

/** How sessions keep their promise. */
export interface SessionOptions {
  /**
   * Keys that sign tokens: the first signs, all verify, so that a key can be replaced without a gap. Each
   * secret has at least 32 bytes, each id at most 32. Without any, tokens are unsigned, and a position beyond the newest known one is
   * answered by the primary.
   */
  readonly signingKeys?: readonly { readonly id: string; readonly secret: string | Uint8Array }[];
  /** How long a token is good for. @default '15m' */
  readonly tokenLifetime?: Duration;
  /** Longest wait of a read for a replica to catch up before it goes to the primary. @default '50ms' */
  readonly replicaWait?: Duration;
}

/** Options of a {@link ReplicaPool}. */
export interface ReplicaPoolOptions extends Omit<pg.PoolConfig, 'Client' | 'onConnect'> {
  /** The server that takes writes at the start. @default the server that the `pg` options name */
  readonly primary?: string | NodeOptions;
  /** Servers that replicate it. After a failover the list may hold the old primary: roles are found out. */
  readonly replicas?: readonly (string | NodeOptions)[];
  /** Where reads go when nothing else is said. @default 'replica' */
  readonly reads?: 'replica' | 'primary';
  /** @default 'p2c-ewma' */
  readonly balancing?: Balancing;
  /** The zone that this process stands in: replicas of the same zone are preferred. */
  readonly zone?: string;
  /** PgBouncer in transaction mode stands before every server. @default false */
  readonly pgBouncer?: boolean;

  /** Longest wait for a connection, a new one's dial included. @default '10s' */
  readonly acquireTimeout?: Duration;
  /** Longest dial, name lookup and handshake included. @default '5s' */
  readonly dialTimeout?: Duration;
  /** Most callers that may wait for a connection, per server. @default 1000 */
  readonly maxWaiting?: number;
  /** Idle connections above `min` are closed after this; `'0ms'` keeps them. @default '10s' */
  readonly idleTimeout?: Duration;
  /** A connection is replaced at this age, when it is not in use; `'0ms'` never. @default '30m' */
  readonly maxLifetime?: Duration;
  /** Share of the lifetime by which it varies, so that connections do not all end at once. @default 0.1 */
  readonly lifetimeJitter?: number;
  /** Idle for longer than this, a connection is checked before it is lent. @default '500ms' */
  readonly validateAfterIdle?: Duration;
  /** Longest run of a statement; the server is told to cancel it then. @default none */
  readonly statementTimeout?: Duration;
  /** Longest idling inside a transaction before the server ends it. @default none */
  readonly idleInTransactionTimeout?: Duration;
  /** A held connection is reported, with the stack of its acquire, after this. @default never */
  readonly leakReportAfter?: Duration;
  /** Close a connection after a plain SQL error in `pool.query`, as `pg-pool` does. @default false */
  readonly closeOnQueryError?: boolean;
  /** Let reads of many callers share connections (`pg` pipeline mode). @default false */
  readonly pipelining?: boolean;

  /** How far a replica may be behind and still serve: within *either* limit is near enough. */
  readonly maxLag?: { readonly time?: Duration; readonly bytes?: number };
  /** How often servers are asked for their role and position. */
  readonly monitor?: {
    /** @default '1s' */
    readonly interval?: Duration;
    /** While no primary is known. @default '100ms' */
    readonly panicInterval?: Duration;
    /** @default '1s' */
    readonly timeout?: Duration;
  };
  /** Longest wait of a write while no server takes writes. @default `acquireTimeout` */
  readonly failoverTimeout?: Duration;
  /** Sessions: the key that signs tokens, and how long a read waits for a replica. */
  readonly sessions?: SessionOptions;
  /**
   * Volatile functions of yours that a replica may run all the same, such as `uuid_generate_v4`.
   * @default none
   */
  readonly pureFunctions?: readonly string[];
  /** Names of options that are not known are let pass. @default false */
  readonly ignoreUnknownOptions?: boolean;

  /** The class of clients. @default that of `pg` */
  readonly Client?: new (
    config: pg.ClientConfig,
  ) => pg.Client;
  /** Run on each new connection before anyone gets it. */
  readonly onConnect?: (client: pg.ClientBase) => unknown;
}

/** What one query may say for itself, beside what `pg` takes. */
export interface QueryOptions {
  /** Where it runs, over any rule: `'primary'`, `'replica'` or `{ node: 'db-2:5432' }`. */
  readonly target?: RouteTarget | undefined;
  /** Gives it up: the server is told to cancel it. */
  readonly signal?: AbortSignal | undefined;
}

const text = v.optional(v.string());
const flag = v.optional(v.boolean());
const anything = v.optional(v.unknown());
const milliseconds = v.optional(v.nullable(integerOption(0)));

/** The options of `pg.Client` that are handed through to the driver. */
const clientEntries = {
  user: text,
  database: v.optional(v.nullable(v.string())),
  password: v.optional(v.nullable(v.union([v.string(), v.function()]))),
  port: v.optional(v.nullable(v.union([integerOption(0, 65535), v.string()]))),
  host: v.optional(v.nullable(v.string())),
  connectionString: text,
  keepAlive: flag,
  stream: anything,
  statement_timeout: v.optional(v.union([v.literal(false), integerOption(0)])),
  ssl: anything,
  enableChannelBinding: flag,
  scramMaxIterations: anything,
  sslnegotiation: v.optional(v.picklist(['postgres', 'direct'])),
  query_timeout: v.optional(integerOption(0)),
  lock_timeout: v.optional(integerOption(0)),
  keepAliveInitialDelayMillis: v.optional(integerOption(0)),
  idle_in_transaction_session_timeout: v.optional(integerOption(0)),
  application_name: text,
  fallback_application_name: text,
  types: anything,
  options: text,
  client_encoding: text,
  binary: flag,
  replication: anything,
  Promise: anything,
};

/** The names that the driver's client takes. */
export const CLIENT_OPTION_NAMES = Object.keys(clientEntries);

const nodeEntries = {
  ...clientEntries,
  name: v.optional(v.pipe(v.string(), v.nonEmpty('must not be empty'))),
  zone: text,
  weight: v.optional(
    v.pipe(v.number(), v.finite(), v.minValue(0.001, 'must be a number above 0, such as 1 or 2.5')),
  ),
  pgBouncer: flag,
};

const node = v.union(
  [v.pipe(v.string(), v.nonEmpty('must not be empty')), v.strictObject(nodeEntries)],
  'must be a connection string or an object of host, port and the like',
);

/** `max` of `pg-pool` counts connections to one server; so it does here. */
const LONGEST_QUEUE = 1_000_000;

/** The shape of {@link ReplicaPoolOptions}. */
export const poolOptionsSchema = v.strictObject({
  ...clientEntries,
  primary: v.optional(node),
  replicas: v.optional(v.array(node)),
  reads: v.optional(v.picklist(['replica', 'primary'])),
  balancing: v.optional(v.picklist(['p2c-ewma', 'least-connections', 'round-robin'])),
  zone: text,
  pgBouncer: flag,
  max: v.optional(v.nullable(integerOption(1, 10_000))),
  poolSize: v.optional(integerOption(1, 10_000)),
  min: v.optional(v.nullable(integerOption(0, 10_000))),
  maxUses: v.optional(
    v.union([integerOption(1), v.literal(Number.POSITIVE_INFINITY)], 'must be 1 or more'),
  ),
  maxLifetimeSeconds: v.optional(v.pipe(v.number(), v.minValue(0))),
  connectionTimeoutMillis: milliseconds,
  idleTimeoutMillis: milliseconds,
  allowExitOnIdle: flag,
  log: v.optional(v.function()),
  verify: v.optional(v.function()),
  pipeline: flag,
  acquireTimeout: v.optional(durationOption({ min: '1ms', max: '1h' })),
  dialTimeout: v.optional(durationOption({ min: '1ms', max: '10m' })),
  maxWaiting: v.optional(integerOption(0, LONGEST_QUEUE)),
  idleTimeout: v.optional(durationOption()),
  maxLifetime: v.optional(durationOption()),
  lifetimeJitter: v.optional(v.pipe(v.number(), v.minValue(0), v.maxValue(0.9))),
  validateAfterIdle: v.optional(durationOption()),
  statementTimeout: v.optional(durationOption({ min: '1ms' })),
  idleInTransactionTimeout: v.optional(durationOption({ min: '1ms' })),
  leakReportAfter: v.optional(durationOption({ min: '1ms' })),
  closeOnQueryError: flag,
  pipelining: flag,
  maxLag: v.optional(
    v.strictObject({ time: v.optional(durationOption()), bytes: v.optional(integerOption(0)) }),
  ),
  monitor: v.optional(
    v.strictObject({
      interval: v.optional(durationOption({ min: '10ms', max: '10m' })),
      panicInterval: v.optional(durationOption({ min: '10ms', max: '1m' })),
      timeout: v.optional(durationOption({ min: '10ms', max: '1m' })),
    }),
  ),
  failoverTimeout: v.optional(durationOption({ min: '1ms', max: '1h' })),
  sessions: v.optional(
    v.strictObject({
      signingKeys: v.optional(
        v.array(
          v.strictObject({
            id: v.pipe(
              v.string(),
              v.nonEmpty('must not be empty'),
              v.maxBytes(LONGEST_KEY_ID_BYTES, `must be at most ${LONGEST_KEY_ID_BYTES} bytes`),
            ),
            secret: v.union([v.string(), v.instance(Uint8Array)]),
          }),
        ),
      ),
      tokenLifetime: v.optional(durationOption({ min: '1s' })),
      replicaWait: v.optional(durationOption({ max: '1m' })),
    }),
  ),
  pureFunctions: v.optional(v.array(v.string())),
  ignoreUnknownOptions: flag,
  Client: v.optional(v.function()),
  onConnect: v.optional(v.function()),
});
