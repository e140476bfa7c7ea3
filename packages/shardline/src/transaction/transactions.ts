import { isShardlineError } from '@shardline/core';
import type { ShardKey, TransactionOptions } from '@shardline/shard-router';
import type { Key } from '../entity/entity.js';
import type { EntitySource } from '../entity/entity-source.js';
import { layerError } from '../errors.js';
import type { OutboxEntry } from '../invalidation/invalidations.js';
import type { LayerContext } from '../layer-context.js';
import writeSql from '../outbox/write.sql';
import { runInTransaction } from './current-transaction.js';
import { OpenTransaction } from './open-transaction.js';

interface Done<T> {
  readonly value: T;
  readonly transaction: OpenTransaction;
  readonly entries: readonly OutboxEntry[];
}

/**
 * Transactions of a layer.
 *
 *     BEGIN, work (calls of entities join it), what it made stale into the outbox, COMMIT
 *     then: the position of the commit is asked for, everything stale is invalidated, the row is deleted
 *
 * If the process dies after the COMMIT, the row is there and a relay does the rest. If the outcome of the COMMIT
 * is not known, everything is invalidated as if it had been done.
 */
export class Transactions {
  readonly #context: LayerContext;

  constructor(context: LayerContext) {
    this.#context = context;
  }

  /** Runs work in a transaction on the shard of a key. */
  async run<T>(
    keyspace: string,
    key: ShardKey,
    work: (transaction: OpenTransaction) => Promise<T>,
    options: TransactionOptions,
  ): Promise<T> {
    const { cache, router } = this.#context.parts;
    const session = this.#context.sessionOrNew();
    let last: OpenTransaction | undefined;
    const attempts = () =>
      router.keyspace(keyspace).transaction(
        key,
        (inner) => {
          last = new OpenTransaction(keyspace, inner);
          return this.#attempt(last, work);
        },
        options,
      );
    let done: Done<T>;
    try {
      // What is invalidated through the cache itself in there waits for the commit, too.
      done = await session.run(() =>
        cache === undefined ? attempts() : cache.afterCommit(attempts),
      );
    } catch (error) {
      if (isShardlineError(error, 'OUTCOME_UNKNOWN') && last !== undefined) {
        await this.#context.parts.invalidations?.afterUnknown(last.records);
      }
      throw error;
    }
    const { transaction, entries, value } = done;
    if (transaction.records.length > 0) {
      const { invalidations } = this.#context.parts;
      await invalidations?.afterWrite(transaction.records, entries);
    }
    if (this.#context.session() === session) session.didTouch(transaction.rows, transaction.shard);
    return value;
  }

  /**
   * Brings a row of an entity into a transaction.
   *
   * @throws ShardlineError `WRONG_SHARD`, `ENTITY_PLACEMENT`.
   */
  join(transaction: OpenTransaction, source: EntitySource, key: Key): void {
    if (source.keyspace === transaction.keyspace) {
      transaction.using(key as ShardKey);
      return;
    }
    if (source.kind === 'reference') {
      throw layerError(
        'ENTITY_PLACEMENT',
        'A reference table is on every shard, and a transaction on one: it cannot be written there.',
        { remedy: 'Write it outside of the transaction.' },
      );
    }
    const shard = source.shardOf(key);
    if (shard === transaction.shard) return;
    throw layerError(
      'ENTITY_PLACEMENT',
      `A transaction on shard '${transaction.shard}' used a row that is on shard '${shard}'.`,
    );
  }

  async #attempt<T>(
    transaction: OpenTransaction,
    work: (transaction: OpenTransaction) => Promise<T>,
  ): Promise<Done<T>> {
    const { owner } = this.#context.parts.sessions;
    const value = await runInTransaction(owner, transaction, () => work(transaction));
    const entries = await this.#leaveInOutbox(transaction);
    transaction.end();
    return { value, transaction, entries };
  }

  async #leaveInOutbox(transaction: OpenTransaction): Promise<OutboxEntry[]> {
    const { writesOutbox, name } = this.#context.parts;
    const { records } = transaction;
    if (!writesOutbox || records.length === 0) return [];
    const { rows } = await transaction.query<{ id: string }>(writeSql, [
      name,
      JSON.stringify(records),
    ]);
    return rows.map(({ id }) => ({ shard: transaction.shard, id }));
  }
}
