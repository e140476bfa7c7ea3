/**
 * Rules broken on purpose. The model must catch each, or the model proves nothing.
 *
 * Where a fault is stopped by two rules, neither mutant of one alone is caught, and that is as it should be: the
 * *pair* must be. Those that are harmless alone are listed too, and tested to be, so that this page stays
 * true when a rule changes.
 *
 * The bounds are part of a mutant: some need a second move, a second write, or a rollback to do harm.
 */

import { renewedLease } from '../../topology/lease.js';
import { leftIdle } from '../decide-action.js';
import { nextStep } from '../next-step.js';
import { routeCall } from '../router-lease.js';
import { applyEffect } from '../shard-record.js';
import {
  acknowledgesAtOnce,
  barriersAlone,
  barrierWithoutFence,
  bothStreamsAtOnce,
  cleanAtAnyGeneration,
  cleaningKeepsOwnersStream,
  effectOn,
  emptiesUnderStream,
  fenceWithoutLock,
  ignoringGeneration,
  isOwnerNow,
  keepsEpoch,
  keepsGeneration,
  misled,
  nothingToUndoIsSkipped,
  openAtAnyGeneration,
  openBeforeRelinquish,
  positionBeforeFence,
  relinquishAtAnyGeneration,
  reverseAfterOpening,
  takesUpLostStream,
  UNLOCKED_FENCE,
  withdrawingKeepsReverse,
  withoutGrace,
  withoutLocalCheck,
  withoutRecordOnceDone,
  withoutSince,
} from './broken-rules.js';
import type { CutOverRules } from './rules.js';
import { RULES } from './rules.js';
import type { CutOverBounds } from './state.js';

/** A broken rule, and how much must happen before it does harm. */
export interface Mutant {
  readonly name: string;
  readonly broken: Partial<CutOverRules>;
  readonly bounds: CutOverBounds;
  /** What the model is to say. */
  readonly caught: RegExp | 'harmless alone';
}

const LOST = /a write is lost/;
const STALE = /a read showed/;
const TWO = /two shards/;
const LEFT = /the move is over/;
const LOST_OR_LEFT = /a write is lost|the move is over/;
const STUCK = /no end can be reached/;

const FOREIGN_ONLY: CutOverBounds = {
  routers: 0,
  writes: 0,
  reads: 0,
  foreignWrites: 1,
  moves: 1,
  zombies: 0,
};
const ONE_ROUTER: CutOverBounds = { ...FOREIGN_ONLY, routers: 1, writes: 1, foreignWrites: 0 };
const READER: CutOverBounds = { ...ONE_ROUTER, reads: 1, foreignWrites: 0 };
/** A router that lags behind two moves while somebody else writes to the shard that has the slot again. */
const LAGGARD: CutOverBounds = { ...FOREIGN_ONLY, routers: 1, reads: 1, moves: 2 };
const WITH_LOSS: CutOverBounds = { ...FOREIGN_ONLY, losses: 1, canWithdraw: true };
const WITH_ZOMBIE: CutOverBounds = { ...FOREIGN_ONLY, zombies: 1 };

/** All of them; the order is that of the protocol. */
export const MUTANTS: readonly Mutant[] = [
  {
    name: 'the fence does not wait for open writes',
    broken: { applyEffect: fenceWithoutLock },
    bounds: FOREIGN_ONLY,
    caught: LOST,
  },
  {
    name: 'the position is taken before the fence',
    broken: { nextStep: positionBeforeFence, applyEffect: barriersAlone },
    bounds: FOREIGN_ONLY,
    caught: LOST,
  },
  {
    name: 'the switch does not wait for the stream to be drained',
    broken: {
      nextStep: misled(({ destination }, { state, generation }) =>
        state === 'fencing'
          ? { destination: { ...destination, barrierSeen: generation } }
          : undefined,
      ),
    },
    bounds: FOREIGN_ONLY,
    caught: LOST,
  },
  {
    name: 'the switch does without a fence',
    broken: { nextStep: barrierWithoutFence, applyEffect: barriersAlone },
    bounds: FOREIGN_ONLY,
    caught: LOST,
  },
  {
    name: 'a timer takes the fence off',
    broken: { timerUnfences: true },
    bounds: FOREIGN_ONLY,
    caught: LOST,
  },
  {
    name: 'a shard that was cleaned forgets that it does not own the slot',
    broken: { applyEffect: withoutRecordOnceDone },
    bounds: FOREIGN_ONLY,
    caught: TWO,
  },
  {
    name: 'the destination opens before the source knows',
    broken: { nextStep: openBeforeRelinquish },
    bounds: LAGGARD,
    caught: STALE,
  },
  {
    name: 'the switch does not wait for acknowledgements',
    broken: {
      nextStep: misled((_, { state }) => (state === 'fencing' ? { unacknowledged: 0 } : undefined)),
    },
    bounds: LAGGARD,
    caught: STALE,
  },
  {
    name: 'reads pass while the slots are held',
    broken: {
      routeCall: (view, nowMs, kind) =>
        routeCall(kind === 'read' ? { ...view, isHeld: false } : view, nowMs),
    },
    bounds: LAGGARD,
    caught: STALE,
  },
  {
    name: 'a lease ends for the catalog before it ends for its router',
    broken: { ownLeaseEndsFirst: false },
    bounds: READER,
    caught: STALE,
  },
  {
    name: 'a router without a lease serves unverified',
    broken: { judgeRead: () => 'serve' },
    bounds: READER,
    caught: STALE,
  },
  {
    name: 'the lease counts when a read is routed, not when it is answered',
    broken: {
      judgeRead: (call, lease) => (call.routedAtMs >= lease.sinceMs ? 'serve' : 'verify'),
    },
    bounds: READER,
    caught: STALE,
  },
  {
    name: 'a lease is renewed by a router that does not know the newest revision',
    broken: {
      renewedLease: (previous, renewal) =>
        renewedLease(previous, { ...renewal, newest: renewal.acknowledged }),
    },
    bounds: READER,
    caught: STALE,
  },
  {
    name: 'a hold is acknowledged with calls in flight',
    broken: { acknowledgement: acknowledgesAtOnce },
    bounds: LAGGARD,
    caught: 'harmless alone',
  },
  {
    name: 'a lease covers what was routed before it',
    broken: { judgeRead: withoutSince },
    bounds: LAGGARD,
    caught: 'harmless alone',
  },
  {
    name: 'a hold is acknowledged with calls in flight, and a lease covers what was routed before it',
    broken: { acknowledgement: acknowledgesAtOnce, judgeRead: withoutSince },
    bounds: READER,
    caught: STALE,
  },
  {
    name: 'cleaning does not wait for routers',
    broken: { nextStep: withoutGrace },
    bounds: LAGGARD,
    caught: 'harmless alone',
  },
  {
    name: 'a read is verified before it is done',
    broken: { verifiesAfterReading: false },
    bounds: READER,
    caught: STALE,
  },
  {
    name: 'a read is verified without the epoch',
    broken: { isVerified: isOwnerNow },
    bounds: LAGGARD,
    caught: STALE,
  },
  {
    name: 'the epoch stays the same at a switch',
    broken: { advance: keepsEpoch },
    bounds: LAGGARD,
    caught: STALE,
  },
  {
    name: 'the reverse stream is made after the destination was opened',
    broken: { nextStep: reverseAfterOpening },
    bounds: { ...FOREIGN_ONLY, moves: 2 },
    caught: LOST,
  },
  {
    name: 'both streams run at once',
    broken: { nextStep: bothStreamsAtOnce },
    bounds: { ...FOREIGN_ONLY, foreignWrites: 2 },
    caught: LOST,
  },
  {
    name: 'a switch that is withdrawn leaves the reverse stream',
    broken: { nextStep: withdrawingKeepsReverse },
    bounds: { ...FOREIGN_ONLY, foreignWrites: 2, canWithdraw: true },
    caught: 'harmless alone',
  },
  {
    name: 'a switch that is withdrawn leaves the reverse stream, and so does a second copy',
    broken: { nextStep: withdrawingKeepsReverse, nextStreamStep: emptiesUnderStream },
    bounds: { ...FOREIGN_ONLY, foreignWrites: 2, canWithdraw: true },
    caught: LOST,
  },
  {
    name: 'a second copy empties its ground while the stream into the owner stands',
    broken: { streamsOverlap: true, nextStreamStep: emptiesUnderStream },
    bounds: WITH_LOSS,
    caught: LOST,
  },
  {
    name: 'a stream whose slot was lost is taken up again',
    broken: { nextStreamStep: takesUpLostStream },
    bounds: WITH_LOSS,
    caught: LOST,
  },
  {
    name: 'rows are cleaned while the stream into the owner stands, if nobody took it off before',
    broken: {
      streamsOverlap: true,
      nextStep: cleaningKeepsOwnersStream,
      leftIdle: () => undefined,
    },
    bounds: { ...FOREIGN_ONLY, canAbort: false, canRollBack: false },
    caught: LOST_OR_LEFT,
  },
  {
    name: 'the stream into the owner is not dropped before rows are cleaned',
    broken: { streamsOverlap: true, nextStep: cleaningKeepsOwnersStream },
    bounds: FOREIGN_ONLY,
    caught: 'harmless alone',
  },
  {
    name: 'what the switch has left idle is taken off late',
    broken: {
      streamsOverlap: true,
      leftIdle: (state, ...records) =>
        state === 'reversing' ? undefined : leftIdle(state, ...records),
    },
    bounds: ONE_ROUTER,
    caught: 'harmless alone',
  },
  {
    name: 'the fence of a rollback does not wait for open writes',
    broken: {
      nextStep: (journal, facts) => {
        const step = nextStep(journal, facts);
        const isFence = step.kind === 'effect' && step.effect.kind === 'fence';
        return isFence && journal.state === 'rollback_fencing'
          ? effectOn(step.on, UNLOCKED_FENCE)
          : step;
      },
      applyEffect: (record, effect, generation, facts) =>
        applyEffect(
          record,
          effect,
          generation,
          effect === UNLOCKED_FENCE ? { openWrites: 0 } : facts,
        ),
    },
    bounds: ONE_ROUTER,
    caught: LOST,
  },
  {
    name: 'a rollback does not wait for the reverse stream to be drained',
    broken: {
      nextStep: misled(({ source }, { state, generation }) =>
        state === 'rollback_fencing'
          ? { source: { ...source, barrierSeen: generation } }
          : undefined,
      ),
    },
    bounds: ONE_ROUTER,
    caught: LOST,
  },
  {
    name: 'a change of state keeps the generation',
    broken: { advance: keepsGeneration },
    bounds: WITH_ZOMBIE,
    caught: LEFT,
  },
  {
    name: 'undoing is left out where there is nothing to undo',
    broken: { nextStep: nothingToUndoIsSkipped },
    bounds: WITH_ZOMBIE,
    caught: LEFT,
  },
  {
    name: 'a fence of an older generation is let in',
    broken: { applyEffect: ignoringGeneration('fence') },
    bounds: WITH_ZOMBIE,
    caught: LEFT,
  },
  {
    name: 'an unfence of an older generation is let in',
    broken: { applyEffect: ignoringGeneration('unfence') },
    bounds: { ...WITH_ZOMBIE, moves: 2 },
    caught: LOST,
  },
  {
    name: 'a subscription of an older generation is created',
    broken: { applyEffect: ignoringGeneration('create-inbound') },
    bounds: WITH_ZOMBIE,
    caught: LEFT,
  },
  {
    name: 'a subscription is dropped by an older generation',
    broken: { applyEffect: ignoringGeneration('drop-inbound') },
    bounds: { ...WITH_ZOMBIE, moves: 2 },
    caught: STUCK,
  },
  {
    name: 'a shard is opened by an older generation',
    broken: { applyEffect: openAtAnyGeneration },
    bounds: { ...WITH_ZOMBIE, moves: 2 },
    caught: 'harmless alone',
  },
  {
    name: 'a shard is opened by an older generation, and at an older epoch',
    broken: {
      applyEffect: withoutLocalCheck(openAtAnyGeneration, 'open', { epoch: 0 }),
    },
    bounds: WITH_ZOMBIE,
    caught: TWO,
  },
  {
    name: 'an owner is cleaned',
    broken: { applyEffect: withoutLocalCheck(applyEffect, 'clean', { isOwner: false }) },
    bounds: { ...WITH_ZOMBIE, moves: 2 },
    caught: 'harmless alone',
  },
  {
    name: 'rows are cleaned by an older generation',
    broken: { applyEffect: cleanAtAnyGeneration },
    bounds: { ...WITH_ZOMBIE, moves: 2 },
    caught: LOST,
  },
  {
    name: 'a shard gives the slot up by an older generation',
    broken: { applyEffect: relinquishAtAnyGeneration },
    bounds: { ...WITH_ZOMBIE, moves: 2 },
    caught: LEFT,
  },
];

/** The rules with a mutant's broken ones among them. */
export function rulesOf(mutant: Mutant): CutOverRules {
  return { ...RULES, ...mutant.broken };
}
