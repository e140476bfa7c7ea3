import { quoteIdentifier, quoteInteger, quoteQualified } from '@shardline/core';
import { layerError } from '../errors.js';

/** The column in which a statement gives back the row that it has left in the outbox. */
export const OUTBOX_COLUMN = '~outbox';
/** The column in which a write gives back how far the log had got while it held the row. */
export const POSITION_COLUMN = '~position';

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
  const byKey = `SELECT * FROM ${quoteTable(table)} WHERE ${quoteIdentifier(table.key)} = ANY ($1)`;
  return table.id === undefined ? byKey : `${byKey} AND ${quoteIdentifier(table.id)} = ANY ($2)`;
}

/** Reads one row. */
export function selectOne(table: EntityTable, name: RowName): Statement {
  const { text, values } = whereRow(table, name, 1);
  return { text: `SELECT * FROM ${quoteTable(table)} ${text}`, values };
}

/** Reads the rows of one key in order. */
export function selectList(
  table: EntityTable,
  key: unknown,
  order: { readonly by: string; readonly direction: 'asc' | 'desc'; readonly limit: number },
): Statement {
  const by = `${quoteIdentifier(order.by)} ${order.direction === 'desc' ? 'DESC' : 'ASC'}`;
  return {
    text: `SELECT * FROM ${quoteTable(table)} WHERE ${quoteIdentifier(table.key)} = $1 ORDER BY ${by} LIMIT ${quoteInteger(order.limit)}`,
    values: [key],
  };
}

/** Inserts a row and returns it as stored. */
export function insertOne(table: EntityTable, row: Columns): Statement {
  const columns = Object.keys(row).sort();
  return {
    text: `INSERT INTO ${quoteTable(table)} (${listOf(columns)}) VALUES ${placesOf(columns, 0)} RETURNING *`,
    values: columns.map((column) => row[column]),
  };
}

/** Inserts rows that have the same columns. */
export function insertAll(table: EntityTable, rows: readonly Columns[]): Statement {
  const columns = Object.keys(rows[0] ?? {}).sort();
  const places = rows.map((_, at) => placesOf(columns, at * columns.length));
  return {
    text: `INSERT INTO ${quoteTable(table)} (${listOf(columns)}) VALUES ${places.join(', ')}`,
    values: rows.flatMap((row) => columns.map((column) => row[column])),
  };
}

/** Changes columns of one row and returns it as stored. */
export function update(table: EntityTable, name: RowName, changes: Columns): Statement {
  for (const column of [table.key, table.id]) {
    if (column !== undefined && Object.hasOwn(changes, column)) throw immutableKey(table, column);
  }
  const columns = Object.keys(changes).sort();
  const assignments = columns.map((column, at) => `${quoteIdentifier(column)} = $${at + 1}`);
  const { text, values } = whereRow(table, name, columns.length + 1);
  return {
    text: `UPDATE ${quoteTable(table)} SET ${assignments.join(', ')} ${text} RETURNING *`,
    values: [...columns.map((column) => changes[column]), ...values],
  };
}

/** Deletes one row and returns it as it was. */
export function deleteOne(table: EntityTable, name: RowName): Statement {
  const { text, values } = whereRow(table, name, 1);
  return { text: `DELETE FROM ${quoteTable(table)} ${text} RETURNING *`, values };
}

/**
 * The same write, with a row left in the outbox by the same statement: both are done or neither. PostgreSQL
 * runs a changing WITH exactly once, whether or not the write meets a row.
 */
export function withOutbox({ text, values }: Statement, layer: string, records: string): Statement {
  const [first, second] = [values.length + 1, values.length + 2];
  const noted = `WITH noted AS (INSERT INTO shardline.outbox (layer, records) VALUES ($${first}, $${second}::jsonb) RETURNING id)`;
  const id = `(SELECT id::text FROM noted) AS ${quoteIdentifier(OUTBOX_COLUMN)}`;
  return { text: `${noted} ${text}, ${id}`, values: [...values, layer, records] };
}

/**
 * The same write, which says besides where the log stood, as `timeline/lsn`, once it had the row to itself: whatever was
 * committed of the row before is in what it returns, and whatever is committed later is behind that position.
 */
export function withPosition({ text, values }: Statement): Statement {
  const lsn = 'pg_catalog.pg_current_wal_insert_lsn()';
  // The timeline is the first part of the name of the file that is being written.
  const position = `pg_catalog.left(pg_catalog.pg_walfile_name(${lsn}), 8) || '/' || ${lsn} AS ${quoteIdentifier(POSITION_COLUMN)}`;
  return { text: `${text}, ${position}`, values };
}

/** A table, with its schema where the name has exactly one dot, as the router reads it. */
function quoteTable({ table }: EntityTable): string {
  const [, schema, name] = /^([^.]+)\.([^.]+)$/s.exec(table) ?? [];
  if (schema === undefined || name === undefined) return quoteIdentifier(table);
  return quoteQualified(schema, name);
}

function listOf(columns: readonly string[]): string {
  return columns.map(quoteIdentifier).join(', ');
}

function placesOf(columns: readonly string[], before: number): string {
  return `(${columns.map((_, at) => `$${before + at + 1}`).join(', ')})`;
}

function whereRow(table: EntityTable, name: RowName, first: number): Statement {
  const key = `WHERE ${quoteIdentifier(table.key)} = $${first}`;
  if (table.id === undefined) return { text: key, values: [name.key] };
  return {
    text: `${key} AND ${quoteIdentifier(table.id)} = $${first + 1}`,
    values: [name.key, name.id],
  };
}

function immutableKey(table: EntityTable, column: string) {
  return layerError(
    'ENTITY_KEY_IMMUTABLE',
    `An update of '${table.entity}' names the column '${column}', which its rows are found by.`,
  );
}
