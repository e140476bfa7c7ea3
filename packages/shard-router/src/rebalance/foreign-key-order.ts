/** Tables in the order in which they refer to each other: those that others refer to come first. */

import type { ShardedTable } from '../keyspace.js';
import type { Queryable } from '../shard/queryable.js';

interface Reference {
  readonly from: string;
  readonly to: string;
}

/** Reads the foreign keys between these tables and sorts them by it. */
export async function inForeignKeyOrder(
  client: Queryable,
  tables: readonly ShardedTable[],
): Promise<ShardedTable[]> {
  const { rows } = await client.query<Reference>(
    `SELECT pg_catalog.format('%s.%s', n.nspname, c.relname) AS "from",
       pg_catalog.format('%s.%s', fn.nspname, f.relname) AS "to"
     FROM pg_catalog.pg_constraint AS k
     JOIN pg_catalog.pg_class AS c ON c.oid = k.conrelid
     JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
     JOIN pg_catalog.pg_class AS f ON f.oid = k.confrelid
     JOIN pg_catalog.pg_namespace AS fn ON fn.oid = f.relnamespace
     WHERE k.contype = 'f' ORDER BY 1, 2`,
  );
  return sortByReferences(tables, rows);
}

/** The sorting alone (pure). Tables that refer to each other in a circle stand in the order of their names. */
export function sortByReferences(
  tables: readonly ShardedTable[],
  references: readonly Reference[],
): ShardedTable[] {
  const byName = new Map(tables.map((table) => [`${table.schema}.${table.name}`, table]));
  const sorted: ShardedTable[] = [];
  const visited = new Set<string>();
  const visit = (name: string) => {
    const table = byName.get(name);
    if (table === undefined || visited.has(name)) return;
    visited.add(name);
    for (const { from, to } of references) if (from === name) visit(to);
    sorted.push(table);
  };
  for (const name of [...byName.keys()].sort()) visit(name);
  return sorted;
}
