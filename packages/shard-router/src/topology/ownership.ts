/**
 * The standing ownership record and guard of a shard.
 *
 * Always holds: a shard's own record says which slots it owns, and every guarded table refuses to write a row
 * of another slot, whoever writes it and by whatever route. That is what the promises rest on; leases,
 * acknowledgements and routers' caches only make things fast. The record is no debris of a move: without it a
 * router frozen since before a move would find nothing that stops it. `uninstallShard` takes it off.
 *
 * Why a change of the record is safe. It takes a SHARE ROW EXCLUSIVE lock on every guarded table first, which
 * waits for all writers that have passed the guard but not yet committed, and keeps new ones out until the change
 * commits. A READ COMMITTED writer that was waiting then reads the new record, since a guard's lookup takes a
 * fresh snapshot; a REPEATABLE READ one fails with 40001 (see `001-ownership.sql`).
 *
 * Trust boundary: `session_replication_role = replica` switches ordinary triggers off. The apply worker of
 * logical replication runs so, which is how moves get past the guard of a destination; so may a superuser.
 */

import { quoteIdentifier, quoteLiteral, quoteQualified, ShardlineError } from '@shardline/core';
import { routerErrors } from '../errors.js';
import { murmur3x64 } from '../hash/murmur3.js';
import { type Keyspace, type ShardedTable, slotExpression } from '../keyspace.js';
import { checkMigrated, type MigrationSet, migrate } from '../migrations.js';
import type { Queryable } from '../shard/queryable.js';
import ownershipSql from '../shard/sql/001-ownership.sql';
import movesSql from '../shard/sql/002-moves.sql';
import referenceEpochSql from '../shard/sql/003-reference-epoch.sql';
import deferredIndexesSql from '../shard/sql/004-deferred-indexes.sql';
import guardFunctionSql from '../shard/sql/guard-function.sql';
import { fillSql } from '../sql-template.js';
import lockGuardedTablesSql from './sql/lock-guarded-tables.sql';
import type { KeyspaceTopology, Topology } from './topology.js';

/** The schema of a shard's own record. */
export const shardMigrations: MigrationSet = {
  subject: 'shard',
  table: 'shard_migration',
  migrations: [
    { version: 1, name: 'ownership', sql: ownershipSql },
    { version: 2, name: 'moves', sql: movesSql },
    { version: 3, name: 'reference-epoch', sql: referenceEpochSql },
    { version: 4, name: 'deferred-indexes', sql: deferredIndexesSql },
  ],
};

/** SQLSTATE of a write that the guard refused. */
export const MISPLACED_WRITE = 'SL001';

/** Sorts after every name that people give to triggers: the guard must see the row as it will be stored. */
const GUARD_TRIGGER = '~shardline_guard';
const TRUNCATE_TRIGGER = '~shardline_guard_truncate';

/** What a shard's record says of one keyspace. */
export interface OwnershipRecord {
  readonly keyspace: string;
  readonly shard: string;
  readonly slots: number;
  /** Epoch of the last change that concerned this shard. */
  readonly epoch: number;
  readonly ownedSlots: number;
}

/** Makes the schema and the functions of the record. Needs a single connection of a role that owns the tables. */
export function migrateShard(client: Queryable): Promise<number[]> {
  return migrate(client, shardMigrations);
}

/** @throws ShardlineError `CATALOG_MISSING` or `CATALOG_TOO_NEW`. */
export function checkShardMigrated(client: Queryable): Promise<void> {
  return checkMigrated(client, shardMigrations);
}

/**
 * Writes a shard's record as a topology has it, in the caller's transaction, after locking all guarded tables.
 * A record of the same or a later epoch stays as it is: a mover that was frozen must not undo what came after.
 *
 * @param lockTimeoutMs longest wait for writers to finish. The lock queues new writers behind it, so it is short.
 * @returns whether anything was written.
 * @throws ShardlineError `SHARD_MISMATCH` if the record is of another shard; PostgreSQL's 55P03 when locked out.
 */
export async function writeOwnership(
  client: Queryable,
  shard: string,
  topology: Topology,
  keyspaceName: string,
  lockTimeoutMs = 500,
): Promise<boolean> {
  const keyspace = topology.keyspace(keyspaceName);
  await client.query(`SET LOCAL lock_timeout = ${Math.trunc(lockTimeoutMs)}`);
  await client.query(lockStatement(keyspaceName));
  const known = (await readOwnership(client)).find((record) => record.keyspace === keyspaceName);
  if (known !== undefined && known.shard !== shard) {
    throw shardMismatch(shard, known.shard);
  }
  const epoch = keyspace.shardEpoch(shard);
  if (known !== undefined && known.epoch >= epoch) return false;
  await client.query(
    `INSERT INTO shardline.ownership (keyspace, shard, slots, epoch) VALUES ($1, $2, $3, $4)
     ON CONFLICT (keyspace) DO UPDATE SET epoch = excluded.epoch, slots = excluded.slots`,
    [keyspaceName, shard, keyspace.slots, epoch],
  );
  await writeSlots(client, shard, keyspace, keyspaceName);
  return true;
}

async function writeSlots(
  client: Queryable,
  shard: string,
  keyspace: KeyspaceTopology,
  name: string,
): Promise<void> {
  const owners = keyspace.owners();
  const transit = keyspace.transitSlots(shard);
  await client.query(
    `INSERT INTO shardline.slot_ownership AS known (keyspace, slot, owner, epoch, is_owned, in_transit)
     SELECT $1, t.n - 1, t.owner, t.epoch, t.owner = $2, t.in_transit
     FROM unnest($3::text[], $4::bigint[], $5::boolean[]) WITH ORDINALITY AS t(owner, epoch, in_transit, n)
     ON CONFLICT (keyspace, slot) DO UPDATE
       SET owner = excluded.owner, epoch = excluded.epoch, in_transit = excluded.in_transit,
           -- A fence stands until its move takes it off, or until the slot goes to another owner.
           is_fenced = known.is_fenced AND known.epoch = excluded.epoch,
           is_owned = excluded.is_owned AND NOT (known.is_fenced AND known.epoch = excluded.epoch)
       WHERE (known.owner, known.epoch, known.in_transit)
         IS DISTINCT FROM (excluded.owner, excluded.epoch, excluded.in_transit)`,
    [
      name,
      shard,
      owners,
      owners.map((_, slot) => keyspace.slotEpoch(slot)),
      owners.map((_, slot) => transit.has(slot)),
    ],
  );
}

/** The statement that locks the guarded tables of a keyspace. */
export function lockStatement(keyspace: string): string {
  return fillSql(lockGuardedTablesSql, { keyspace: quoteLiteral(keyspace) });
}

/** The error of a server that is another shard than the router's settings say. */
export function shardMismatch(expected: string, found: string): ShardlineError {
  return new ShardlineError(
    routerErrors.SHARD_MISMATCH,
    `The server that is configured as shard '${expected}' says that it is shard '${found}'; two shards may have been given one address.`,
    { details: { expected, found } },
  );
}

/** What the shard's record says, by keyspace. */
export async function readOwnership(client: Queryable): Promise<OwnershipRecord[]> {
  const { rows } = await client.query<Record<keyof OwnershipRecord, string>>(
    `SELECT o.keyspace, o.shard, o.slots, o.epoch,
            (SELECT count(*) FROM shardline.slot_ownership AS s
             WHERE s.keyspace = o.keyspace AND (s.is_owned OR s.is_fenced)) AS "ownedSlots"
     FROM shardline.ownership AS o ORDER BY o.keyspace`,
  );
  return rows.map((row) => ({
    keyspace: row.keyspace,
    shard: row.shard,
    slots: Number(row.slots),
    epoch: Number(row.epoch),
    ownedSlots: Number(row.ownedSlots),
  }));
}

/**
 * Puts a table under guard, in the caller's transaction. Safe to repeat.
 *
 * Writers wait for it, briefly: adding a trigger locks the table as a change of ownership does.
 */
export async function guardTable(
  client: Queryable,
  keyspace: Keyspace,
  table: ShardedTable,
): Promise<void> {
  const guard = quoteQualified('shardline', guardName(table));
  const target = quoteQualified(table.schema, table.name);
  await replaceGuardFunction(client, keyspace, table);
  await client.query(
    `CREATE OR REPLACE TRIGGER ${quoteIdentifier(GUARD_TRIGGER)} BEFORE INSERT OR UPDATE OR DELETE ON ${target}
     FOR EACH ROW EXECUTE FUNCTION ${guard}()`,
  );
  await client.query(
    `CREATE OR REPLACE TRIGGER ${quoteIdentifier(TRUNCATE_TRIGGER)} BEFORE TRUNCATE ON ${target}
     FOR EACH STATEMENT EXECUTE FUNCTION shardline.guard_truncate(${quoteLiteral(keyspace.name)})`,
  );
  await client.query(
    `INSERT INTO shardline.guarded_table (table_schema, table_name, keyspace, key_column, guard_function)
     VALUES ($1, $2, $3, $4, $5) ON CONFLICT (table_schema, table_name) DO UPDATE
     SET keyspace = excluded.keyspace, key_column = excluded.key_column`,
    [table.schema, table.name, keyspace.name, table.key, guardName(table)],
  );
}

/** Brings the function of a guard to this version's text; no lock on the table is needed for that. */
export async function replaceGuardFunction(
  client: Queryable,
  keyspace: Keyspace,
  table: ShardedTable,
): Promise<void> {
  const expression = (row: 'NEW' | 'OLD') => slotExpression(keyspace, table, row);
  await client.query(
    fillSql(guardFunctionSql, {
      function: quoteQualified('shardline', guardName(table)),
      keyspace: quoteLiteral(keyspace.name),
      new_slot: expression('NEW'),
      old_slot: expression('OLD'),
      key: quoteLiteral(table.key),
    }),
  );
}

/** Takes everything of Shardline off a shard: guards, records, schema. The rows of the tables stay. */
export async function uninstallShard(client: Queryable): Promise<void> {
  const { rows } = await client.query<{ tgname: string; target: string }>(
    // Triggers of partitions go with those of their parents.
    `SELECT t.tgname, format('%I.%I', n.nspname, c.relname) AS target
     FROM pg_catalog.pg_trigger AS t
     JOIN pg_catalog.pg_class AS c ON c.oid = t.tgrelid
     JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
     JOIN pg_catalog.pg_proc AS p ON p.oid = t.tgfoid
     JOIN pg_catalog.pg_namespace AS pn ON pn.oid = p.pronamespace
     WHERE pn.nspname = 'shardline' AND NOT t.tgisinternal AND t.tgparentid = 0`,
  );
  await client.query('BEGIN');
  try {
    for (const { tgname, target } of rows) {
      await client.query(`DROP TRIGGER IF EXISTS ${quoteIdentifier(tgname)} ON ${target}`);
    }
    await client.query('DROP SCHEMA IF EXISTS shardline CASCADE');
    await client.query('COMMIT');
  } catch (error) {
    await client.query('ROLLBACK').catch(() => {
      // The connection is gone, and the transaction with it; the first error says why.
    });
    throw error;
  }
}

/** The facts in the DETAIL of a refused write, or undefined if an error is none. */
export function misplacedWrite(
  error: unknown,
): { keyspace: string; slot: number; owner: string | null; epoch: number } | undefined {
  const { code, detail } = (error ?? {}) as { code?: unknown; detail?: unknown };
  if (code !== MISPLACED_WRITE || typeof detail !== 'string') return undefined;
  try {
    const facts = JSON.parse(detail) as Record<string, unknown>;
    return {
      keyspace: String(facts['keyspace']),
      slot: Number(facts['slot']),
      owner: typeof facts['owner'] === 'string' ? facts['owner'] : null,
      epoch: Number(facts['epoch'] ?? 0),
    };
  } catch {
    // The fence of a move, or a later version, may say less; the SQLSTATE alone is the refusal.
    return { keyspace: '', slot: -1, owner: null, epoch: 0 };
  }
}

/** Schema and table may together be longer than a name can be, so their hash stands for them. */
function guardName({ schema, name }: ShardedTable): string {
  const hash = murmur3x64(`${schema}\0${name}`);
  return `guard_${Array.from(hash, (part) => part.toString(16).padStart(8, '0')).join('')}`;
}
