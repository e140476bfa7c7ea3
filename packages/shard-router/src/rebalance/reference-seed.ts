/**
 * Gives a new shard the rows of reference tables, and makes sure of them once it has joined.
 *
 * A reference table is written on every shard of the topology, in one transaction each, in the order of the shards' names
 * (`reference-tables.ts`). A shard that is being prepared is not among them yet, so what is written between its
 * seeding and the moment when every router knows it would be missing there. Therefore the seeding is a
 * synchronisation that may be repeated, and it is to be done twice:
 *
 * 1. while the shard is prepared: everything is copied, and no router knows the shard;
 * 2. when all routers have acknowledged the topology that contains it: every write since then is on both shards or on
 *    neither, and what came in between is found by comparison.
 *
 * A router that was frozen, or cut off from the catalog until its lease had ended, acknowledges nothing and may still write by
 * an older topology. So the second comparison leaves the topology's epoch behind on both shards, and a writer reads it behind
 * its write: it has either had the table before the comparison, which then waited for it and saw what it wrote, or it finds an
 * epoch that is newer than its own, takes the write back and asks the catalog. Shards join one by one, so the first
 * one that a router does not know was compared with one that it does know, and writes to.
 *
 * While it runs writers wait: both shards' tables are locked against writing, in the order of the shards' names, which
 * is the writers' own, so that nobody waits in a circle. That also waits for writers that are halfway, on one shard
 * and not yet on the other. Tables of this kind are small and written seldom; if a lock is not had in a moment, all are let
 * go and it is tried again.
 *
 * Only what differs is written: rows of sharded tables may refer to these.
 */

import {
  isShardlineError,
  quoteIdentifier,
  quoteQualified,
  ShardlineError,
  throwIfAborted,
} from '@shardline/core';
import { routerErrors } from '../errors.js';
import type { Queryable } from '../shard/queryable.js';
import type { TableName } from './copy-schema.js';
import type { ShardEndpoint } from './move-context.js';
import noteEpochSql from './note-reference-epoch.sql';
import seedColumnsSql from './seed-columns.sql';
import { readSequences } from './sequences.js';

/** What was done to a table. */
export interface SeededTable {
  readonly table: string;
  readonly rows: number;
  /** Rows that were written or deleted; zero if both shards agreed. */
  readonly changed: number;
}

/** How reference tables are made the same. */
interface SeedOptions {
  readonly signal?: AbortSignal | undefined;
  /** Of a topology that names both shards: routers that know an older one are refused from now on. */
  readonly epoch?: number;
}

interface SeedColumn {
  readonly column: string;
  readonly isGenerated: boolean;
  readonly isKey: boolean;
}

const LOCK_TIMEOUT_MS = 300;
const LOCK_TRIES = 40;
/** Locked out, or chosen to end a deadlock. */
const RETRIED = new Set(['55P03', '40P01']);
const FETCH_ROWS = 1000;
const INSUFFICIENT_PRIVILEGE = '42501';

/**
 * Makes reference tables of one shard the same as those of another.
 *
 * @throws ShardlineError `REFERENCE_TABLE_UNKEYED` for a table without a primary key; PostgreSQL's 55P03 if writers
 * did not let the tables go.
 */
export async function seedReferenceTables(
  from: ShardEndpoint,
  to: ShardEndpoint,
  tables: readonly TableName[],
  options: SeedOptions = {},
): Promise<SeededTable[]> {
  for (let attempt = 1; tables.length > 0; attempt += 1) {
    throwIfAborted(options.signal, 'Seeding reference tables');
    try {
      return await seedLocked(from, to, tables, options.epoch);
    } catch (error) {
      const { code } = error as { code?: string };
      if (isShardlineError(error) || !RETRIED.has(code ?? '') || attempt >= LOCK_TRIES) throw error;
    }
  }
  return [];
}

/** An error ends both connections, and the transactions with them. */
async function seedLocked(
  from: ShardEndpoint,
  to: ShardEndpoint,
  tables: readonly TableName[],
  epoch: number | undefined,
): Promise<SeededTable[]> {
  return from.withConnection((source) =>
    to.withConnection(async (destination) => {
      const inOrder = from.name < to.name ? [source, destination] : [destination, source];
      for (const client of inOrder) await lock(client, tables);
      await fireNoTriggers(destination);
      const seeded: SeededTable[] = [];
      for (const table of tables) seeded.push(await seedTable(source, destination, table));
      await copySequences(from, to, destination, tables);
      if (epoch !== undefined) {
        for (const client of inOrder) await client.query(noteEpochSql, [epoch]);
      }
      await destination.query('COMMIT');
      await source.query('COMMIT');
      return seeded;
    }),
  );
}

async function lock(client: Queryable, tables: readonly TableName[]): Promise<void> {
  const names = tables.map(({ schema, name }) => quoteQualified(schema, name)).sort();
  await client.query('BEGIN');
  await client.query(
    `SET LOCAL lock_timeout = ${LOCK_TIMEOUT_MS}; SET LOCAL IntervalStyle = 'iso_8601'`,
  );
  await client.query(`SET LOCAL extra_float_digits = 3; SET LOCAL row_security = off`);
  await client.query(`LOCK TABLE ${names.join(', ')} IN SHARE ROW EXCLUSIVE MODE`);
}

/** What triggers do has been done on the other shard. Needs a right that not everybody has; without it they fire. */
async function fireNoTriggers(client: Queryable): Promise<void> {
  await client.query('SAVEPOINT triggers');
  try {
    await client.query('SET LOCAL session_replication_role = replica');
  } catch (error) {
    if ((error as { code?: string }).code !== INSUFFICIENT_PRIVILEGE) throw error;
    await client.query('ROLLBACK TO SAVEPOINT triggers');
  }
}

async function seedTable(
  source: Queryable,
  destination: Queryable,
  table: TableName,
): Promise<SeededTable> {
  const target = quoteQualified(table.schema, table.name);
  const { rows: columns } = await destination.query<SeedColumn>(seedColumnsSql, [
    table.schema,
    table.name,
  ]);
  if (!columns.some(({ isKey }) => isKey)) throw unkeyed(table);
  await destination.query(
    `DROP TABLE IF EXISTS pg_temp.shardline_seed; CREATE TEMP TABLE shardline_seed (LIKE ${target}) ON COMMIT DROP`,
  );
  const rows = await transfer(source, destination, target);
  const changed = await merge(destination, target, columns);
  return { table: `${table.schema}.${table.name}`, rows, changed };
}

/** By names of columns, since two shards may have them in another order. */
async function transfer(
  source: Queryable,
  destination: Queryable,
  target: string,
): Promise<number> {
  let count = 0;
  await source.query(
    `DECLARE shardline_seed NO SCROLL CURSOR FOR SELECT row_to_json(t)::text AS row FROM ${target} AS t`,
  );
  for (;;) {
    const { rows } = await source.query<{ row: string }>(`FETCH ${FETCH_ROWS} FROM shardline_seed`);
    if (rows.length === 0) break;
    count += rows.length;
    await destination.query(
      `INSERT INTO pg_temp.shardline_seed SELECT * FROM json_populate_recordset(NULL::pg_temp.shardline_seed, $1::json)`,
      [`[${rows.map(({ row }) => row).join(',')}]`],
    );
  }
  await source.query('CLOSE shardline_seed');
  return count;
}

async function merge(
  client: Queryable,
  target: string,
  columns: readonly SeedColumn[],
): Promise<number> {
  const written = columns.filter(({ isGenerated }) => !isGenerated);
  const names = written.map(({ column }) => quoteIdentifier(column));
  const keys = columns.filter(({ isKey }) => isKey).map(({ column }) => quoteIdentifier(column));
  const others = names.filter((name) => !keys.includes(name));
  const matches = keys.map((key) => `s.${key} = t.${key}`).join(' AND ');
  const { rowCount: deleted } = await client.query(
    `DELETE FROM ${target} AS t WHERE NOT EXISTS (SELECT 1 FROM pg_temp.shardline_seed AS s WHERE ${matches})`,
  );
  // As texts: not every type can be compared.
  const textOf = (alias: string) =>
    `ROW(${names.map((name) => `${alias}.${name}`).join(', ')})::text`;
  const { rowCount: updated } =
    others.length === 0
      ? { rowCount: 0 }
      : await client.query(
          `UPDATE ${target} AS t SET ${others.map((name) => `${name} = s.${name}`).join(', ')}
           FROM pg_temp.shardline_seed AS s WHERE ${matches} AND ${textOf('s')} <> ${textOf('t')}`,
        );
  const { rowCount: inserted } = await client.query(
    `INSERT INTO ${target} (${names.join(', ')}) OVERRIDING SYSTEM VALUE
     SELECT ${names.map((name) => `s.${name}`).join(', ')} FROM pg_temp.shardline_seed AS s
     WHERE NOT EXISTS (SELECT 1 FROM ${target} AS t WHERE ${matches})`,
  );
  return (deleted ?? 0) + (updated ?? 0) + (inserted ?? 0);
}

/** A write runs on each shard by itself, so a number that a default draws must be the same on all. */
async function copySequences(
  from: ShardEndpoint,
  to: ShardEndpoint,
  client: Queryable,
  tables: readonly TableName[],
): Promise<void> {
  const named = tables.map((table) => ({ ...table, key: '' }));
  const [sources, destinations] = await Promise.all([
    readSequences(from, named),
    readSequences(to, named),
  ]);
  for (const { table, column, sequence, increment, last } of destinations) {
    const own = sources.find(
      (other) =>
        other.table.name === table.name &&
        other.table.schema === table.schema &&
        other.column === column,
    );
    if (own === undefined || (own.last === last && own.increment === increment)) continue;
    // "Not called" with the next value: the last one of an untouched sequence lies outside its limits.
    await client.query('SELECT pg_catalog.setval($1::regclass, $2::bigint, false)', [
      quoteQualified(sequence.schema, sequence.name),
      String(own.last + own.increment),
    ]);
  }
}

function unkeyed({ schema, name }: TableName): ShardlineError {
  return new ShardlineError(
    routerErrors.REFERENCE_TABLE_UNKEYED,
    `Reference table ${schema}.${name} has no primary key, so its rows cannot be told apart.`,
    { details: { table: `${schema}.${name}` } },
  );
}
