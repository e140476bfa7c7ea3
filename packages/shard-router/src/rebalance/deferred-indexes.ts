/**
 * Indexes that are made after the copy, since one index made of many rows costs a fraction of many rows brought into it.
 *
 * It is done on a shard that owns no slot of the keyspace, and there alone: nobody reads there yet. What identifies rows
 * stays, since changes that come with the stream find their rows by it. A definition is written into the shard's record in
 * the transaction that drops the index, and taken out in the one that makes it again, one by one; so whoever takes a move
 * over, or gives it up, knows which are still to be made, and a move is not over before they are.
 */

import { quoteLiteral } from '@shardline/core';
import type { MoveSide, MoveWork } from './move-work.js';
import { withGeneration } from './record-store.js';
import { retryLocked } from './retry-locked.js';
import deferrableIndexesSql from './sql/deferrable-indexes.sql';

/** Longest time for one index. */
const BUILD_MS = 12 * 3_600_000;

interface Definition {
  readonly name: string;
  readonly statement: string;
}

/** Drops what the destination can do without while rows are copied there. Safe to repeat. */
export async function deferIndexes(work: MoveWork): Promise<void> {
  const { destination: side, row } = work;
  if (await ownsSlots(work, side)) return;
  const { tables } = work.context;
  const { session } = side;
  await retryLocked(work, side, () =>
    withGeneration(session, row.id, row.journal.generation, async () => {
      await session.query(`SET LOCAL lock_timeout = ${Math.trunc(work.limits.lockTimeoutMs)}`);
      // So that every name in a definition has its schema.
      await session.query(`SET LOCAL search_path = ''`);
      const { rows } = await session.query<Definition>(deferrableIndexesSql, [
        tables.map(({ schema }) => schema),
        tables.map(({ name }) => name),
      ]);
      for (const { name, statement } of rows) {
        await session.query(
          `UPDATE shardline.move_record
           SET deferred_indexes = deferred_indexes || pg_catalog.jsonb_build_object($2::text, $3::text)
           WHERE move = $1`,
          [row.id, name, statement],
        );
        await session.query(`DROP INDEX ${name}`);
      }
    }),
  );
}

/** Makes them again, one after the other. The stream waits for it, and writers on the source do not. */
export async function buildIndexes(work: MoveWork): Promise<void> {
  const { destination: side, row } = work;
  const { session } = side;
  const { rows } = await session.query<Definition>(
    `SELECT key AS name, value AS statement
     FROM shardline.move_record, pg_catalog.jsonb_each_text(deferred_indexes) WHERE move = $1 ORDER BY 1`,
    [row.id],
  );
  for (const { name, statement } of rows) {
    await retryLocked(work, side, () =>
      withGeneration(session, row.id, row.journal.generation, async () => {
        await session.query(`SET LOCAL lock_timeout = ${Math.trunc(work.limits.lockTimeoutMs)}`);
        await session.query(
          'UPDATE shardline.move_record SET deferred_indexes = deferred_indexes - $2::text WHERE move = $1',
          [row.id, name],
        );
        if (await isThere(side, name)) return;
        await session.query(statement, [], BUILD_MS);
      }),
    );
    await work.checkpoint();
  }
}

/** Somebody may have made it by hand. */
async function isThere({ session }: MoveSide, name: string): Promise<boolean> {
  const { rows } = await session.query<{ is_there: boolean }>(
    `SELECT pg_catalog.to_regclass(${quoteLiteral(name)}) IS NOT NULL AS is_there`,
  );
  return rows[0]?.is_there === true;
}

async function ownsSlots({ row }: MoveWork, { session }: MoveSide): Promise<boolean> {
  const { rowCount } = await session.query(
    `SELECT 1 FROM shardline.slot_ownership
     WHERE keyspace = $1 AND (is_owned OR is_fenced) LIMIT 1`,
    [row.keyspace],
  );
  return rowCount === 1;
}
