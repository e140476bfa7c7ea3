/**
 * A shard's record of a move, in the shard's own database.
 *
 * What may be done is decided by `shard-record.ts` alone: the row is locked, the decision asked for, the
 * work done and the row written in one transaction. So no effect is without its generation, and none of an older
 * generation is done at all.
 */

import { quoteInteger, quoteLiteral, ShardlineError } from '@shardline/core';
import { routerErrors } from '../errors.js';
import type { Queryable } from '../shard/queryable.js';
import { fillSql } from '../sql-template.js';
import { supersededError } from './move-errors.js';
import { BEGIN, inOneTrip, rollBack } from './one-trip.js';
import { applyEffect, type ShardEffect, type ShardRecord } from './shard-record.js';
import closeRecordSql from './sql/close-record.sql';
import loadRecordSql from './sql/load-record.sql';
import openRecordSql from './sql/open-record.sql';
import saveRecordSql from './sql/save-record.sql';

/** What a shard says of a move and of itself. */
export interface StoredRecord extends ShardRecord {
  /** Whether the other shard may be fed from here: publication, slot, role. */
  readonly hasOutbound: boolean;
  /** Whether a subscription stands here that brings nothing: it waits for its time, or has done its work. */
  readonly hasIdleInbound: boolean;
  /** Whether indexes were dropped for the copy that are still to be made again. */
  readonly hasDeferredIndexes: boolean;
  /** Whether the standing record says that a slot of the move is in transit. */
  readonly isInTransit: boolean;
  /** Epoch of the shard's standing record. */
  readonly recordEpoch: number;
}

/** What an effect writes beside the record, given the record as it will be: before it, in the same message. */
export type EffectWork = (record: StoredRecord) => Promise<readonly string[]> | readonly string[];

/** Reads the record; undefined if there is none. */
export async function loadRecord(
  client: Queryable,
  move: string,
): Promise<StoredRecord | undefined> {
  const statement = fillSql(loadRecordSql, { move: quoteLiteral(move), lock: '' });
  return (await client.query<StoredRecord>(statement)).rows[0];
}

/** Begins the record. @throws ShardlineError `MOVE_SUPERSEDED`. */
export async function openRecord(
  client: Queryable,
  move: {
    readonly id: string;
    readonly keyspace: string;
    readonly shard: string;
    readonly otherShard: string;
    readonly slots: readonly number[];
  },
  generation: number,
): Promise<void> {
  const { rowCount } = await client.query(openRecordSql, [
    move.id,
    move.keyspace,
    move.shard,
    move.otherShard,
    [...move.slots],
    generation,
  ]);
  if (rowCount !== 1) throw supersededError(move.id);
}

/** Ends the record. */
export async function closeRecord(
  client: Queryable,
  move: string,
  generation: number,
): Promise<void> {
  await client.query(closeRecordSql, [move, generation]);
}

/**
 * Does something to a shard in one transaction with its record.
 *
 * @param locks statements that wait for writers, and come before the record is read; undefined if the effect needs
 * none as the record is. If it does need them after all, it is refused.
 * @param work statements that bring the effect about.
 * @returns the record after it.
 * @throws ShardlineError `MOVE_SUPERSEDED`, `MOVE_STATE`; what PostgreSQL says.
 */
export async function runEffect(
  client: Queryable,
  move: string,
  effect: ShardEffect,
  generation: number,
  work: EffectWork,
  locks?: readonly string[],
): Promise<StoredRecord> {
  const id = quoteLiteral(move);
  try {
    const answers = await inOneTrip<StoredRecord>(client, [
      BEGIN,
      ...(locks ?? []),
      fillSql(loadRecordSql, { move: id, lock: 'FOR UPDATE OF r' }),
    ]);
    const known = answers.at(-1)?.rows[0];
    if (known === undefined) throw supersededError(move);
    const outcome = applyEffect(known, effect, generation, {
      // Without the locks nobody knows whether there are any.
      openWrites: locks === undefined ? 1 : 0,
    });
    if (outcome.outcome !== 'applied') {
      throw refusal(move, effect, outcome.outcome === 'refused' ? outcome.reason : 'open-writes');
    }
    const next: StoredRecord = { ...known, ...outcome.record };
    await inOneTrip(client, [...(await work(next)), saveStatement(id, next), 'COMMIT']);
    return next;
  } catch (error) {
    await rollBack(client);
    throw error;
  }
}

/**
 * Runs work in a transaction of the session that has checked, and raised, the generation.
 *
 * For what the reducers know nothing of: publications, roles, replica identities. It belongs to an effect on the
 * other shard, and is refused like it.
 */
export async function withGeneration<T>(
  client: Queryable,
  move: string,
  generation: number,
  work: () => Promise<T>,
): Promise<T> {
  try {
    await client.query(BEGIN);
    const { rowCount } = await client.query(
      'UPDATE shardline.move_record SET generation = $2 WHERE move = $1 AND generation <= $2',
      [move, generation],
    );
    if (rowCount !== 1) throw supersededError(move);
    const result = await work();
    await client.query('COMMIT');
    return result;
  } catch (error) {
    await rollBack(client);
    throw error;
  }
}

function saveStatement(move: string, record: StoredRecord): string {
  return fillSql(saveRecordSql, {
    move,
    generation: quoteInteger(record.generation),
    is_fenced: String(record.isFenced),
    has_inbound: String(record.hasInbound),
    has_foreign_rows: String(record.hasForeignRows),
    barrier_written: quoteInteger(record.barrierWritten),
  });
}

function refusal(
  move: string,
  effect: ShardEffect,
  reason: 'older-generation' | 'older-epoch' | 'is-owner' | 'has-inbound' | 'open-writes',
): ShardlineError {
  if (reason === 'older-generation' || reason === 'older-epoch') return supersededError(move);
  return new ShardlineError(
    routerErrors.MOVE_STATE,
    `The shard refused '${effect.kind}' of move '${move}' (${reason}).`,
    { details: { move, effect: effect.kind, reason } },
  );
}
