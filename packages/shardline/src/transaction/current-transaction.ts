import { AsyncLocalStorage } from 'node:async_hooks';
import type { OpenTransaction } from './open-transaction.js';

/** The transaction of a layer in the current asynchronous context; one store for both module formats. */
const STORAGE = Symbol.for('shardline.layer.transaction');

interface Running {
  readonly owner: object;
  readonly transaction: OpenTransaction;
}
type Shared = typeof globalThis & { [STORAGE]?: AsyncLocalStorage<Running> };

function storage(): AsyncLocalStorage<Running> {
  const shared = globalThis as Shared;
  shared[STORAGE] ??= new AsyncLocalStorage<Running>();
  return shared[STORAGE];
}

const running = storage();

/** Runs work whose calls of a layer belong to a transaction. */
export function runInTransaction<T>(owner: object, transaction: OpenTransaction, work: () => T): T {
  return running.run({ owner, transaction }, work);
}

/** The transaction that calls of a layer belong to here, if any. */
export function currentTransaction(owner: object): OpenTransaction | undefined {
  const current = running.getStore();
  return current?.owner === owner ? current.transaction : undefined;
}
