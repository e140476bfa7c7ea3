/**
 * What a mover does next (pure).
 *
 * One command follows from the journal, from what the two shards say of themselves, and from how many routers have
 * yet to acknowledge the catalog's newest revision. There is no other memory, so a mover that died and one that
 * takes over decide the same, and running a step twice does no harm.
 *
 * A thing counts as done on a shard only if the shard has seen the journal's *present* generation: "it was
 * done before" could still be undone by a command of an older one that is on its way. The order of the steps is the
 * protocol; `model/` breaks each rule of it in turn and shows what is lost.
 */

import type { MoveJournal } from './journal.js';
import { type MoveRole, type MoveState, mayFollow, withdrawalFrom } from './move-state.js';
import type { ShardEffect, ShardRecord } from './shard-record.js';

/** What is known of the world when a step is decided. */
export interface MoveFacts {
  readonly source: ShardRecord;
  readonly destination: ShardRecord;
  /**
   * Routers whose lease the catalog takes to run and that have not acknowledged its newest revision. To have
   * acknowledged a hold is to have nothing in flight; any other revision, nothing that was routed before it.
   */
  readonly unacknowledged: number;
  /** Whether the rows that were there at the beginning are all on the destination. */
  readonly isCopied: boolean;
  /** Whether the stream is so close behind that the pause will be short. */
  readonly isCaughtUp: boolean;
  /** What an operator, the end of the rollback window, or a pause that takes too long asks for. */
  readonly wish?: 'abort' | 'roll-back' | 'finish' | 'withdraw' | undefined;
}

/** What to do. */
export type MoveCommand =
  | { readonly kind: 'effect'; readonly on: MoveRole; readonly effect: ShardEffect }
  | { readonly kind: 'advance'; readonly to: MoveState }
  | {
      readonly kind: 'wait';
      readonly for: 'copy' | 'stream' | 'routers' | 'barrier' | 'wish';
    }
  | { readonly kind: 'nothing' };

const COPY: ShardEffect = { kind: 'create-inbound', copies: true };
const REVERSE: ShardEffect = { kind: 'create-inbound', copies: false };
const DROP: ShardEffect = { kind: 'drop-inbound' };
const FENCE: ShardEffect = { kind: 'fence' };
const UNFENCE: ShardEffect = { kind: 'unfence' };
const CLEAN: ShardEffect = { kind: 'clean' };

/** Decides the one next command. */
export function nextStep(journal: MoveJournal, facts: MoveFacts): MoveCommand {
  const way = wayOut(journal.state, facts.wish);
  if (way !== undefined) return advanceTo(way);
  switch (journal.state) {
    case 'planned':
      return advanceTo('preflight');
    case 'preflight':
      return advanceTo('prepared');
    case 'prepared':
      return advanceTo('copying');
    case 'copying':
      return (
        needsCopy(journal, facts) ?? (facts.isCopied ? advanceTo('catching_up') : waitFor('copy'))
      );
    case 'catching_up':
      return (
        needsCopy(journal, facts) ??
        (facts.isCopied && facts.isCaughtUp ? advanceTo('fencing') : waitFor('stream'))
      );
    case 'fencing':
      return fencing(journal, facts, 'source') ?? advanceTo('drained');
    case 'drained':
      return turning(journal, facts) ?? advanceTo('committed');
    case 'withdrawing':
      return withdrawing(journal, facts) ?? advanceTo('catching_up');
    case 'committed':
      return switching(journal, facts, 'destination') ?? advanceTo('reversing');
    case 'reversing':
      if (facts.wish === 'roll-back') return advanceTo('rollback_fencing');
      return facts.wish === 'finish' ? advanceTo('cleaning') : waitFor('wish');
    case 'cleaning':
      return cleaning(journal, facts, 'source') ?? advanceTo('done');
    case 'aborting':
      return aborting(journal, facts) ?? advanceTo('aborted');
    case 'rollback_fencing':
      return fencing(journal, facts, 'destination') ?? advanceTo('rollback_drained');
    case 'rollback_drained':
      return first(lacks(journal, facts, 'source', DROP)) ?? advanceTo('rollback_committed');
    case 'rollback_withdrawing':
      return first(lacks(journal, facts, 'destination', UNFENCE)) ?? advanceTo('reversing');
    case 'rollback_committed':
      return switching(journal, facts, 'source') ?? advanceTo('rollback_cleaning');
    case 'rollback_cleaning':
      return cleaning(journal, facts, 'destination') ?? advanceTo('rolled_back');
    case 'done':
    case 'aborted':
    case 'rolled_back':
      return { kind: 'nothing' };
  }
}

/** Where a wish leads to at once. Nobody is kept waiting for an abort: the callers are let go first. */
function wayOut(state: MoveState, wish: MoveFacts['wish']): MoveState | undefined {
  if (wish === 'abort' && mayFollow(state, 'aborting')) return 'aborting';
  if (wish !== 'abort' && wish !== 'withdraw') return undefined;
  return withdrawalFrom(state);
}

/**
 * The way back from a switch that was not made. The reverse stream goes before the forward one can run again: not
 * both at once, as ever. A forward stream that was dropped already begins anew with a copy.
 */
function withdrawing(journal: MoveJournal, facts: MoveFacts): MoveCommand | undefined {
  return first(lacks(journal, facts, 'source', UNFENCE), lacks(journal, facts, 'source', DROP));
}

/** The stream may have been lost with a failover; then the copy begins anew, it is never taken up again. */
function needsCopy(journal: MoveJournal, facts: MoveFacts): MoveCommand | undefined {
  if (facts.destination.hasInbound) return undefined;
  return lacks(journal, facts, 'destination', COPY);
}

/**
 * Nobody may still be served unverified by the shard that is to lose the slots when its fence is up. The barrier is behind
 * the fence, in its transaction, so that all acknowledged writes are before it; it is the fence's own generation that has
 * to arrive, since after a takeover another one stands.
 */
function fencing(journal: MoveJournal, facts: MoveFacts, loser: MoveRole): MoveCommand | undefined {
  const step = lacks(journal, facts, loser, FENCE);
  if (step !== undefined) return facts.unacknowledged > 0 ? waitFor('routers') : step;
  return facts[other(loser)].barrierSeen === journal.generation ? undefined : waitFor('barrier');
}

/**
 * The streams are turned around: never both at once, since without an origin filter (PostgreSQL 15) what one
 * brings the other would carry back. The reverse one is there before the destination takes its first write.
 */
function turning(journal: MoveJournal, facts: MoveFacts): MoveCommand | undefined {
  return first(
    lacks(journal, facts, 'destination', DROP),
    lacks(journal, facts, 'source', REVERSE),
  );
}

/** The loser knows that it has lost the slots before the winner takes the first write. */
function switching(
  journal: MoveJournal,
  facts: MoveFacts,
  winner: MoveRole,
): MoveCommand | undefined {
  const { epoch } = journal;
  return first(
    lacks(journal, facts, other(winner), { kind: 'relinquish', epoch }),
    lacks(journal, facts, winner, { kind: 'open', epoch }),
  );
}

/**
 * No stream carries the deletions to the owner, and no router can still be reading what is deleted. On the owner's side the
 * stream may have been left standing idle since the switch; where there is none it is told all the same, since nothing older
 * may come late.
 */
function cleaning(
  journal: MoveJournal,
  facts: MoveFacts,
  loser: MoveRole,
): MoveCommand | undefined {
  const step = first(lacks(journal, facts, loser, DROP), lacks(journal, facts, other(loser), DROP));
  if (step !== undefined) return step;
  if (facts.unacknowledged > 0) return waitFor('routers');
  return lacks(journal, facts, loser, CLEAN);
}

function aborting(journal: MoveJournal, facts: MoveFacts): MoveCommand | undefined {
  return first(
    lacks(journal, facts, 'source', UNFENCE),
    lacks(journal, facts, 'source', DROP),
    lacks(journal, facts, 'destination', DROP),
    lacks(journal, facts, 'destination', CLEAN),
  );
}

/** The command that brings an effect about, or undefined if it stands at the journal's generation. */
function lacks(
  journal: MoveJournal,
  facts: MoveFacts,
  on: MoveRole,
  effect: ShardEffect,
): MoveCommand | undefined {
  const record = facts[on];
  const isDone = record.generation === journal.generation && stands(record, effect, journal);
  return isDone ? undefined : { kind: 'effect', on, effect };
}

function stands(record: ShardRecord, effect: ShardEffect, journal: MoveJournal): boolean {
  switch (effect.kind) {
    case 'create-inbound':
      return record.hasInbound;
    case 'drop-inbound':
      return !record.hasInbound;
    case 'fence':
      return record.isFenced && record.barrierWritten === journal.generation;
    case 'unfence':
      return !record.isFenced;
    case 'relinquish':
      return !record.isOwner && record.epoch === effect.epoch;
    case 'open':
      return record.isOwner && record.epoch === effect.epoch;
    case 'clean':
      return !record.hasForeignRows;
  }
}

function first(...steps: readonly (MoveCommand | undefined)[]): MoveCommand | undefined {
  return steps.find((step) => step !== undefined);
}

function other(role: MoveRole): MoveRole {
  return role === 'source' ? 'destination' : 'source';
}

function advanceTo(to: MoveState): MoveCommand {
  return { kind: 'advance', to };
}

function waitFor(what: (MoveCommand & { kind: 'wait' })['for']): MoveCommand {
  return { kind: 'wait', for: what };
}
