/**
 * Rows and bytes of each slot, measured on a shard: what `analyze` and the planning of moves go by.
 *
 * Small tables are counted. Of large ones a share of the pages is read (TABLESAMPLE SYSTEM), and what was found is scaled
 * up. The error that comes with it is stated per slot: with `k` rows found of a slot in a share `p`, 95 in 100 times the
 * truth is within 1.96 * sqrt(k * (1 - p)) / p rows. That holds for rows that lie anywhere. Rows of a slot that were
 * written together lie together, and then the error is larger; slots are hashes of keys, so only rows of one key
 * do. A slot of which nothing was found may have some rows: up to 3 / p, by the same measure.
 *
 * Bytes are those of the whole table, indexes and long values included, given to slots by the bytes of their rows.
 *
 * Heat: PostgreSQL counts writes by table and not by row. But each row says by which transaction it was last written, so
 * rows written within the newest so many transactions can be counted. A row that is written a thousand times counts once,
 * reads do not count at all, and rows that a move has just brought were written by it: where routers count calls,
 * their counts are better.
 */

import { quoteInteger, throwIfAborted } from '@shardline/core';
import type { Keyspace, ShardedTable } from '../keyspace.js';
import type { SlotMeasure } from '../placement/analyze.js';
import type { ShardEndpoint } from './move-context.js';
import { digestOf, readPinned } from './row-digest.js';
import tableSizeSql from './table-size.sql';

/** How exactly to measure. */
export interface MeasureOptions {
  readonly signal?: AbortSignal | undefined;
  /** Pages of a table that are read, in bytes; larger tables are sampled down to it. @default 67_108_864 */
  readonly sampleBytes?: number;
  /** Counts rows written within this many newest transactions as heat; without it heat is not measured. */
  readonly heatTransactions?: number;
}

/** A slot as it was measured. */
export interface MeasuredSlot extends SlotMeasure {
  readonly bytes: number;
  /** 95 in 100 times the rows are no further off than this; zero for what was counted. */
  readonly rowsError: number;
}

const DEFAULT_SAMPLE_BYTES = 67_108_864;
const Z_95 = 1.96;
/** With nothing found, up to this many may have been expected: the "rule of three". */
const NONE_FOUND = 3;

interface SlotSum {
  rows: number;
  bytes: number;
  heat: number;
  variance: number;
}

/** Measures the slots of all tables of a keyspace on one shard; slots without rows are left out. */
export async function measureSlots(
  endpoint: ShardEndpoint,
  keyspace: Keyspace,
  tables: readonly ShardedTable[],
  options: MeasureOptions = {},
): Promise<MeasuredSlot[]> {
  const sums = new Map<number, SlotSum>();
  for (const table of tables) {
    throwIfAborted(options.signal, `Measuring ${endpoint.name}`);
    await addTable(sums, endpoint, keyspace, table, options);
  }
  return [...sums]
    .sort(([a], [b]) => a - b)
    .map(([slot, { rows, bytes, heat, variance }]) => ({
      slot,
      rows,
      bytes,
      rowsError: Z_95 * Math.sqrt(variance),
      ...(options.heatTransactions === undefined ? {} : { heat }),
    }));
}

/** Most rows that a slot may have of which a sample found none. */
export function rowsUnseen(share: number): number {
  return share >= 1 ? 0 : NONE_FOUND / share;
}

async function addTable(
  sums: Map<number, SlotSum>,
  endpoint: ShardEndpoint,
  keyspace: Keyspace,
  table: ShardedTable,
  { sampleBytes = DEFAULT_SAMPLE_BYTES, heatTransactions }: MeasureOptions,
): Promise<void> {
  const { rows: sizes } = await endpoint.primary.query<{ heapBytes: number; totalBytes: number }>(
    tableSizeSql,
    [table.schema, table.name],
  );
  const { heapBytes, totalBytes } = sizes[0] ?? { heapBytes: 0, totalBytes: 0 };
  const share = Math.min(1, sampleBytes / Math.max(1, heapBytes));
  const found = await countSlots(endpoint, keyspace, table, share, heatTransactions ?? 0);
  const rowBytes = found.reduce((sum, { bytes }) => sum + bytes, 0);
  for (const { slot, rows, bytes, heat } of found) {
    const sum = sums.get(slot) ?? { rows: 0, bytes: 0, heat: 0, variance: 0 };
    sum.rows += rows / share;
    sum.heat += heat / share;
    sum.bytes += rowBytes === 0 ? 0 : (totalBytes * bytes) / rowBytes;
    sum.variance += (rows * (1 - share)) / share ** 2;
    sums.set(slot, sum);
  }
}

async function countSlots(
  endpoint: ShardEndpoint,
  keyspace: Keyspace,
  table: ShardedTable,
  share: number,
  heatTransactions: number,
): Promise<{ slot: number; rows: number; bytes: number; heat: number }[]> {
  const { target, slot } = await digestOf(endpoint, keyspace, table);
  const sample = share >= 1 ? '' : ` TABLESAMPLE SYSTEM (${share * 100})`;
  const recent = `pg_catalog.age(t.xmin) BETWEEN 0 AND ${quoteInteger(heatTransactions)}`;
  return readPinned(
    endpoint,
    `SELECT (${slot})::integer AS slot, count(*)::float8 AS rows,
       sum(pg_catalog.pg_column_size(t.*))::float8 AS bytes,
       ${heatTransactions > 0 ? `(count(*) FILTER (WHERE ${recent}))::float8` : '0::float8'} AS heat
     FROM ${target}${sample} WHERE ${slot} IS NOT NULL GROUP BY 1`,
    [],
  );
}
