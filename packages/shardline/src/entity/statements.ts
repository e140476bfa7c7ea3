import { quoteIdentifier, ShardlineError } from '@shardline/core';
import { layerErrors } from '../errors.js';

/**
 * The statements of an entity, as text and values. Pure: the same call always makes the same text, so
 * that the server prepares few statements and the classifier's memory holds them all.
 */
export interface EntityTable {
  /** Name of the entity, for messages. */
  readonly entity: string;
  readonly table: string;
  /** Column that the table is sharded by. */
  readonly key: string;
  /** Column that with the key names one row; undefined where the key alone does. */
  readonly id: string | undefined;
}

/** A statement and what goes into its places. */
export interface Statement {
  readonly text: string;
  readonly values: readonly unknown[];
}

/** What names one row: the key, and the id where the entity has one. */
export interface RowName {
  readonly key: unknown;
  readonly id: unknown;
}

/** Columns with their values. */
export type Columns = Readonly<Record<string, unknown>>;

/**
 * Reads the rows of many keys: `$1` is the array of keys, `$2`, where the entity has an id, that of the
 * ids. Key and id are asked for apart, so what comes back may hold rows that nobody named; a pair of
 * arrays keeps it one text for any number of rows, where pairs would be a text for each.
 */
export function selectMany(table: EntityTable): string {
  const byKey = `SELECT * FROM ${quoteIdentifier(table.table)} WHERE ${quoteIdentifier(table.key)} = ANY ($1)`;
  return table.id === undefined ? byKey : `${byKey} AND ${quoteIdentifier(table.id)} = ANY ($2)`;
}

/** Inserts a row and returns it as stored. */
export function insertOne(table: EntityTable, row: Columns): Statement {
  const columns = Object.keys(row).sort();
  const names = columns.map(quoteIdentifier).join(', ');
  const places = columns.map((_, at) => `$${at + 1}`).join(', ');
  return {
    text: `INSERT INTO ${quoteIdentifier(table.table)} (${names}) VALUES (${places}) RETURNING *`,
    values: columns.map((column) => row[column]),
  };
}

/** Changes columns of one row and returns it as stored. */
export function update(table: EntityTable, name: RowName, changes: Columns): Statement {
  for (const column of [table.key, table.id]) {
    if (column !== undefined && Object.hasOwn(changes, column)) throw immutableKey(table, column);
  }
  const columns = Object.keys(changes);
  const assignments = columns.map((column, at) => `${quoteIdentifier(column)} = $${at + 1}`);
  const { text, values } = whereRow(table, name, columns.length + 1);
  return {
    text: `UPDATE ${quoteIdentifier(table.table)} SET ${assignments.join(', ')} ${text} RETURNING *`,
    values: [...columns.map((column) => changes[column]), ...values],
  };
}

/** Deletes one row and returns it as it was. */
export function deleteOne(table: EntityTable, name: RowName): Statement {
  const { text, values } = whereRow(table, name, 1);
  return { text: `DELETE FROM ${quoteIdentifier(table.table)} ${text} RETURNING *`, values };
}

function whereRow(table: EntityTable, name: RowName, first: number): Statement {
  const key = `WHERE ${quoteIdentifier(table.key)} = $${first}`;
  if (table.id === undefined) return { text: key, values: [name.key] };
  return {
    text: `${key} AND ${quoteIdentifier(table.id)} = $${first + 1}`,
    values: [name.key, name.id],
  };
}

function immutableKey(table: EntityTable, column: string): ShardlineError {
  return new ShardlineError(
    layerErrors.ENTITY_KEY_IMMUTABLE,
    `An update of '${table.entity}' names the column '${column}', which its rows are found by.`,
  );
}
