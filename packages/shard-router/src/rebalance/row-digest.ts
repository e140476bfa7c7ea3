/**
 * How rows are boiled down to numbers that can be compared between servers: SQL expressions (pure but for the reading of
 * a table's columns).
 *
 * A row's hash is `hash_record_extended` over its columns by name, and a group's is the sum of them: no order, no
 * rounding, and a row that is there twice counts twice. Types without a hash function (json, xml, points) go
 * through their text, with every setting pinned that such a text depends on.
 */

import { quoteIdentifier, quoteQualified } from '@shardline/core';
import { type Keyspace, type ShardedTable, slotExpression } from '../keyspace.js';
import type { Queryable } from '../shard/queryable.js';
import type { ShardEndpoint } from './move-context.js';
import rowColumnsSql from './row-columns.sql';

/** What the rows of a table are compared by. */
export interface RowDigest {
  readonly table: ShardedTable;
  /** `schema.name`, as reports show it. */
  readonly name: string;
  /** The table, quoted. */
  readonly target: string;
  /** The slot of a row. */
  readonly slot: string;
  /** The hash of a row, a bigint. */
  readonly hash: string;
  /** A text that tells rows apart: the primary key, or the hash where there is none. */
  readonly key: string;
}

const UNDEFINED_FUNCTION = '42883';

/** Whatever a text of a value depends on. Row-level security makes an error instead of a smaller answer. */
const PINNED = [
  `SET LOCAL DateStyle = 'ISO, YMD'`,
  `SET LOCAL IntervalStyle = 'postgres'`,
  `SET LOCAL TimeZone = 'UTC'`,
  'SET LOCAL extra_float_digits = 3',
  `SET LOCAL bytea_output = 'hex'`,
  `SET LOCAL lc_monetary = 'C'`,
  `SET LOCAL xmlbinary = 'base64'`,
  `SET LOCAL row_security = off`,
].join('; ');

/** Runs one statement in a transaction of its own, read only, with everything pinned. */
export async function readPinned<Row extends object>(
  endpoint: ShardEndpoint,
  text: string,
  values: readonly unknown[],
): Promise<Row[]> {
  return endpoint.withConnection(async (client) => {
    await client.query(`BEGIN READ ONLY; ${PINNED}`);
    const { rows } = await client.query<Row>(text, values);
    await client.query('COMMIT');
    return rows;
  });
}

/** Reads what a table is made of and writes its expressions; of the source, for both sides. */
export async function digestOf(
  endpoint: ShardEndpoint,
  keyspace: Keyspace,
  table: ShardedTable,
): Promise<RowDigest> {
  const { rows: columns } = await endpoint.primary.query<{
    column: string;
    type: string;
    isText: boolean;
    keyPlace: number | null;
  }>(rowColumnsSql, [table.schema, table.name]);
  const hashable = new Map<string, boolean>();
  for (const { type } of columns) {
    if (!hashable.has(type)) hashable.set(type, await hasHash(endpoint.primary, type));
  }
  const expressions = columns.map(({ column, type, isText }) => {
    const name = `t.${quoteIdentifier(column)}`;
    // By bytes: a sort key may be the same for texts that are not.
    if (hashable.get(type) !== true) return `(${name}::text COLLATE "C")`;
    return isText && isPlainText(type) ? `(${name} COLLATE "C")` : name;
  });
  const hash = `pg_catalog.hash_record_extended(ROW(${expressions.join(', ')}), 0)`;
  const keys = columns
    .filter(({ keyPlace }) => keyPlace !== null)
    .sort((one, other) => (one.keyPlace as number) - (other.keyPlace as number))
    .map(({ column }) => `t.${quoteIdentifier(column)}`);
  return {
    table,
    name: `${table.schema}.${table.name}`,
    target: `${quoteQualified(table.schema, table.name)} AS t`,
    slot: slotExpression(keyspace, table, { alias: 't' }),
    hash,
    key: keyExpression(keys, hash),
  };
}

function keyExpression(keys: readonly string[], hash: string): string {
  if (keys.length === 0) return `('row with hash ' || ${hash})`;
  if (keys.length === 1) return `(${keys[0]}::text COLLATE "C")`;
  return `(pg_catalog.jsonb_build_array(${keys.map((key) => `${key}::text`).join(', ')})::text COLLATE "C")`;
}

function isPlainText(type: string): boolean {
  return /^(text|character varying|character|"char"|name)\b/.test(type);
}

/** PostgreSQL decides by the type's parts, deep down; so it is asked. The type's text comes from its own catalog. */
async function hasHash(client: Queryable, type: string): Promise<boolean> {
  try {
    await client.query(
      `SELECT pg_catalog.hash_record_extended(ROW(v), 0) FROM (SELECT NULL::${type}) AS t(v)`,
    );
    return true;
  } catch (error) {
    if ((error as { code?: string }).code === UNDEFINED_FUNCTION) return false;
    throw error;
  }
}
