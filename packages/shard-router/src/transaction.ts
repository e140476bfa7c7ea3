/**
 * Transactions stay on one shard.
 *
 * Before COMMIT the slots that the transaction has used are compared with the shard's record, in the transaction,
 * unless a lease covers it all. Writes need no such check, since the guard looks at each row; it is the reads, and
 * the writes that met no row, that would otherwise have looked at a slot that has gone. A transaction whose slot
 * has moved is rolled back and run again from its beginning, so `work` must do nothing outside that cannot be done twice.
 */

import { AsyncLocalStorage } from 'node:async_hooks';
import { ShardlineError } from '@shardline/core';
import type pg from 'pg';
import { routerErrors } from './errors.js';
import type { Keyspace, ShardKey } from './keyspace.js';
import verifySql from './route/verify.sql';
import { type Attempt, done, MOVED, type Route, type RouterCore } from './router-core.js';

/** How a transaction is run. */
export interface TransactionOptions {
  /** @default 'read committed' */
  readonly isolation?: 'read committed' | 'repeatable read' | 'serializable';
  /** @default false */
  readonly readOnly?: boolean;
  readonly signal?: AbortSignal;
}

/** A transaction on one shard. */
export interface ShardTransaction {
  /** The shard that it runs on. */
  readonly shard: string;
  /** The connection, for query builders and for what `query` does not do. */
  readonly client: pg.PoolClient;
  query<Row extends pg.QueryResultRow = Record<string, unknown>>(
    text: string,
    values?: readonly unknown[],
  ): Promise<pg.QueryResult<Row>>;
  /**
   * Declares that another key is used in this transaction, so that its slot is checked too.
   *
   * @throws ShardlineError `WRONG_SHARD` if the key lives on another shard.
   */
  using(key: ShardKey): void;
}

/** Two copies of the package in one process must see each other's transactions. */
const CURRENT = Symbol.for('shardline.router.transaction');
const globals = globalThis as { [CURRENT]?: AsyncLocalStorage<{ router: object; shard: string }> };
globals[CURRENT] ??= new AsyncLocalStorage();
const current = globals[CURRENT];

/** @throws ShardlineError `WRONG_SHARD` if a transaction of the same router is under way on another shard. */
export function checkTransaction(router: object, shard: string, keyspace: string): void {
  const running = current.getStore();
  if (running !== undefined && running.router === router && running.shard !== shard) {
    throw wrongShard(running.shard, shard, keyspace);
  }
}

function wrongShard(runningOn: string, wanted: string, keyspace: string): ShardlineError {
  return new ShardlineError(
    routerErrors.WRONG_SHARD,
    `A transaction on shard '${runningOn}' used a key of keyspace '${keyspace}' that lives on shard '${wanted}'.`,
    { details: { runningOn, wanted, keyspace } },
  );
}

/** Runs work in a transaction on the shard of a route; moved if a slot went away meanwhile. */
export async function attemptTransaction<T>(
  core: RouterCore,
  keyspace: Keyspace,
  route: Route,
  slot: number,
  work: (transaction: ShardTransaction) => Promise<T>,
  options: TransactionOptions,
): Promise<Attempt<T>> {
  const client = await route.shard.pool.connect();
  const slots = new Set([slot]);
  const transaction: ShardTransaction = {
    shard: route.shard.name,
    client,
    query: (text, values) => client.query(text, values as unknown[]),
    using: (key) => {
      const other = keyspace.slotOf(key);
      const owner = route.topology.ownerOf(other);
      if (owner !== route.shard.name) throw wrongShard(route.shard.name, owner, keyspace.name);
      slots.add(other);
    },
  };
  let isSpent = false;
  try {
    await client.query({ text: beginSql(options), target: 'primary' } as pg.QueryConfig);
    const value = await current.run({ router: core, shard: route.shard.name }, () =>
      work(transaction),
    );
    if (!(await isStillOwned(core, client, keyspace.name, route, slots))) {
      await client.query('ROLLBACK');
      return MOVED;
    }
    isSpent = true;
    await commit(client, route.shard.name);
    isSpent = false;
    return done(value);
  } catch (error) {
    if (!isSpent) isSpent = !(await rollBack(client));
    throw error;
  } finally {
    client.release(isSpent);
  }
}

function beginSql({ isolation = 'read committed', readOnly = false }: TransactionOptions): string {
  return `BEGIN ISOLATION LEVEL ${isolation.toUpperCase()}${readOnly ? ' READ ONLY' : ''}`;
}

async function isStillOwned(
  core: RouterCore,
  client: pg.PoolClient,
  keyspace: string,
  route: Route,
  slots: ReadonlySet<number>,
): Promise<boolean> {
  // A lease covers the slot that the gate counts; others that the work declared are checked for themselves.
  if (slots.size === 1 && core.isCovered(route.routedAtMs)) return true;
  if (core.watcher === undefined) return true;
  core.counts.verified += 1;
  const { rows } = await client.query<{ slot: number; epoch: string }>(verifySql, [
    keyspace,
    [...slots],
  ]);
  const epochs = new Map(rows.map((row) => [row.slot, Number(row.epoch)]));
  return [...slots].every((slot) => epochs.get(slot) === route.topology.slotEpoch(slot));
}

async function commit(client: pg.PoolClient, shard: string): Promise<void> {
  try {
    await client.query('COMMIT');
  } catch (error) {
    if (isCertainFailure(error)) throw error;
    throw new ShardlineError(
      routerErrors.OUTCOME_UNKNOWN,
      `The connection to shard '${shard}' was lost while a transaction was being committed.`,
      { cause: error, details: { shard } },
    );
  }
}

/** The server said why it did not commit. All else, a lost connection above all, says nothing. */
function isCertainFailure(error: unknown): boolean {
  const { code } = error as { code?: unknown };
  return (
    typeof code === 'string' &&
    /^(SL001|(23|25|40|42|22|53|54|55)[0-9A-Z]{3})$/.test(code) &&
    code !== '40003'
  );
}

async function rollBack(client: pg.PoolClient): Promise<boolean> {
  try {
    await client.query('ROLLBACK');
    return true;
  } catch {
    // The connection is gone, and the transaction with it; the first error says why.
    return false;
  }
}
