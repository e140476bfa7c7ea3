/**
 * What the facts of the moved tables mean (pure).
 *
 * A blocker is what would lose rows, stop the stream or leave something that cannot be cleaned. What a move can bear at a
 * price is a warning that names the price.
 */

import { quoteIdentifier, quoteQualified } from '@shardline/core';
import type { Keyspace, KeyType, ShardedTable } from '../../keyspace.js';
import type { Finding } from '../finding.js';
import { FindingList } from './judge-server.js';
import { type InspectedTable, slotColumnOf, type TableFacts } from './table-facts.js';

/** The tables of a shard with what they are judged by. */
export interface TablesInPlace {
  readonly shard: string;
  readonly keyspace: Keyspace;
  readonly hasLargeObjects: boolean;
  readonly isSuperuser: boolean;
  readonly tables: readonly InspectedTable[];
  /** Tables that are the same on every shard: they may be referred to. */
  readonly referenceTables: readonly { readonly schema: string; readonly name: string }[];
}

const COLUMN_TYPES: Readonly<Record<KeyType, readonly string[]>> = {
  bigint: ['smallint', 'integer', 'bigint'],
  text: ['text', 'character varying'],
  uuid: ['uuid'],
};

/** Whether the slots of a table's rows can be computed at all. */
export function hasSlots(keyspace: Keyspace, { table, facts }: InspectedTable): boolean {
  if (facts?.key == null || !COLUMN_TYPES[keyspace.keyType].includes(facts.key.type)) return false;
  return slotColumnOf(keyspace, table) === undefined || facts.slotColumn !== null;
}

/** Everything about the tables of a shard that a move would meet. */
export function judgeTables(place: TablesInPlace): Finding[] {
  const found = new FindingList(place.shard);
  for (const { table, facts } of place.tables) {
    const name = `${table.schema}.${table.name}`;
    if (facts === undefined) {
      found.add('blocker', 'TABLE_MISSING', name, 'The table does not exist.', {
        remedy: 'Make it on this shard, or take it out of the configuration.',
      });
      continue;
    }
    judgeKind(found, place, name, table, facts);
    judgeKey(found, place, name, table, facts);
    judgeIdentity(found, place, name, table, facts);
    judgeColumns(found, place, name, facts);
    judgeReferences(found, place, name, table, facts);
  }
  return found.findings;
}

function judgeKind(
  found: FindingList,
  place: TablesInPlace,
  name: string,
  table: ShardedTable,
  facts: TableFacts,
): void {
  const sqlName = quoteQualified(table.schema, table.name);
  if (facts.kind !== 'r' && facts.kind !== 'p') {
    found.add('blocker', 'TABLE_KIND', name, 'It is no table.', {
      remedy: 'Only tables can be replicated: name the table behind it.',
    });
    return;
  }
  if (facts.isUnlogged) {
    found.add(
      'blocker',
      'TABLE_UNLOGGED',
      name,
      'The table, or a partition of it, is unlogged: its rows are not in the WAL.',
      {
        remedy: 'Make it logged (it is written anew and locked meanwhile).',
        sql: `ALTER TABLE ${sqlName} SET LOGGED`,
      },
    );
  }
  if (facts.hasInheritance) {
    found.add(
      'blocker',
      'TABLE_INHERITANCE',
      name,
      'The table inherits from another or is inherited from.',
      {
        remedy: 'Turn it into a partitioned table, or dissolve the inheritance.',
      },
    );
  }
  if (facts.foreignPartitions > 0) {
    found.add(
      'blocker',
      'FOREIGN_PARTITION',
      name,
      `${facts.foreignPartitions} of its partitions lie on other servers.`,
      {
        remedy: 'Detach them: they cannot be replicated.',
      },
    );
  }
  if (facts.hasRowSecurity) {
    found.add(
      'blocker',
      'ROW_SECURITY',
      name,
      'Row-level security is on; it would leave rows out of the copy without a word.',
      {
        remedy: 'Switch it off for the time of the move.',
        sql: `ALTER TABLE ${sqlName} DISABLE ROW LEVEL SECURITY`,
      },
    );
  }
  if (!facts.isGuarded) {
    found.add(
      'blocker',
      'GUARD_MISSING',
      name,
      'The standing guard is not on the table, or is disabled: nothing would refuse a misplaced write.',
      {
        remedy: `Run \`shardline init\`, or enable the trigger on shard '${place.shard}'.`,
      },
    );
  }
  if (!facts.isOwnedByRole && !place.isSuperuser) {
    found.add(
      'blocker',
      'TABLE_OWNER',
      name,
      'The role does not own the table, so it may not publish it.',
      {
        remedy: 'Name a role that owns the tables, or is a member of the owner.',
      },
    );
  }
  if (facts.replicaTriggers.length > 0) {
    found.add(
      'warning',
      'TRIGGER_FIRES_ON_REPLICA',
      name,
      `Triggers fire for replicated rows too: ${facts.replicaTriggers.join(', ')}. What they do happens once more at the destination.`,
      {
        remedy: 'Let them fire for ordinary writes only, unless doing it twice is harmless.',
        sql: facts.replicaTriggers
          .map((trigger) => `ALTER TABLE ${sqlName} ENABLE TRIGGER ${quoteIdentifier(trigger)}`)
          .join('; '),
      },
    );
  }
}

function judgeKey(
  found: FindingList,
  place: TablesInPlace,
  name: string,
  table: ShardedTable,
  facts: TableFacts,
): void {
  const { keyspace } = place;
  if (facts.key === null) {
    found.add('blocker', 'KEY_COLUMN_MISSING', name, `The table has no column '${table.key}'.`, {
      remedy: 'Add the key column and fill it, or name the right one in the configuration.',
    });
    return;
  }
  if (!COLUMN_TYPES[keyspace.keyType].includes(facts.key.type)) {
    found.add(
      'blocker',
      'KEY_COLUMN_TYPE',
      name,
      `Column '${table.key}' is of type ${facts.key.type}; keyspace '${keyspace.name}' takes ${COLUMN_TYPES[keyspace.keyType].join(', ')}.`,
      {
        remedy:
          'Change the type of the column, or the key type of the keyspace before it holds rows.',
      },
    );
  }
  if (facts.key.isNullable) {
    found.add(
      'warning',
      'KEY_COLUMN_NULLABLE',
      name,
      `Column '${table.key}' may be null; a row without a key belongs to no slot and never moves.`,
      {
        remedy: 'Declare it NOT NULL.',
        sql: `ALTER TABLE ${quoteQualified(table.schema, table.name)} ALTER COLUMN ${quoteIdentifier(table.key)} SET NOT NULL`,
      },
    );
  }
  if (!facts.key.isDeterministic) {
    found.add(
      'blocker',
      'KEY_COLLATION',
      name,
      `Column '${table.key}' has a nondeterministic collation: equal keys may have different slots.`,
      {
        remedy: 'Give the column a deterministic collation.',
      },
    );
  }
  const slotColumn = slotColumnOf(keyspace, table);
  if (slotColumn === undefined) {
    if (facts.key.isGenerated)
      found.add(
        'blocker',
        'FILTER_COLUMN_GENERATED',
        name,
        `Column '${table.key}' is generated and cannot stand in a row filter.`,
        { remedy: 'Make it an ordinary column.' },
      );
  } else if (facts.slotColumn === null) {
    found.add(
      'blocker',
      'SLOT_COLUMN_MISSING',
      name,
      `The table has no slot column '${slotColumn}', which a keyspace hashed by murmur3 needs.`,
      {
        remedy: 'Add the column as integer and fill it with the slots of the keys.',
        sql: `ALTER TABLE ${quoteQualified(table.schema, table.name)} ADD COLUMN ${quoteIdentifier(slotColumn)} integer`,
      },
    );
  } else if (facts.slotColumn.isGenerated) {
    found.add(
      'blocker',
      'FILTER_COLUMN_GENERATED',
      name,
      `Column '${slotColumn}' is generated and cannot stand in a row filter.`,
      { remedy: 'Make it an ordinary column.' },
    );
  }
}

/** The row filter reads one column, which must be known of rows that are updated or deleted. */
function judgeIdentity(
  found: FindingList,
  place: TablesInPlace,
  name: string,
  table: ShardedTable,
  facts: TableFacts,
): void {
  const filterColumn = slotColumnOf(place.keyspace, table) ?? table.key;
  const isFull = facts.replicaIdentity === 'f';
  const isCovered = isFull || facts.identityColumns?.includes(filterColumn) === true;
  if (!facts.hasPrimaryKey) {
    found.add(
      'warning',
      'PRIMARY_KEY_MISSING',
      name,
      'The table has no primary key; every UPDATE and DELETE that the destination repeats reads the whole table there.',
      {
        remedy: `Add a primary key that contains '${filterColumn}', or move it at a quiet time.`,
      },
    );
  }
  if (!isCovered) {
    const identity =
      facts.identityColumns === null ? 'none' : `(${facts.identityColumns.join(', ')})`;
    found.add(
      'warning',
      'REPLICA_IDENTITY',
      name,
      `The replica identity is ${identity} and lacks '${filterColumn}', so the move sets it to FULL while it lasts: UPDATE and DELETE write the whole old row to the WAL.`,
      {
        remedy: `To avoid the cost, make '${filterColumn}' part of the primary key, or name a unique index that contains it.`,
        sql: `ALTER TABLE ${quoteQualified(table.schema, table.name)} REPLICA IDENTITY FULL`,
      },
    );
  } else if (!isFull && facts.hasToast) {
    found.add(
      'note',
      'KEY_CHANGE_TOAST',
      name,
      `An UPDATE that takes a row into the moving slots by changing '${filterColumn}' would reach the destination without long values that it leaves unchanged.`,
      {
        remedy:
          'Change no keys while a move runs, or set the replica identity to FULL for its time; the comparison before the switch finds such rows.',
        sql: `ALTER TABLE ${quoteQualified(table.schema, table.name)} REPLICA IDENTITY FULL`,
      },
    );
  }
  const generated =
    facts.identityColumns?.filter((column) => facts.generatedColumns.includes(column)) ?? [];
  if (!isFull && generated.length > 0) {
    found.add(
      'blocker',
      'IDENTITY_GENERATED',
      name,
      `Generated columns (${generated.join(', ')}) are part of the replica identity and are not published.`,
      {
        remedy: 'Choose a unique index of ordinary columns as the replica identity.',
      },
    );
  }
}

function judgeColumns(
  found: FindingList,
  place: TablesInPlace,
  name: string,
  facts: TableFacts,
): void {
  if (facts.generatedColumns.length > 0) {
    found.add(
      'note',
      'GENERATED_COLUMN',
      name,
      `Generated columns are computed anew at the destination: ${facts.generatedColumns.join(', ')}.`,
      {
        remedy: 'Nothing, if their functions are the same on both shards.',
      },
    );
  }
  if (place.hasLargeObjects && facts.oidColumns.length > 0) {
    found.add(
      'blocker',
      'LARGE_OBJECTS',
      name,
      `There are large objects, and columns that may refer to them: ${facts.oidColumns.join(', ')}. Large objects are not replicated.`,
      {
        remedy: 'Store the values in bytea columns, or elsewhere.',
      },
    );
  }
  if (facts.uniqueWithoutKey.length > 0) {
    found.add(
      'warning',
      'UNIQUE_WITHOUT_KEY',
      name,
      `Unique indexes without the key column are unique by shard only: ${facts.uniqueWithoutKey.join(', ')}. If both shards hold a value, the copy stops there.`,
      {
        remedy: 'Make the key column part of the index, or the values unique over all shards.',
      },
    );
  }
}

function judgeReferences(
  found: FindingList,
  place: TablesInPlace,
  name: string,
  table: ShardedTable,
  facts: TableFacts,
): void {
  const isMoved = (schema: string, other: string) =>
    place.tables.some((moved) => moved.table.schema === schema && moved.table.name === other);
  const isReference = (schema: string, other: string) =>
    place.referenceTables.some((known) => known.schema === schema && known.name === other);
  for (const key of facts.foreignKeys) {
    const other = `${key.otherSchema}.${key.other}`;
    const target = place.tables.find(
      (moved) => `${moved.table.schema}.${moved.table.name}` === other,
    );
    if (target === undefined) {
      if (isReference(key.otherSchema, key.other)) continue;
      found.add(
        'blocker',
        'FOREIGN_KEY_LEAVES',
        name,
        `Foreign key '${key.name}' refers to ${other}, which does not move with the keyspace.`,
        {
          remedy:
            'Add that table to the keyspace or to the reference tables, or drop the foreign key.',
          sql: `ALTER TABLE ${quoteQualified(table.schema, table.name)} DROP CONSTRAINT ${quoteIdentifier(key.name)}`,
        },
      );
    } else if (!key.pairs.some(([from, to]) => from === table.key && to === target.table.key)) {
      found.add(
        'warning',
        'FOREIGN_KEY_CROSSES',
        name,
        `Foreign key '${key.name}' to ${other} does not bind the key columns to each other: if rows of different slots refer to each other, cleaning the source fails.`,
        {
          remedy: `Let the foreign key contain '${table.key}'.`,
        },
      );
    }
  }
  for (const key of facts.referencedBy) {
    if (isMoved(key.schema, key.table)) continue;
    found.add(
      'blocker',
      'FOREIGN_KEY_ENTERS',
      name,
      `Foreign key '${key.name}' of ${key.schema}.${key.table}, which does not move, refers to it: cleaning the source would fail, or delete rows there.`,
      {
        remedy: 'Add that table to the keyspace, or drop the foreign key.',
        sql: `ALTER TABLE ${quoteQualified(key.schema, key.table)} DROP CONSTRAINT ${quoteIdentifier(key.name)}`,
      },
    );
  }
}
