/**
 * The publication of a move: all tables of the keyspace, of each the rows of the moved slots, and the barriers.
 *
 * TRUNCATE is not published: it knows no row filter and would empty the whole table on the other side.
 */

import { quoteIdentifier, quoteInteger, quoteLiteral, quoteQualified } from '@shardline/core';
import {
  DEFAULT_SLOT_COLUMN,
  type Keyspace,
  type ShardedTable,
  slotExpression,
} from '../keyspace.js';

/** Whether a row is of the slots, as an SQL condition over the table's own columns. */
export function slotCondition(
  keyspace: Keyspace,
  table: ShardedTable,
  slots: readonly number[],
): string {
  const list = slots.map((slot) => quoteInteger(slot)).join(',');
  // `hashint8extended(...) >> 52` is a bigint; a stored slot column is an integer.
  const type = keyspace.hash === 'postgres' ? 'bigint' : 'integer';
  return `(${slotExpression(keyspace, table)} = ANY ('{${list}}'::${type}[]))`;
}

/** The column that a row's slot is computed from. */
export function filterColumn(keyspace: Keyspace, table: ShardedTable): string {
  return keyspace.hash === 'postgres' ? table.key : (table.slotColumn ?? DEFAULT_SLOT_COLUMN);
}

/** The statement that makes the publication. */
export function createPublication(
  name: string,
  move: string,
  keyspace: Keyspace,
  tables: readonly ShardedTable[],
  slots: readonly number[],
): string {
  const parts = tables.map(
    (table) =>
      `${quoteQualified(table.schema, table.name)} WHERE ${slotCondition(keyspace, table, slots)}`,
  );
  parts.push(`shardline.move_barrier WHERE (move = ${quoteLiteral(move)})`);
  return `CREATE PUBLICATION ${quoteIdentifier(name)} FOR TABLE ${parts.join(', ')}
    WITH (publish = 'insert, update, delete', publish_via_partition_root = true)`;
}
