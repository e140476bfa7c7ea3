/**
 * Many rows, one INSERT per shard and batch.
 *
 * A batch is one statement, so it is there whole or not at all. If the guard refuses it because a slot has moved, the
 * rows of that batch are placed anew and go again; nothing of it was written.
 */

import { quoteIdentifier, quoteQualified, ShardlineError } from '@shardline/core';
import type pg from 'pg';
import { routerErrors } from '../errors.js';
import type { KeyspaceRouter } from '../keyspace-router.js';
import { type CallOptions, done, type RouterCore } from '../router-core.js';
import { columnsFor, type PlacedRow, placeRow, type WriteRow } from './batches.js';

/** How rows are inserted. */
export interface InsertOptions extends CallOptions {
  /** Rows of one statement. @default 1000, and never more than 65535 parameters */
  readonly batchRows?: number;
  /** What happens to rows that are there already. @default 'fail' */
  readonly onConflict?: 'fail' | 'nothing';
}

/** The protocol counts parameters in sixteen bits. */
const MAX_PARAMETERS = 65_535;
const DEFAULT_BATCH_ROWS = 1000;

/** Inserts rows, batched by shard. @returns how many were inserted. */
export async function insertRows(
  core: RouterCore,
  keyspace: KeyspaceRouter,
  tableName: string,
  rows: readonly WriteRow[],
  options: InsertOptions,
): Promise<number> {
  const [first] = rows;
  if (first === undefined) return 0;
  const table = keyspace.table(tableName);
  const columns = columnsFor(keyspace.keyspace, table, Object.keys(first));
  const limit = Math.min(
    options.batchRows ?? DEFAULT_BATCH_ROWS,
    Math.floor(MAX_PARAMETERS / columns.length),
  );
  const target = quoteQualified(table.schema, table.name);
  const statement = { target, columns, onConflict: options.onConflict ?? 'fail' };
  const call = { untilMs: core.deadline(), signal: options.signal };
  const inserted = new Map<string, number>();
  let pending = rows.map((row) => placeRow(keyspace.keyspace, table, row));
  while (pending.length > 0) {
    const shards = [...byShard(keyspace, pending)];
    const left = await settleAll(
      shards.map(async ([, placed]) => {
        const again: PlacedRow[] = [];
        for (let at = 0; at < placed.length; at += limit) {
          const batch = placed.slice(at, at + limit);
          const slots = [...new Set(batch.map(({ slot }) => slot))];
          const outcome = await core.onSlots(keyspace, slots, call, async ({ shard }) => {
            const { rowCount } = await shard.pool.query(insertSql(statement, batch));
            inserted.set(shard.name, (inserted.get(shard.name) ?? 0) + (rowCount ?? 0));
            return done(undefined);
          });
          if (!outcome.done) again.push(...batch);
        }
        return again;
      }),
      inserted,
    );
    pending = left.flat();
  }
  return total(inserted);
}

/** Waits for all, so that no batch runs on behind an error; the error then says what was written. */
async function settleAll<T>(
  work: readonly Promise<T>[],
  inserted: ReadonlyMap<string, number>,
): Promise<T[]> {
  const outcomes = await Promise.allSettled(work);
  const failure = outcomes.find((outcome) => outcome.status === 'rejected');
  if (failure === undefined) {
    return outcomes.map((outcome) => (outcome as PromiseFulfilledResult<T>).value);
  }
  // Nothing was written: the cause may speak for itself.
  if (total(inserted) === 0) throw failure.reason;
  throw new ShardlineError(
    routerErrors.EVERYWHERE_INCOMPLETE,
    `Rows were inserted in part (${[...inserted].map(([name, n]) => `${n} on '${name}'`).join(', ')}): ${(failure.reason as Error)?.message}`,
    {
      cause: failure.reason,
      details: { inserted: Object.fromEntries(inserted) },
      remedy: "Mend the cause and insert again with `onConflict: 'nothing'`.",
    },
  );
}

function total(inserted: ReadonlyMap<string, number>): number {
  let sum = 0;
  for (const count of inserted.values()) sum += count;
  return sum;
}

/** Rows by the shard that owns them now. */
export function byShard<Row extends { readonly slot: number }>(
  keyspace: KeyspaceRouter,
  rows: readonly Row[],
): Map<string, Row[]> {
  const groups = new Map<string, Row[]>();
  for (const row of rows) {
    const shard = keyspace.topology.ownerOf(row.slot);
    const group = groups.get(shard);
    if (group === undefined) groups.set(shard, [row]);
    else group.push(row);
  }
  return groups;
}

function insertSql(
  {
    target,
    columns,
    onConflict,
  }: { target: string; columns: readonly string[]; onConflict: 'fail' | 'nothing' },
  batch: readonly PlacedRow[],
): pg.QueryConfig {
  const values: unknown[] = [];
  const tuples = batch.map(({ row }) => {
    const places = columns.map((column) => `$${values.push(row[column] ?? null)}`);
    return `(${places.join(',')})`;
  });
  const conflict = onConflict === 'nothing' ? ' ON CONFLICT DO NOTHING' : '';
  return {
    text: `INSERT INTO ${target} (${columns.map(quoteIdentifier).join(', ')}) VALUES ${tuples.join(',')}${conflict}`,
    values,
  };
}
