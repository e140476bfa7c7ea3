import { quoteIdentifier } from '@shardline/core';
import { cleanRows } from '../clean-rows.js';
import { deferIndexes } from '../deferred-indexes.js';
import { supersededError } from '../move-errors.js';
import { isHeldIn, type MoveRole } from '../move-state.js';
import { type MoveWork, otherRole } from '../move-work.js';
import { loadRecord, runEffect, type StoredRecord, withGeneration } from '../record-store.js';
import type { ShardEffect } from '../shard-record.js';
import {
  closeOutbound,
  createSubscription,
  dropSubscription,
  enableSubscription,
  isSlotAlive,
  mayStreamsOverlap,
  openOutbound,
  skipToNow,
} from '../stream.js';
import { streamName } from '../stream-names.js';
import { nextStreamStep, type StreamFacts, type StreamStanding } from '../stream-step.js';
import type { Step } from './step.js';

type CreateInbound = ShardEffect & { kind: 'create-inbound' };

const NO_STREAM: StreamStanding = { hasInbound: false, hasIdleInbound: false };

/** Begins a stream: of everything, with the rows that are there first, or of what comes from now on. */
export const createInbound: Step<CreateInbound> = {
  kind: 'create-inbound',
  precondition: 'a shard that owns the slots is never copied onto',
  undo: 'drop-inbound',
  run: async (work, on, effect, told) => {
    let isEmptied = false;
    // A mover that found a stream lost says that there is none; what is left of it has to go first.
    for (let known = effect.copies ? undefined : told; ; known = undefined) {
      const facts = await streamFacts(work, on, effect, { known, isEmptied });
      switch (nextStreamStep(effect, facts)) {
        case 'take-off':
          await takeOff(work, on, facts.here);
          break;
        case 'take-off-back':
          await takeOff(work, otherRole(on), facts.back);
          break;
        case 'empty':
          await empty(work, on);
          isEmptied = true;
          break;
        case 'keep':
          return runEffect(
            work[on].session,
            work.row.id,
            effect,
            work.row.journal.generation,
            () => [],
          );
        case 'wake':
          return wake(work, on, effect);
        case 'create':
          return create(work, on, effect);
      }
    }
  },
  describe: ({ move, tables, source, destination }, on) => {
    const name = quoteIdentifier(streamName(move, on));
    const feeder = on === 'destination' ? source : destination;
    return {
      description:
        on === 'destination'
          ? `copy the rows of the moved slots from ${feeder} and keep them up to date`
          : `feed back what is written on ${feeder} from now on`,
      sql: [
        `CREATE ROLE ${name} LOGIN REPLICATION -- on ${feeder}; password left out`,
        `CREATE PUBLICATION ${name} FOR TABLE ${tables.join(', ')} -- on ${feeder}; rows of the moved slots`,
        `SELECT pg_create_logical_replication_slot('${streamName(move, on)}', 'pgoutput') -- on ${feeder}`,
        `CREATE SUBSCRIPTION ${name} PUBLICATION ${name} -- connection left out`,
      ],
      locks: undefined,
    };
  },
};

export const dropInbound: Step<ShardEffect & { kind: 'drop-inbound' }> = {
  kind: 'drop-inbound',
  precondition:
    'none: it is sent even where there is nothing to drop, so that no late stream can begin',
  undo: undefined,
  run: (work, on, effect, known) => {
    const { session } = work[on];
    const { id, journal } = work.row;
    return runEffect(session, id, effect, journal.generation, () => {
      if (!known.hasInbound && !known.hasIdleInbound) return [];
      // While callers wait it is only written down as idle, and taken off when they are let go: behind the fence it has
      // nothing to bring, and what the other stream brings here it leaves out.
      const isIdle = !known.hasInbound || mayStreamsOverlap(work);
      if (isHeldIn(journal.state) && isIdle) return [idle(id, true)];
      return [...dropSubscription(id, on), idle(id, false)];
    });
  },
  describe: ({ move }, on) => ({
    description: 'end the stream',
    sql: dropSubscription(move, on),
    locks: undefined,
  }),
};

/**
 * Makes the reverse stream ready before the pause. Where streams may overlap it runs already and has nothing to bring, since
 * it leaves out what the forward one has brought and nobody else may write there: that it can run is proven before anybody
 * waits, and no server has to begin a worker while somebody does. Before PostgreSQL 16 it is switched on in the pause.
 * Until the record says `hasInbound` it counts as idle either way.
 */
export async function prepareReverse(work: MoveWork): Promise<void> {
  const conninfo = await openOutbound(work, 'source');
  const statement = await createSubscription(work, 'source', conninfo, {
    copies: false,
    isEnabled: mayStreamsOverlap(work),
  });
  const { session } = work.source;
  const { id, journal } = work.row;
  await withGeneration(session, id, journal.generation, async () => {
    await session.query(statement);
    await session.query(idle(id, true));
  });
}

/** Whether the reverse stream has been made ready and can still be used. */
export async function isReverseReady(work: MoveWork, source: StoredRecord): Promise<boolean> {
  return (
    (source.hasIdleInbound || source.hasInbound) &&
    (await isSlotAlive(work.destination, streamName(work.row.id, 'source')))
  );
}

/** Takes a stream off that cannot be used any more, with everything that fed it. */
export async function takeOff(
  work: MoveWork,
  on: MoveRole,
  known: Pick<StoredRecord, 'hasInbound' | 'hasIdleInbound'>,
): Promise<void> {
  const { session } = work[on];
  const { id, journal } = work.row;
  await withGeneration(session, id, journal.generation, async () => {
    if (known.hasInbound || known.hasIdleInbound) {
      for (const statement of dropSubscription(id, on)) await session.query(statement);
    }
    await session.query(
      'UPDATE shardline.move_record SET has_inbound = false, has_idle_inbound = false WHERE move = $1',
      [id],
    );
  });
  await closeOutbound(work, on);
}

/** Switches on what stands ready. */
async function wake(work: MoveWork, on: MoveRole, effect: CreateInbound): Promise<StoredRecord> {
  const { session } = work[on];
  const { id, journal } = work.row;
  const name = streamName(id, on);
  if (!effect.copies && !mayStreamsOverlap(work)) await skipToNow(work[otherRole(on)], name);
  return runEffect(session, id, effect, journal.generation, () => [
    enableSubscription(name),
    idle(id, false),
  ]);
}

async function create(work: MoveWork, on: MoveRole, effect: CreateInbound): Promise<StoredRecord> {
  if (effect.copies) await deferIndexes(work);
  const conninfo = await openOutbound(work, on);
  const statement = await createSubscription(work, on, conninfo, {
    copies: effect.copies,
    isEnabled: true,
  });
  const { id, journal } = work.row;
  return runEffect(work[on].session, id, effect, journal.generation, () => [statement]);
}

/** As the shards say now. The way back is asked for only before a copy: callers may be waiting for any other stream. */
async function streamFacts(
  work: MoveWork,
  on: MoveRole,
  { copies }: CreateInbound,
  so: { readonly known: StoredRecord | undefined; readonly isEmptied: boolean },
): Promise<StreamFacts> {
  const { id } = work.row;
  const other = work[otherRole(on)].session;
  const [here, back, isFed] = await Promise.all([
    so.known ?? loadRecord(work[on].session, id),
    copies ? loadRecord(other, id) : NO_STREAM,
    isSlotAlive(work[otherRole(on)], streamName(id, on)),
  ]);
  if (here === undefined || back === undefined) throw supersededError(id);
  return { here: { ...here, isFed, mayHaveRows: here.hasForeignRows && !so.isEmptied }, back };
}

async function empty(work: MoveWork, on: MoveRole): Promise<void> {
  const { session } = work[on];
  const { id, journal } = work.row;
  await withGeneration(session, id, journal.generation, async () => {
    await session.query('DELETE FROM shardline.move_barrier WHERE move = $1', [id]);
  });
  await cleanRows(session, {
    move: id,
    generation: journal.generation,
    keyspace: work.context.keyspace,
    tables: work.context.tables,
    slots: work.row.slots,
    batchRows: work.limits.cleanBatchRows,
    pause: work.checkpoint,
  });
}

function idle(move: string, isIdle: boolean): string {
  // The id is of letters and digits only.
  return `UPDATE shardline.move_record SET has_idle_inbound = ${isIdle} WHERE move = '${move}'`;
}
