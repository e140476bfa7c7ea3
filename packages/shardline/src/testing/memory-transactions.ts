import { AsyncLocalStorage } from 'node:async_hooks';
import { ShardlineError } from '@shardline/core';
import { routerErrors, type ShardKey, type Topology } from '@shardline/shard-router';
import type pg from 'pg';
import { layerError } from '../errors.js';
import type { LayerTransaction } from '../transaction/layer-transaction.js';

interface Running {
  readonly keyspace: string;
  readonly shard: string;
}

/**
 * Transactions in memory: one at a time, undone as a whole if their work fails. They are on one shard as real
 * ones are, by the map that real shards would begin with, so that a test finds a key that strays.
 */
export class MemoryTransactions {
  readonly #topology: Topology;
  readonly #snapshot: () => () => void;
  readonly #running = new AsyncLocalStorage<Running>();
  #last: Promise<unknown> = Promise.resolve();

  /** @param snapshot takes the state of all tables and returns what brings it back. */
  constructor(topology: Topology, snapshot: () => () => void) {
    this.#topology = topology;
    this.#snapshot = snapshot;
  }

  get isRunning(): boolean {
    return this.#running.getStore() !== undefined;
  }

  run<T>(
    keyspace: string,
    key: ShardKey,
    work: (transaction: LayerTransaction) => Promise<T>,
  ): Promise<T> {
    const shard = this.#shardOf(keyspace, key);
    return this.#inTurn(async () => {
      const undo = this.#snapshot();
      const transaction = this.#transactionOn(keyspace, shard);
      try {
        return await this.#running.run({ keyspace, shard }, () => work(transaction));
      } catch (error) {
        undo();
        throw error;
      }
    });
  }

  /** A change: within the transaction that it belongs to, else when no other is under way. */
  async write<T>(keyspace: string | undefined, key: ShardKey, change: () => T): Promise<T> {
    this.join(keyspace, key);
    return this.isRunning ? change() : this.#inTurn(async () => change());
  }

  /** @throws ShardlineError `WRONG_SHARD`. */
  join(keyspace: string | undefined, key: ShardKey): void {
    const running = this.#running.getStore();
    if (running === undefined || keyspace === undefined) return;
    const shard = this.#shardOf(keyspace, key);
    if (shard === running.shard) return;
    throw new ShardlineError(
      routerErrors.WRONG_SHARD,
      `A transaction on shard '${running.shard}' used a key of keyspace '${keyspace}' that lives on shard '${shard}'.`,
    );
  }

  #transactionOn(keyspace: string, shard: string): LayerTransaction {
    return {
      shard,
      get client(): pg.PoolClient {
        throw noDatabase('a connection');
      },
      query: () => Promise.reject(noDatabase('SQL')),
      using: (key) => this.join(keyspace, key),
      invalidate: () => {},
    };
  }

  #shardOf(name: string, key: ShardKey): string {
    const keyspace = this.#topology.keyspace(name);
    return keyspace.ownerOf(keyspace.keyspace.slotOf(key));
  }

  async #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const before = this.#last;
    const mine = before.then(work, work);
    this.#last = mine.catch(() => {
      // Whoever began it is told; the next one's turn comes all the same.
    });
    return mine;
  }
}

function noDatabase(what: string) {
  return layerError('MEMORY_LAYER_UNSUPPORTED', `The in-memory layer was asked for ${what}.`);
}
