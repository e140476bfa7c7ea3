/**
 * The journal of a move: one record, changed by compare-and-set (pure).
 *
 * Always holds: whoever changes the record names the generation that he read and the token under which he holds the
 * move; if either is not the record's any more, nothing changes. Every change takes a *new generation*, from
 * one sequence for all moves, and so does every takeover. All that is done to a shard carries the generation
 * it was decided at, and a shard refuses what is older than what it has seen (`shard-record.ts`). So a mover that
 * was frozen, or a command of his that is still on its way, can do nothing once anyone has gone on: the
 * compare-and-set alone would protect the record and leave the shards open.
 *
 * The mover keeps nothing in memory that matters. What comes next follows from this record, from what the shards say
 * of themselves and from what routers have acknowledged (`next-step.ts`); a crash is no case of its own.
 */

import {
  type CatalogChange,
  catalogChangeOf,
  isEndState,
  type MoveState,
  mayFollow,
} from './move-state.js';

/** The record of a move, as far as what comes next depends on it. */
export interface MoveJournal {
  readonly source: string;
  readonly destination: string;
  readonly state: MoveState;
  /** Version of this record, newer than that of any move before. */
  readonly generation: number;
  /** Token of the mover that holds it. */
  readonly holder: string;
  /** Epoch of the newest ownership of the slots: the one that the owner shall have. */
  readonly epoch: number;
}

/** What a mover says to be allowed to change the record. */
export interface JournalClaim {
  readonly generation: number;
  readonly holder: string;
}

/** The outcome of a change. */
export type JournalChange =
  | {
      readonly outcome: 'changed';
      readonly journal: MoveJournal;
      /** To be done to the catalog in the same transaction. */
      readonly catalog: CatalogChange | undefined;
    }
  | {
      readonly outcome: 'refused';
      readonly reason: 'superseded' | 'not-allowed' | 'generation-not-new' | 'epoch-not-new';
    };

/** Begins the record of a move. */
export function openJournal(
  move: { readonly source: string; readonly destination: string; readonly epoch: number },
  claim: JournalClaim,
): MoveJournal {
  return { ...move, ...claim, state: 'planned' };
}

/**
 * Takes a move from one state to the next.
 *
 * @param generation a new one from the sequence, which becomes the record's.
 * @param switchEpoch the catalog's next epoch, which the slots get if they are switched: other moves raise it too.
 */
export function advance(
  journal: MoveJournal,
  claim: JournalClaim,
  to: MoveState,
  generation: number,
  switchEpoch: number = journal.epoch + 1,
): JournalChange {
  const refusal = refusalOf(journal, claim, generation);
  if (refusal !== undefined) return refusal;
  if (!mayFollow(journal.state, to)) return { outcome: 'refused', reason: 'not-allowed' };
  const catalog = catalogChangeOf(to);
  if (catalog === 'switch' && switchEpoch <= journal.epoch) {
    return { outcome: 'refused', reason: 'epoch-not-new' };
  }
  const epoch = catalog === 'switch' ? switchEpoch : journal.epoch;
  return { outcome: 'changed', journal: { ...journal, state: to, generation, epoch }, catalog };
}

/** Hands a move to another holder, whatever the one before may still believe. */
export function takeOver(
  journal: MoveJournal,
  read: { readonly generation: number },
  holder: string,
  generation: number,
): JournalChange {
  const refusal = refusalOf(journal, { ...read, holder: journal.holder }, generation);
  if (refusal !== undefined) return refusal;
  if (isEndState(journal.state)) return { outcome: 'refused', reason: 'not-allowed' };
  return { outcome: 'changed', journal: { ...journal, holder, generation }, catalog: undefined };
}

function refusalOf(
  journal: MoveJournal,
  claim: JournalClaim,
  generation: number,
): (JournalChange & { outcome: 'refused' }) | undefined {
  if (claim.generation !== journal.generation || claim.holder !== journal.holder) {
    return { outcome: 'refused', reason: 'superseded' };
  }
  if (generation <= journal.generation) return { outcome: 'refused', reason: 'generation-not-new' };
  return undefined;
}
