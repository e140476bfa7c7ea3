/**
 * What is done next at a move on real servers (pure): a step of the protocol, or a chore around it.
 *
 * The protocol (`next-step.ts`) speaks of streams, fences and owners. Around it stand things that no promise rests on
 * but that have to be done before the next state is entered: records opened and closed, the topology told of the
 * transit, the reverse stream made ready before anybody waits for it, what fed a stream that has ended taken off. Each
 * chore follows, like the steps, from what the journal and the shards say, so a crash is no case of its own here
 * either. None of them is due while callers are held back.
 */

import type { MoveRow } from './move-row.js';
import { isEndState, isHeldIn, type MoveRole, type MoveState } from './move-state.js';
import { type MoveCommand, type MoveFacts, nextStep } from './next-step.js';
import type { StoredRecord } from './record-store.js';

/** Work around the protocol. */
export type Chore =
  | { readonly kind: 'preflight' }
  | { readonly kind: 'open-records' }
  | { readonly kind: 'enter-transit' }
  | { readonly kind: 'leave-transit' }
  /** Brings a shard's standing record to what the topology says of the transit. */
  | { readonly kind: 'write-transit'; readonly on: MoveRole }
  | { readonly kind: 'prepare-reverse' }
  /** Takes a stream off that stands and does not run: one made ready and not needed, or one that has done its work. */
  | { readonly kind: 'drop-idle'; readonly on: MoveRole }
  | { readonly kind: 'advance-sequences' }
  /** Does what is done while callers wait once before, and takes it back. */
  | { readonly kind: 'rehearse' }
  /** Makes the indexes that the copy did without. */
  | { readonly kind: 'build-indexes' }
  /** Lets the destination's planner know what was copied. */
  | { readonly kind: 'gather-statistics' }
  | { readonly kind: 'prolong-roles' }
  | { readonly kind: 'verify' }
  /** Takes off what fed a shard, on the other one. */
  | { readonly kind: 'close-outbound'; readonly into: MoveRole }
  | { readonly kind: 'tidy' };

/** What is done next. */
export type MoveAction = MoveCommand | Chore | { readonly kind: 'wait'; readonly for: 'release' };

/** What is known when it is decided. */
export interface ActionFacts extends Omit<MoveFacts, 'source' | 'destination' | 'wish'> {
  readonly source: StoredRecord | undefined;
  readonly destination: StoredRecord | undefined;
  /** Whether preflight has found nothing since this process began. */
  readonly isPreflighted: boolean;
  readonly isReverseReady: boolean;
  /** Whether the roles by which the streams read have been given another lifetime of late. */
  readonly hasProlongedRoles: boolean;
  readonly hasAdvancedSequences: boolean;
  readonly hasRehearsed: boolean;
  readonly hasStatistics: boolean;
  readonly isVerified: boolean;
  /** Whether others suffer, so that nothing new is to be copied for now. */
  readonly isHeldBack: boolean;
  /** Whether an operator holds the switch back, or one that was withdrawn is not to be tried again yet. */
  readonly isSwitchHeld: boolean;
  readonly wish: MoveFacts['wish'];
}

/** Decides the one next action. */
export function decideAction(row: MoveRow, facts: ActionFacts): MoveAction {
  const { journal } = row;
  const { source, destination } = facts;
  if (isEndState(journal.state)) return row.isTidied ? { kind: 'nothing' } : { kind: 'tidy' };
  if (source === undefined || destination === undefined) return withoutRecords(row, facts);
  const transit = transitChore(row, source, destination);
  if (transit !== undefined && !isHeldIn(journal.state)) return transit;
  const idle = leftIdle(journal.state, source, destination);
  if (idle !== undefined) return { kind: 'drop-idle', on: idle };
  const hasRoles = source.hasOutbound || destination.hasOutbound;
  if (hasRoles && !facts.hasProlongedRoles && !isHeldIn(journal.state)) {
    return { kind: 'prolong-roles' };
  }
  const command = nextStep(journal, { ...facts, source, destination });
  if (command.kind === 'advance') {
    return beforeAdvance(row, { ...facts, source, destination }, command) ?? command;
  }
  // A COPY that has begun cannot be slowed down, so it is asked before.
  if (facts.isHeldBack && isCopy(command)) return { kind: 'wait', for: 'copy' };
  if (journal.state === 'reversing' && command.kind === 'wait') {
    return leftOutbound(source, destination) ?? command;
  }
  return command;
}

function isCopy(command: MoveCommand): boolean {
  if (command.kind !== 'effect' || command.effect.kind !== 'create-inbound') return false;
  return command.effect.copies;
}

/** Before there are records nothing is on the shards. Whatever comes later needs them, giving up included. */
function withoutRecords(row: MoveRow, facts: ActionFacts): MoveAction {
  const { state } = row.journal;
  if (facts.wish === 'abort' && state !== 'aborting') return { kind: 'advance', to: 'aborting' };
  if (state === 'planned') return { kind: 'advance', to: 'preflight' };
  if (state === 'preflight') {
    return facts.isPreflighted ? { kind: 'advance', to: 'prepared' } : { kind: 'preflight' };
  }
  return { kind: 'open-records' };
}

function beforeAdvance(
  row: MoveRow,
  facts: ActionFacts & { source: StoredRecord; destination: StoredRecord },
  command: MoveCommand & { kind: 'advance' },
): MoveAction | undefined {
  const { source, destination } = facts;
  if (command.to === 'copying') {
    return row.isInTransit ? undefined : { kind: 'enter-transit' };
  }
  // A copy that is made afresh, in `catching_up`, has done without them too.
  const mustHaveIndexes = command.to === 'fencing' || row.journal.state === 'copying';
  if (mustHaveIndexes && destination.hasDeferredIndexes) return { kind: 'build-indexes' };
  if (command.to === 'fencing') {
    if (!facts.hasStatistics) return { kind: 'gather-statistics' };
    if (!facts.isVerified) return { kind: 'verify' };
    if (!facts.isReverseReady) return { kind: 'prepare-reverse' };
    if (facts.isSwitchHeld) return { kind: 'wait', for: 'release' };
  }
  if (command.to === 'fencing' || command.to === 'rollback_fencing') {
    if (!facts.hasRehearsed) return { kind: 'rehearse' };
    // Last of all, since they go on: whoever is to own the slots must not hand out what was handed out before.
    return facts.hasAdvancedSequences ? undefined : { kind: 'advance-sequences' };
  }
  if (!isEndState(command.to)) return undefined;
  if (destination.hasDeferredIndexes) return { kind: 'build-indexes' };
  const outbound = leftOutbound(source, destination);
  if (outbound !== undefined) return outbound;
  return row.isInTransit ? { kind: 'leave-transit' } : undefined;
}

/** What the topology says of the transit, the standing records say too. */
function transitChore(
  row: MoveRow,
  source: StoredRecord,
  destination: StoredRecord,
): Chore | undefined {
  for (const [on, record] of [
    ['source', source],
    ['destination', destination],
  ] as const) {
    if (record.isInTransit !== row.isInTransit) return { kind: 'write-transit', on };
  }
  return undefined;
}

/** Streams that have done their work, or were made ready for nothing: nobody waits any more, so now they are taken off. */
export function leftIdle(
  state: MoveState,
  source: Pick<StoredRecord, 'hasIdleInbound'>,
  destination: Pick<StoredRecord, 'hasIdleInbound'>,
): MoveRole | undefined {
  if (state === 'reversing' && destination.hasIdleInbound) return 'destination';
  const isGoingBack = state === 'aborting' || state === 'rollback_cleaning';
  return isGoingBack && source.hasIdleInbound ? 'source' : undefined;
}

function leftOutbound(source: StoredRecord, destination: StoredRecord): Chore | undefined {
  if (source.hasOutbound && !destination.hasInbound && !destination.hasIdleInbound) {
    return { kind: 'close-outbound', into: 'destination' };
  }
  if (destination.hasOutbound && !source.hasInbound && !source.hasIdleInbound) {
    return { kind: 'close-outbound', into: 'source' };
  }
  return undefined;
}
