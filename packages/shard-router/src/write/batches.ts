import { ShardlineError } from '@shardline/core';
import { routerErrors } from '../errors.js';
import {
  DEFAULT_SLOT_COLUMN,
  type Keyspace,
  type ShardedTable,
  type ShardKey,
} from '../keyspace.js';

/** A row to be written: columns by name. */
export type WriteRow = Readonly<Record<string, unknown>>;

/** A row with the slot that its key hashes to. */
export interface PlacedRow {
  readonly row: WriteRow;
  readonly slot: number;
}

/**
 * Reads the key of a row and places it; a keyspace with a stored slot gets its slot column here.
 *
 * @throws ShardlineError `KEY_INVALID`.
 */
export function placeRow(keyspace: Keyspace, table: ShardedTable, row: WriteRow): PlacedRow {
  const slot = keyspace.slotOf(row[table.key] as ShardKey);
  if (keyspace.hash === 'postgres') return { row, slot };
  return { row: { ...row, [table.slotColumn ?? DEFAULT_SLOT_COLUMN]: slot }, slot };
}

/** The columns to write, the slot column of a keyspace with a stored slot included. */
export function columnsFor(
  keyspace: Keyspace,
  table: ShardedTable,
  columns: readonly string[],
): readonly string[] {
  if (!columns.includes(table.key)) {
    throw new ShardlineError(
      routerErrors.KEY_INVALID,
      `Rows for table '${table.name}' have no column '${table.key}', which holds the key.`,
    );
  }
  const slotColumn = table.slotColumn ?? DEFAULT_SLOT_COLUMN;
  return keyspace.hash === 'murmur3' && !columns.includes(slotColumn)
    ? [...columns, slotColumn]
    : columns;
}
