import type { InvalidationRecord } from '@shardline/cache';
import type { ShardKey, ShardTransaction } from '@shardline/shard-router';
import type pg from 'pg';
import { layerError } from '../errors.js';
import type { LayerTransaction } from './layer-transaction.js';

/** One attempt at a transaction, and what it has made stale so far. */
export class OpenTransaction implements LayerTransaction {
  readonly keyspace: string;
  readonly #inner: ShardTransaction;
  readonly #records: InvalidationRecord[] = [];
  readonly #rows = new Set<string>();
  #isOver = false;

  constructor(keyspace: string, inner: ShardTransaction) {
    this.keyspace = keyspace;
    this.#inner = inner;
  }

  get shard(): string {
    return this.#inner.shard;
  }

  get client(): pg.PoolClient {
    return this.#open.client;
  }

  query<Result extends pg.QueryResultRow = Record<string, unknown>>(
    text: string,
    values: readonly unknown[] = [],
  ): Promise<pg.QueryResult<Result>> {
    return this.#open.query<Result>(text, values);
  }

  using(key: ShardKey): void {
    this.#open.using(key);
  }

  invalidate(records: readonly InvalidationRecord[]): void {
    void this.#open;
    this.#records.push(...records);
  }

  /** A row was written that sessions remember by this hash. */
  wrote(row: string): void {
    this.#rows.add(row);
  }

  /** What has become stale, each thing once. */
  get records(): readonly InvalidationRecord[] {
    const seen = new Map(this.#records.map((record) => [JSON.stringify(record), record]));
    return [...seen.values()];
  }

  get rows(): readonly string[] {
    return [...this.#rows];
  }

  /** What is done from now on would be done outside, on a connection that is somebody else's. */
  end(): void {
    this.#isOver = true;
  }

  get #open(): ShardTransaction {
    if (!this.#isOver) return this.#inner;
    throw layerError(
      'LAYER_TRANSACTION_OVER',
      `A transaction on shard '${this.#inner.shard}' was used after its function had returned.`,
    );
  }
}
