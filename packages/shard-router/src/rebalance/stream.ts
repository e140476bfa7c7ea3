/**
 * The stream of one direction: what feeds it on one shard, and the subscription on the other.
 *
 * The slot is made apart from the subscription (`create_slot = false`). So making and dropping a subscription are
 * ordinary statements of a transaction, and stand in one with the check of the generation and with the record. Slots
 * alone are outside of transactions; they are made and dropped on the session that holds the move's lock, after the
 * record says that one may be there.
 *
 * The publication is there before the slot: a slot reads publications as they were at its own position.
 */

import { quoteIdentifier, quoteLiteral, quoteQualified } from '@shardline/core';
import type { MoveRole } from './move-state.js';
import { type MoveSide, type MoveWork, otherRole } from './move-work.js';
import { createPublication, filterColumn } from './publication.js';
import { withGeneration } from './record-store.js';
import { retryLocked } from './retry-locked.js';
import customTypesSql from './sql/custom-types.sql';
import handIdentitiesOnSql from './sql/hand-identities-on.sql';
import identitiesSql from './sql/identities.sql';
import { streamName } from './stream-names.js';
import {
  connectionInfo,
  createRoleStatements,
  dropRoleStatements,
  prolongRole,
  randomPassword,
  scramVerifier,
} from './stream-role.js';

/** Making a slot waits for every transaction that is open on the whole server. */
const SLOT_MS = 600_000;
/** For locks that conflict with a vacuum, which PostgreSQL itself sends away after a second. */
const QUIET_LOCK_MS = 5_000;

/**
 * Whoever is about to need identities and whoever brings them back must not miss each other: an advisory lock until the end of
 * the transaction, of a class of its own ('SHRI' in ASCII).
 */
const LOCK_IDENTITIES = `SELECT pg_catalog.pg_advisory_xact_lock(${0x53485249}, 0)`;

/** Makes everything on the shard that feeds the other one. @returns how to connect to it. */
export async function openOutbound(work: MoveWork, into: MoveRole): Promise<string> {
  const feeder = work[otherRole(into)];
  const name = streamName(work.row.id, into);
  const { session } = feeder;
  const { generation } = work.row.journal;
  const { id } = work.row;
  // Said before anything is made, so that whoever comes next knows that there may be something to take off.
  await withGeneration(session, id, generation, async () => {
    await session.query(LOCK_IDENTITIES);
    await session.query('UPDATE shardline.move_record SET has_outbound = true WHERE move = $1', [
      id,
    ]);
  });
  await widenIdentities(work, feeder);
  const password = randomPassword();
  await retryLocked(work, feeder, () =>
    withGeneration(session, id, generation, async () => {
      await session.query(`SET LOCAL lock_timeout = ${QUIET_LOCK_MS}`);
      const { tables } = work.context;
      const exists = await has(session, 'pg_roles', 'rolname', name);
      const verifier = scramVerifier(password);
      for (const statement of createRoleStatements(name, verifier, exists, tables, Date.now())) {
        await session.query(statement);
      }
      if (!(await has(session, 'pg_publication', 'pubname', name))) {
        const { keyspace, slots } = work.context;
        await session.query(createPublication(name, id, keyspace, tables, slots));
      }
    }),
  );
  await openSlot(feeder, name);
  return connectionInfo(feeder.peerAddress, {
    user: name,
    password,
    application_name: name,
    connect_timeout: '10',
    keepalives_idle: '30',
    // Row-level security would leave rows out without a word; so it is an error instead.
    options: '-crow_security=off',
  });
}

/** The statement that makes a subscription to what `openOutbound` has made. */
export async function createSubscription(
  work: MoveWork,
  into: MoveRole,
  conninfo: string,
  how: { readonly copies: boolean; readonly isEnabled: boolean },
): Promise<string> {
  const name = streamName(work.row.id, into);
  const reader = work[into];
  const options = [
    `slot_name = ${quoteLiteral(name)}`,
    'create_slot = false',
    `enabled = ${how.isEnabled}`,
    `copy_data = ${how.copies}`,
    `binary = ${await isAllBuiltIn(work, reader)}`,
    // A row counts as applied when it is safe on disk here, and is told at once.
    'synchronous_commit = local',
  ];
  if (mayStreamsOverlap(work)) options.push('origin = none');
  return `CREATE SUBSCRIPTION ${quoteIdentifier(name)} CONNECTION ${quoteLiteral(conninfo)}
    PUBLICATION ${quoteIdentifier(name)} WITH (${options.join(', ')})`;
}

/**
 * Whether both streams may stand at once. From PostgreSQL 16 on a stream leaves out what another one has brought; before,
 * what one brings the other would carry back, so that one must be gone, worker and all, before the other begins.
 */
export function mayStreamsOverlap({ source, destination }: MoveWork): boolean {
  return Math.min(source.version, destination.version) >= 16;
}

/** The statement that switches a subscription on if it is off: to ask first is cheaper than to wake its worker for nothing. */
export function enableSubscription(name: string): string {
  return `DO $enable$ BEGIN
    IF EXISTS (SELECT FROM pg_catalog.pg_subscription WHERE subname = ${quoteLiteral(name)} AND NOT subenabled) THEN
      ALTER SUBSCRIPTION ${quoteIdentifier(name)} ENABLE;
    END IF;
  END $enable$`;
}

/** Statements that take the subscription off; its slot is dropped apart, with the rest of what feeds it. */
export function dropSubscription(move: string, into: MoveRole): string[] {
  const name = quoteIdentifier(streamName(move, into));
  return [
    `ALTER SUBSCRIPTION ${name} DISABLE`,
    `ALTER SUBSCRIPTION ${name} SET (slot_name = NONE)`,
    `DROP SUBSCRIPTION ${name}`,
  ];
}

/** Takes everything off the shard that fed the other one. Safe to repeat. */
export async function closeOutbound(work: MoveWork, into: MoveRole): Promise<void> {
  const feeder = work[otherRole(into)];
  const name = streamName(work.row.id, into);
  const { session } = feeder;
  const { id, journal } = work.row;
  // First the generation alone: nothing older may make a slot behind our back.
  await withGeneration(session, id, journal.generation, async () => {});
  await dropSlots(work, feeder, work[into], name);
  await retryLocked(work, feeder, () =>
    withGeneration(session, id, journal.generation, async () => {
      await session.query(`SET LOCAL lock_timeout = ${work.limits.lockTimeoutMs}`);
      await restoreIdentities(session, id);
      await session.query(`DROP PUBLICATION IF EXISTS ${quoteIdentifier(name)}`);
      if (await has(session, 'pg_roles', 'rolname', name)) {
        for (const statement of dropRoleStatements(name, work.context.tables)) {
          await session.query(statement);
        }
      }
      await session.query(
        `UPDATE shardline.move_record SET has_outbound = false, replica_identities = '{}' WHERE move = $1`,
        [id],
      );
    }),
  );
}

/** Gives the roles of a move's streams, as far as there are any, another lifetime. */
export async function prolongRoles(work: MoveWork): Promise<void> {
  const { id, journal } = work.row;
  for (const into of ['source', 'destination'] as const) {
    const { session } = work[otherRole(into)];
    const name = streamName(id, into);
    await withGeneration(session, id, journal.generation, async () => {
      if (!(await has(session, 'pg_roles', 'rolname', name))) return;
      await session.query(prolongRole(name, Date.now()));
    });
  }
}

/**
 * Whether the slot that feeds a shard is still there and complete. One that was lost, with a failover or because it
 * held too much back, is never taken up again: the copy begins anew.
 */
export async function isSlotAlive(feeder: MoveSide, name: string): Promise<boolean> {
  const { rows } = await feeder.session.query<{ is_alive: boolean }>(
    `SELECT coalesce(wal_status, 'reserved') <> 'lost' AS is_alive
     FROM pg_catalog.pg_replication_slots WHERE slot_name = $1`,
    [name],
  );
  return rows[0]?.is_alive === true;
}

async function openSlot(feeder: MoveSide, name: string): Promise<void> {
  if (await isSlotAlive(feeder, name)) return;
  await dropSlot(feeder, name);
  await feeder.session.query(
    `SELECT pg_catalog.pg_create_logical_replication_slot($1, 'pgoutput')`,
    [name],
    SLOT_MS,
  );
}

/**
 * Before PostgreSQL 16 a stream carries back what the other one brought. The reverse slot is made before the pause all
 * the same, and moved past it all once the forward stream has ended.
 */
export async function skipToNow(feeder: MoveSide, name: string): Promise<void> {
  await feeder.session.query(
    'SELECT pg_catalog.pg_replication_slot_advance($1, pg_catalog.pg_current_wal_lsn())',
    [name],
    SLOT_MS,
  );
}

/** Slots of the stream, and those that a copy which was broken off has left. */
async function dropSlots(
  work: MoveWork,
  feeder: MoveSide,
  reader: MoveSide,
  name: string,
): Promise<void> {
  await dropSlot(feeder, name);
  const { rows } = await reader.session.query<{ system: string }>(
    'SELECT system_identifier::text AS system FROM pg_catalog.pg_control_system()',
  );
  const left = await feeder.session.query<{ slot_name: string; subscription: string }>(
    `SELECT slot_name, pg_catalog.substring(slot_name::text, '^pg_(\\d+)_sync_') AS subscription
     FROM pg_catalog.pg_replication_slots
     WHERE database = pg_catalog.current_database() AND NOT active
       AND slot_name ~ ('^pg_\\d+_sync_\\d+_' || $1 || '$')`,
    [rows[0]?.system],
  );
  for (const { slot_name, subscription } of left.rows) {
    if (await has(reader.session, 'pg_subscription', 'oid', subscription)) continue;
    await dropSlot(feeder, slot_name);
  }
  await work.checkpoint();
}

async function dropSlot({ session }: MoveSide, name: string): Promise<void> {
  for (;;) {
    const { rows } = await session.query<{ active_pid: number | null }>(
      'SELECT active_pid FROM pg_catalog.pg_replication_slots WHERE slot_name = $1',
      [name],
    );
    const [slot] = rows;
    if (slot === undefined) return;
    if (slot.active_pid !== null) {
      await session.query('SELECT pg_catalog.pg_terminate_backend($1, 1000)', [slot.active_pid]);
      continue;
    }
    try {
      await session.query('SELECT pg_catalog.pg_drop_replication_slot($1)', [name]);
      return;
    } catch (error) {
      // 55006: somebody has taken it in between. 42704: it is gone.
      if (!['55006', '42704'].includes((error as { code?: string }).code ?? '')) throw error;
    }
  }
}

/**
 * Without the filter's column in the replica identity, the application's own updates and deletes would fail from the
 * moment of the publication on. What there was is written down first, and brought back at the end.
 */
async function widenIdentities(work: MoveWork, side: MoveSide): Promise<void> {
  const { keyspace, tables } = work.context;
  const { session } = side;
  const { rows } = await session.query<{ name: string; identity: string }>(identitiesSql, [
    tables.map(({ schema }) => schema),
    tables.map(({ name }) => name),
    tables.map((table) => filterColumn(keyspace, table)),
  ]);
  const { id, journal } = work.row;
  for (const { name, identity } of rows) {
    await retryLocked(work, side, () =>
      withGeneration(session, id, journal.generation, async () => {
        await session.query(`SET LOCAL lock_timeout = ${work.limits.lockTimeoutMs}`);
        await session.query(
          `UPDATE shardline.move_record
           SET replica_identities = pg_catalog.jsonb_build_object($2::text, $3::text) || replica_identities
           WHERE move = $1`,
          [id, name, identity],
        );
        await session.query(`ALTER TABLE ${name} REPLICA IDENTITY FULL`);
      }),
    );
  }
}

/**
 * Brings the identities back that there were, unless another move feeds from here too: one that was left open after its switch
 * feeds its source. That one needs them as they are, and has seen nothing to write down; so it is told, and does it at its end.
 */
async function restoreIdentities(session: MoveSide['session'], move: string): Promise<void> {
  await session.query(LOCK_IDENTITIES);
  const { rowCount } = await session.query(handIdentitiesOnSql, [move]);
  if (rowCount === 1) return;
  const { rows } = await session.query<{ name: string; identity: string; exists: boolean }>(
    `SELECT key AS name, value AS identity, pg_catalog.to_regclass(key) IS NOT NULL AS exists
     FROM shardline.move_record, pg_catalog.jsonb_each_text(replica_identities) WHERE move = $1`,
    [move],
  );
  for (const { name, identity, exists } of rows) {
    if (exists) await session.query(`ALTER TABLE ${name} REPLICA IDENTITY ${identity}`);
  }
}

async function isAllBuiltIn(work: MoveWork, side: MoveSide): Promise<boolean> {
  const { tables } = work.context;
  const { rows } = await side.session.query<{ columns: number }>(customTypesSql, [
    tables.map(({ schema }) => schema),
    tables.map(({ name }) => name),
  ]);
  return rows[0]?.columns === 0;
}

async function has(
  session: MoveSide['session'],
  catalog: 'pg_roles' | 'pg_publication' | 'pg_subscription',
  column: 'rolname' | 'pubname' | 'oid',
  value: string,
): Promise<boolean> {
  const { rowCount } = await session.query(
    `SELECT 1 FROM ${quoteQualified('pg_catalog', catalog)} WHERE ${quoteIdentifier(column)} = $1`,
    [value],
  );
  return rowCount === 1;
}
