import type { ScatterOptions, ScatterRows } from '@shardline/shard-router';
import type pg from 'pg';

/** What a key may be written as. */
export type Key = string | number | bigint;

/** Options of one call. */
export interface EntityCallOptions {
  /** Gives the call up: a statement under way is cancelled on the server. */
  readonly signal?: AbortSignal | undefined;
}

/** What names one row: its key, or its key and its id. */
export type NameOf<KeyValue, IdValue> = [IdValue] extends [never]
  ? KeyValue
  : readonly [key: KeyValue, id: IdValue];

/** A name as the arguments of a call. */
export type NameArguments<KeyValue, IdValue> = [IdValue] extends [never]
  ? [key: KeyValue, options?: EntityCallOptions]
  : [key: KeyValue, id: IdValue, options?: EntityCallOptions];

/** How the rows of one key are listed. */
export interface ListOptions extends EntityCallOptions {
  /** @default the id */
  readonly orderBy?: string;
  /** @default 'asc' */
  readonly direction?: 'asc' | 'desc';
  /** Most rows. @default 1000 */
  readonly limit?: number;
}

/**
 * Rows of one table, found by their key wherever they live.
 *
 * Reads go through the cache, and what several callers ask for in one tick is one statement per shard.
 * Writes go to the shard that owns the key; once the shard has acknowledged them, the cached row is
 * invalidated in every tier and process, and only then does the call return. Inside a transaction of the layer
 * every call belongs to it.
 */
export interface Entity<
  Row extends object = Record<string, unknown>,
  KeyValue = Key,
  IdValue = Key,
> {
  readonly name: string;

  /**
   * One row; undefined if there is none.
   *
   * @throws ShardlineError `ENTITY_KEY_MISSING`, `ENTITY_ROW_INVALID`, `ENTITY_LIMITED`; else what router and
   * cache throw.
   */
  get(...name: NameArguments<KeyValue, IdValue>): Promise<Row | undefined>;

  /** Rows in the order of their names; undefined where there is none. */
  getMany(
    names: readonly NameOf<KeyValue, IdValue>[],
    options?: EntityCallOptions,
  ): Promise<(Row | undefined)[]>;

  /**
   * Rows of one key, read from its shard and not from the cache: the bets of a user.
   *
   * @throws ShardlineError as `get`.
   */
  list(key: KeyValue, options?: ListOptions): Promise<Row[]>;

  /**
   * Runs one statement of yours on the shard of a key. Its rows come as they are; what it changes is not
   * known to the cache, so change rows by `update`, or say what is stale by `layer.emit`.
   */
  query<Result extends pg.QueryResultRow = Row & pg.QueryResultRow>(
    key: KeyValue,
    text: string,
    values?: readonly unknown[],
    options?: EntityCallOptions,
  ): Promise<Result[]>;

  /**
   * Runs a SELECT on all shards of the entity and merges the rows into one stream; see `Router.scatter`.
   *
   * @throws ShardlineError `ENTITY_PLACEMENT` for an entity that is on one shard: use `query` there.
   */
  scatter<Result extends object = Row>(
    text: string,
    values?: readonly unknown[],
    options?: ScatterOptions,
  ): ScatterRows<Result>;

  /**
   * Inserts a row and returns it as stored, defaults filled in.
   *
   * @throws ShardlineError `ENTITY_KEY_MISSING`, `ENTITY_LIMITED`; else what the router throws.
   */
  insert(row: Partial<Row>, options?: EntityCallOptions): Promise<Row>;

  /**
   * Inserts rows that have the same columns, each on the shard of its key, in batches. It is no
   * transaction: what one shard has stored stays if another refuses its part.
   *
   * @returns how many rows were stored.
   */
  insertMany(rows: readonly Partial<Row>[], options?: EntityCallOptions): Promise<number>;

  /**
   * Changes columns of one row and returns it as stored; undefined if there is no such row.
   *
   * @throws ShardlineError `ENTITY_KEY_IMMUTABLE`, `ENTITY_LIMITED`; else what the router throws.
   */
  update(
    name: NameOf<KeyValue, IdValue>,
    changes: Partial<Row>,
    options?: EntityCallOptions,
  ): Promise<Row | undefined>;

  /** Deletes one row and returns it as it was; undefined if there was none. */
  delete(name: NameOf<KeyValue, IdValue>, options?: EntityCallOptions): Promise<Row | undefined>;

  /** Invalidates a cached row, for a change that was made around the layer. */
  invalidate(...name: NameArguments<KeyValue, IdValue>): Promise<void>;
}
