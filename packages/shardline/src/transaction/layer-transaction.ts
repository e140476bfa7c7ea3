import type { InvalidationRecord } from '@shardline/cache';
import type { ShardKey } from '@shardline/shard-router';
import type pg from 'pg';

/** A transaction on one shard, as the work in it sees it. Calls of entities belong to it by themselves. */
export interface LayerTransaction {
  /** The shard that it runs on. */
  readonly shard: string;
  /** The connection, for query builders and what `query` does not do. */
  readonly client: pg.PoolClient;
  /** Runs a statement in the transaction. */
  query<Result extends pg.QueryResultRow = Record<string, unknown>>(
    text: string,
    values?: readonly unknown[],
  ): Promise<pg.QueryResult<Result>>;
  /**
   * Declares that another key is used, so that its slot is checked too. Entities do so by themselves.
   *
   * @throws ShardlineError `WRONG_SHARD`.
   */
  using(key: ShardKey): void;
  /** Makes cached things stale once the transaction has committed, beside what entities and events do. */
  invalidate(records: readonly InvalidationRecord[]): void;
}
