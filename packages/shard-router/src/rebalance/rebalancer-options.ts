import type { Duration } from '@shardline/core';
import type { RouterOptions, ShardLocation } from '../router-options.js';

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
  /** How long after the switch `rollback` is possible before the source is cleaned. @default '1h' */
  readonly rollbackWindow?: Duration;
  /** Largest lag of a replica of source or destination before the copy is slowed down. @default '10s' */
  readonly replicaLag?: Duration;
  /** Most WAL that the move's replication slot may hold back. @default 10_737_418_240 */
  readonly slotBytes?: number;
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
