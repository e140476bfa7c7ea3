/**
 * Makes a database a shard: schema, record, guards. Safe to repeat; nothing that is right is touched.
 */

import { Keyspace } from '../keyspace.js';
import type { FilledKeyspaceOptions } from '../router-options.js';
import { guardTable, migrateShard, writeOwnership } from '../topology/ownership.js';
import type { Topology } from '../topology/topology.js';
import type { Queryable } from './queryable.js';

/** What `guardTable` needs of every keyspace. */
export type KeyspaceTables = ReadonlyMap<string, Pick<FilledKeyspaceOptions, 'tables'>>;

/**
 * Installs a shard on one connection of a role that owns the tables.
 *
 * @throws ShardlineError `SHARD_MISMATCH` if the database is another shard already.
 */
export async function installShard(
  client: Queryable,
  shard: string,
  topology: Topology,
  keyspaces: KeyspaceTables,
): Promise<void> {
  await migrateShard(client);
  await client.query('BEGIN');
  try {
    for (const name of topology.keyspaces.keys())
      await writeOwnership(client, shard, topology, name);
    await installGuards(client, keyspaces, topology);
    await client.query('COMMIT');
  } catch (error) {
    await client.query('ROLLBACK').catch(() => {
      // The connection is gone, and the transaction with it; the first error says why.
    });
    throw error;
  }
}

/** Puts declared tables that exist and stand under no guard yet under guard, in the caller's transaction. */
export async function installGuards(
  client: Queryable,
  keyspaces: KeyspaceTables,
  topology: Topology,
): Promise<void> {
  const { rows } = await client.query<{ table_schema: string; table_name: string }>(
    `SELECT n.nspname AS table_schema, c.relname AS table_name
     FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
     WHERE c.relkind IN ('r', 'p') AND NOT EXISTS (
       SELECT 1 FROM pg_catalog.pg_trigger AS t WHERE t.tgrelid = c.oid AND t.tgname = '~shardline_guard')`,
  );
  const unguarded = new Set(rows.map((row) => `${row.table_schema}.${row.table_name}`));
  for (const [name, { tables }] of keyspaces) {
    const keyspace = new Keyspace(topology.keyspace(name).keyspace);
    for (const table of tables) {
      if (unguarded.has(`${table.schema}.${table.name}`)) await guardTable(client, keyspace, table);
    }
  }
}
