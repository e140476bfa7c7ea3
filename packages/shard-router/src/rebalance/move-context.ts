import type { Keyspace, ShardedTable } from '../keyspace.js';
import type { Queryable } from '../shard/queryable.js';

/** A shard of a move as the parts that look at it or work on it are given it. */
export interface ShardEndpoint {
  readonly name: string;
  /** Its primary, through a pool: every statement may run on another connection. */
  readonly primary: Queryable;
  /** One connection for a transaction or a session; it is given back when the work ends, destroyed if it threw. */
  withConnection<T>(work: (client: Queryable) => Promise<T>): Promise<T>;
}

/** What is moved, and between whom. */
export interface MoveContext {
  readonly keyspace: Keyspace;
  /** All tables of the keyspace, in foreign-key order: referenced ones first. */
  readonly tables: readonly ShardedTable[];
  readonly slots: readonly number[];
  readonly source: ShardEndpoint;
  readonly destination: ShardEndpoint;
}
