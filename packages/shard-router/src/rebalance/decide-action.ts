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
import { isEndState, isHeldIn, type MoveRole } from './move-state.js';
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
  /** Takes a reverse stream off that was made ready and will not be needed. */
  | { readonly kind: 'drop-reverse' }
  | { readonly kind: 'advance-sequences' }
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
  readonly hasAdvancedSequences: boolean;
  readonly isVerified: boolean;
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
  if (journal.state === 'aborting' && source.hasIdleInbound) return { kind: 'drop-reverse' };
  const command = nextStep(journal, { ...facts, source, destination });
  if (command.kind === 'advance') {
    return beforeAdvance(row, { ...facts, source, destination }, command) ?? command;
  }
  if (journal.state === 'reversing' && command.kind === 'wait') {
    return leftOutbound(source, destination) ?? command;
  }
  return command;
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
  if (command.to === 'fencing') {
    if (!facts.isVerified) return { kind: 'verify' };
    if (!facts.isReverseReady) return { kind: 'prepare-reverse' };
    if (facts.isSwitchHeld) return { kind: 'wait', for: 'release' };
  }
  if (command.to === 'fencing' || command.to === 'rollback_fencing') {
    // Last of all, since they go on: whoever is to own the slots must not hand out what was handed out before.
    return facts.hasAdvancedSequences ? undefined : { kind: 'advance-sequences' };
  }
  if (!isEndState(command.to)) return undefined;
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

function leftOutbound(source: StoredRecord, destination: StoredRecord): Chore | undefined {
  if (source.hasOutbound && !destination.hasInbound) {
    return { kind: 'close-outbound', into: 'destination' };
  }
  if (destination.hasOutbound && !source.hasInbound && !source.hasIdleInbound) {
    return { kind: 'close-outbound', into: 'source' };
  }
  return undefined;
}
