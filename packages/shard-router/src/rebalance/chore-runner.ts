/**
 * The chores around the protocol, done: `decide-action.ts` says which is due.
 *
 * What this process has done already it remembers, so that it is done once. None of it is needed after a crash: whoever
 * comes next does it again.
 */

import { replaceGuardFunction } from '../topology/ownership.js';
import type { Chore } from './decide-action.js';
import { buildIndexes } from './deferred-indexes.js';
import { gatherStatistics } from './gather-statistics.js';
import { blockedError, differsError } from './move-errors.js';
import type { MoveNote } from './move-notes.js';
import type { MoveRow } from './move-row.js';
import type { MoveSide, MoveWork } from './move-work.js';
import type { MoverOptions } from './mover-options.js';
import { preflightMove } from './preflight.js';
import type { RecordReader } from './record-reader.js';
import { closeRecord, openRecord, type StoredRecord } from './record-store.js';
import { rehearse } from './rehearsal.js';
import { advanceSequences } from './sequences.js';
import { prepareReverse, takeOff } from './steps/streams.js';
import { closeOutbound, prolongRoles } from './stream.js';
import { settleStream } from './stream-progress.js';
import { PROLONG_MS } from './stream-role.js';
import { setTransit, writeTransit } from './transit.js';
import { verifyMove } from './verify-rows.js';

/** How far the destination's sequences are set ahead of the source's, which go on until the switch. */
const SEQUENCE_MARGIN = 10_000;
/** For how long that margin is taken to last. A switch begins within it, or they are advanced again. */
const SEQUENCES_MS = 10_000;

/** What the runner is given beside the mover's options. */
export interface ChoreSurroundings {
  /** The journal's row, as of its newest generation. */
  readonly row: () => MoveRow;
  readonly work: () => Promise<MoveWork>;
  readonly records: RecordReader;
  readonly note: (note: MoveNote) => Promise<void>;
}

/** Does chores, and knows which are done. */
export class ChoreRunner {
  readonly #options: MoverOptions;
  readonly #move: ChoreSurroundings;
  #isPreflighted = false;
  #hasStatistics = false;
  #isVerified = false;
  #hasRehearsed = false;
  #prolongedAtMs = Number.NEGATIVE_INFINITY;
  #sequencesAtMs = Number.NEGATIVE_INFINITY;

  constructor(options: MoverOptions, move: ChoreSurroundings) {
    this.#options = options;
    this.#move = move;
  }

  get isPreflighted(): boolean {
    return this.#isPreflighted;
  }

  get hasStatistics(): boolean {
    return this.#hasStatistics;
  }

  get isVerified(): boolean {
    return this.#isVerified || !this.#options.limits.verify;
  }

  get hasAdvancedSequences(): boolean {
    return this.#options.clock.monotonicMs() - this.#sequencesAtMs < SEQUENCES_MS;
  }

  get hasProlongedRoles(): boolean {
    return this.#options.clock.monotonicMs() - this.#prolongedAtMs < PROLONG_MS;
  }

  get hasRehearsed(): boolean {
    return this.#hasRehearsed;
  }

  /** The sessions are to be others, which know nothing yet. */
  forgetRehearsal(): void {
    this.#hasRehearsed = false;
  }

  /** What was compared and sampled was another copy than the one that is made now. */
  forgetCopy(): void {
    this.#hasStatistics = false;
    this.#isVerified = false;
  }

  async run(chore: Chore): Promise<void> {
    switch (chore.kind) {
      case 'preflight':
        return this.#preflight();
      case 'open-records':
        return openRecords(await this.#move.work());
      case 'enter-transit':
      case 'leave-transit': {
        const isInTransit = chore.kind === 'enter-transit';
        return setTransit(this.#options.store, { row: this.#move.row() }, isInTransit);
      }
      case 'write-transit':
        return writeTransit(await this.#move.work(), chore.on, await this.#options.loadTopology());
      case 'prepare-reverse': {
        const { source } = this.#move.records.known;
        if (source?.hasIdleInbound) await takeOff(await this.#move.work(), 'source', source);
        return prepareReverse(await this.#move.work());
      }
      case 'drop-idle': {
        const known = this.#move.records.known[chore.on] as StoredRecord;
        return takeOff(await this.#move.work(), chore.on, known);
      }
      case 'advance-sequences':
        return this.#advanceSequences();
      case 'prolong-roles':
        await prolongRoles(await this.#move.work());
        this.#prolongedAtMs = this.#options.clock.monotonicMs();
        return;
      case 'build-indexes':
        return buildIndexes(await this.#move.work());
      case 'gather-statistics':
        await gatherStatistics(await this.#move.work());
        this.#hasStatistics = true;
        return;
      case 'rehearse':
        await rehearse(this.#options.store, await this.#move.work());
        this.#hasRehearsed = true;
        return;
      case 'verify':
        return this.#verify();
      case 'close-outbound':
        return closeOutbound(await this.#move.work(), chore.into);
      case 'tidy':
        return this.#tidy();
    }
  }

  async #preflight(): Promise<void> {
    const { context, peers, referenceTables } = this.#options;
    const findings = await preflightMove(context, { reverse: true, peers, referenceTables });
    const blockers = findings.filter(({ severity }) => severity === 'blocker');
    if (blockers.length > 0) throw blockedError(this.#move.row().id, blockers);
    this.#isPreflighted = true;
  }

  async #advanceSequences(): Promise<void> {
    const { context } = this.#options;
    const { source, destination } = context;
    const isBack = this.#move.row().journal.state === 'reversing';
    const way = isBack ? { ...context, source: destination, destination: source } : context;
    await advanceSequences(way, SEQUENCE_MARGIN);
    this.#sequencesAtMs = this.#options.clock.monotonicMs();
  }

  async #verify(): Promise<void> {
    const work = await this.#move.work();
    const { differences } = await verifyMove(this.#options.context, {
      signal: this.#options.signal,
      settle: () => settleStream(work),
      onChunk: work.checkpoint,
    });
    if (differences.length > 0) throw differsError(work.row.id, differences);
    this.#isVerified = true;
    await this.#move.note({ isVerified: true });
  }

  async #tidy(): Promise<void> {
    const { source, destination, row } = await this.#move.work();
    const { id, journal } = row;
    await Promise.all(
      [source, destination].map(({ session }) => closeRecord(session, id, journal.generation)),
    );
    await this.#options.store.tidied(row);
  }
}

async function openRecords(work: MoveWork): Promise<void> {
  const { source, destination, context, row } = work;
  const { id, keyspace, slots, journal } = row;
  const open = async (side: MoveSide, other: MoveSide) => {
    // Guards that an older version has made know nothing of slots in transit.
    for (const table of context.tables) {
      await replaceGuardFunction(side.session, context.keyspace, table);
    }
    const move = { id, keyspace, slots, shard: side.shard, otherShard: other.shard };
    await openRecord(side.session, move, journal.generation);
  };
  await Promise.all([open(source, destination), open(destination, source)]);
}
