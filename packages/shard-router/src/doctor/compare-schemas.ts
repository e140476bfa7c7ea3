/**
 * Whether the declared tables are the same on every shard. A column that one shard lacks turns up as an error of one
 * key in so many, and an index that one lacks as a slow one.
 */

import type { RouterCore } from '../router-core.js';
import schemaSql from './schema.sql';

/** A part of a table that is not the same everywhere. */
export interface SchemaDifference {
  readonly table: string;
  /** Such as `column name`, `index users_pkey`, `trigger ~shardline_guard`. */
  readonly part: string;
  /** What it is on each shard; undefined where it is missing. */
  readonly definitions: Readonly<Record<string, string | undefined>>;
}

/** One part of one table on one shard. */
export interface SchemaPart {
  readonly table: string;
  readonly part: string;
  readonly definition: string;
}

/** Reads the declared tables of every shard and lists what differs. */
export async function compareSchemas(core: RouterCore): Promise<SchemaDifference[]> {
  const tables = [
    ...[...core.options.keyspaces.values()].flatMap((keyspace) => keyspace.tables),
    ...core.options.referenceTables,
  ];
  const parts = await Promise.all(
    core.members().map(async (shard) => {
      const { rows } = await shard.primary.query(schemaSql, [
        tables.map(({ schema }) => schema),
        tables.map(({ name }) => name),
      ]);
      return [shard.name, rows as SchemaPart[]] as const;
    }),
  );
  return findDifferences(new Map(parts));
}

/** What is not the same on every shard (pure). */
export function findDifferences(
  byShard: ReadonlyMap<string, readonly SchemaPart[]>,
): SchemaDifference[] {
  const found = new Map<string, { table: string; part: string; on: Map<string, string> }>();
  for (const [shard, parts] of byShard) {
    for (const { table, part, definition } of parts) {
      const key = `${table}\0${part}`;
      const known = found.get(key) ?? { table, part, on: new Map() };
      found.set(key, known);
      known.on.set(shard, definition);
    }
  }
  const shards = [...byShard.keys()];
  return [...found.values()]
    .filter(({ on }) => on.size < shards.length || new Set(on.values()).size > 1)
    .map(({ table, part, on }) => ({
      table,
      part,
      definitions: Object.fromEntries(shards.map((shard) => [shard, on.get(shard)])),
    }));
}
