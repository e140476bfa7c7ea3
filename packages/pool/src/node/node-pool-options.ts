import type { Clock, ShardlineError } from '@shardline/core';
import type { Connection } from './connection.js';
import type { Dialer } from './dialer.js';

/** How the pool of one server is set up. */
export interface NodePoolOptions {
  readonly node: string;
  readonly dialer: Dialer;
  readonly max: number;
  readonly min: number;
  readonly maxWaiting: number;
  readonly acquireTimeoutMs: number;
  /** 0: idle connections are kept. */
  readonly idleTimeoutMs: number;
  /** Idle for longer than this, a connection is asked for a sign of life before it is lent. */
  readonly validateAfterIdleMs: number;
  readonly validationTimeoutMs: number;
  readonly maxUses: number;
  /** How long a connection that was given back may take to become quiet. */
  readonly settleTimeoutMs: number;
  /** 0: leaks are not reported. */
  readonly leakReportAfterMs: number;
  /** When the client ends a transaction that idles; 0: never, or the server does it. */
  readonly idleInTransactionMs: number;
  readonly allowExitOnIdle: boolean;
  readonly clock: Clock;
  readonly random: () => number;
  readonly events: NodePoolEvents;
}

/** What a pool tells its owner. */
export interface NodePoolEvents {
  connected(connection: Connection, durationMs: number): void;
  acquired(connection: Connection): void;
  released(error: Error | boolean | undefined, connection: Connection, heldMs: number): void;
  /** A caller was given a connection after so long. */
  waited(durationMs: number): void;
  /** Whether anybody wants to know how long callers wait. */
  isMeasuring(): boolean;
  removed(connection: Connection): void;
  /** A connection broke; whether it was idle then. */
  broke(error: Error, connection: Connection, wasIdle: boolean): void;
  dialFailed(error: ShardlineError): void;
  leaked(connection: Connection, heldMs: number): void;
  leftInTransaction(connection: Connection): void;
  acquireTimedOut(): void;
  /** `in_hot_standby` was pushed by the server. */
  standbyPushed(inHotStandby: boolean): void;
  /** The connection that watches the server broke. */
  watchLost(): void;
}

/** How full a pool is. */
export interface NodePoolCounts {
  readonly total: number;
  readonly idle: number;
  readonly busy: number;
  readonly dialing: number;
  readonly waiting: number;
}

/** How one acquire waits. */
export interface AcquireOptions {
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal | undefined;
}
