/** What the moved tables are made of, read in one statement per shard. What it means is judged elsewhere. */

import { DEFAULT_SLOT_COLUMN, type Keyspace, type ShardedTable } from '../../keyspace.js';
import type { Queryable } from '../../shard/queryable.js';
import tableFactsSql from './table-facts.sql';

/** One table, as far as a move is concerned. */
export interface TableFacts {
  /** As `pg_class.relkind`: `r` for a table, `p` for a partitioned one. */
  readonly kind: string;
  readonly isUnlogged: boolean;
  readonly isGuarded: boolean;
  readonly isOwnedByRole: boolean;
  readonly hasRowSecurity: boolean;
  readonly hasInheritance: boolean;
  readonly foreignPartitions: number;
  readonly bytes: number;
  readonly key: {
    readonly type: string;
    readonly isNullable: boolean;
    readonly isGenerated: boolean;
    readonly isDeterministic: boolean;
  } | null;
  readonly slotColumn: { readonly type: string; readonly isGenerated: boolean } | null;
  readonly hasPrimaryKey: boolean;
  /** As `pg_class.relreplident`: default, nothing, full, index. */
  readonly replicaIdentity: 'd' | 'n' | 'f' | 'i';
  readonly identityColumns: readonly string[] | null;
  readonly hasToast: boolean;
  readonly generatedColumns: readonly string[];
  readonly oidColumns: readonly string[];
  readonly uniqueWithoutKey: readonly string[];
  readonly replicaTriggers: readonly string[];
  readonly foreignKeys: readonly {
    readonly name: string;
    readonly otherSchema: string;
    readonly other: string;
    /** Referring and referred column. */
    readonly pairs: readonly (readonly [string, string])[];
  }[];
  readonly referencedBy: readonly {
    readonly name: string;
    readonly schema: string;
    readonly table: string;
  }[];
}

/** A table with what was found; undefined if it does not exist. */
export interface InspectedTable {
  readonly table: ShardedTable;
  readonly facts: TableFacts | undefined;
}

/** Reads the facts of tables, in the order of the tables. */
export async function readTableFacts(
  client: Queryable,
  keyspace: Keyspace,
  tables: readonly ShardedTable[],
): Promise<InspectedTable[]> {
  const { rows } = await client.query<{ facts: TableFacts | null }>(tableFactsSql, [
    tables.map(({ schema }) => schema),
    tables.map(({ name }) => name),
    tables.map(({ key }) => key),
    tables.map((table) => slotColumnOf(keyspace, table) ?? null),
  ]);
  return tables.map((table, at) => ({ table, facts: rows[at]?.facts ?? undefined }));
}

/** The column that a row filter reads; undefined where the slot is computed from the key. */
export function slotColumnOf(keyspace: Keyspace, table: ShardedTable): string | undefined {
  return keyspace.hash === 'murmur3' ? (table.slotColumn ?? DEFAULT_SLOT_COLUMN) : undefined;
}
