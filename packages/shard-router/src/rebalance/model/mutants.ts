/**
 * Rules broken on purpose. The model must catch each, or the model proves nothing.
 *
 * Where a fault is stopped by two rules, neither mutant of one alone is caught, and that is as it should be: the
 * *pair* must be. Those that are harmless alone are listed too, and tested to be, so that this page stays
 * true when a rule changes.
 *
 * The bounds are part of a mutant: some need a second move, a second write, or a rollback to do harm.
 */

import { isCovered, renewedLease } from '../../topology/lease.js';
import type { MoveJournal } from '../journal.js';
import { advance } from '../journal.js';
import { type MoveCommand, type MoveFacts, nextStep } from '../next-step.js';
import { routeCall } from '../router-lease.js';
import { applyEffect, type ShardEffect, type ShardRecord } from '../shard-record.js';
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
const WITH_ZOMBIE: CutOverBounds = { ...FOREIGN_ONLY, zombies: 1 };

type NextStep = typeof nextStep;
type ApplyEffect = typeof applyEffect;
type Kind = ShardEffect['kind'];

/** The next step as it would be if the facts were others. */
function misled(
  change: (facts: MoveFacts, journal: MoveJournal) => Partial<MoveFacts> | undefined,
): NextStep {
  return (journal, facts) => nextStep(journal, { ...facts, ...change(facts, journal) });
}

/** Effects of these kinds are let in at any generation. */
function ignoringGeneration(...kinds: readonly Kind[]): ApplyEffect {
  return (record, effect, generation, facts) => {
    if (!kinds.includes(effect.kind) || generation >= record.generation) {
      return applyEffect(record, effect, generation, facts);
    }
    const outcome = applyEffect({ ...record, generation: 0 }, effect, generation, facts);
    if (outcome.outcome !== 'applied') return outcome;
    return { outcome: 'applied', record: { ...outcome.record, generation: record.generation } };
  };
}

/** An effect that would be refused for what the shard's own record says is done all the same. */
function withoutLocalCheck(
  inner: ApplyEffect,
  kind: Kind,
  pass: Partial<ShardRecord>,
): ApplyEffect {
  return (record, effect, generation, facts) => {
    if (effect.kind !== kind) return inner(record, effect, generation, facts);
    const outcome = inner({ ...record, ...pass }, effect, generation, facts);
    if (outcome.outcome !== 'applied') return outcome;
    const kept = Object.fromEntries(
      Object.entries(record).filter(
        ([name]) => name in pass && kind !== 'open' && kind !== 'relinquish',
      ),
    );
    return { outcome: 'applied', record: { ...outcome.record, ...kept } };
  };
}

const unfencedBarriers = withoutLocalCheck(applyEffect, 'write-barrier', { isFenced: true });

const fenceWithoutLock: ApplyEffect = (record, effect, generation, facts) =>
  applyEffect(record, effect, generation, effect.kind === 'fence' ? { openWrites: 0 } : facts);

/** Recognised by being this object. */
const UNLOCKED_FENCE: ShardEffect = { kind: 'fence' };

function effectOn(on: 'source' | 'destination', effect: ShardEffect): MoveCommand {
  return { kind: 'effect', on, effect };
}

const positionBeforeFence: NextStep = (journal, facts) => {
  if (journal.state === 'draining') return { kind: 'advance', to: 'drained' };
  if (journal.state !== 'fencing') return nextStep(journal, facts);
  if (facts.source.barrierWritten !== journal.generation) {
    return effectOn('source', { kind: 'write-barrier' });
  }
  if (facts.destination.barrierSeen !== journal.generation) return { kind: 'wait', for: 'barrier' };
  return nextStep(journal, facts);
};

const reverseAfterOpening: NextStep = (journal, facts) => {
  const step = nextStep(journal, facts);
  if (journal.state === 'drained' && step.kind === 'effect' && step.on === 'source') {
    return { kind: 'advance', to: 'committed' };
  }
  if (journal.state !== 'committed' || step.kind !== 'advance') return step;
  if (facts.source.hasInbound) return step;
  return effectOn('source', { kind: 'create-inbound', copies: false });
};

const bothStreamsAtOnce: NextStep = (journal, facts) => {
  if (journal.state === 'draining' && !facts.source.hasInbound) {
    return effectOn('source', { kind: 'create-inbound', copies: false });
  }
  return nextStep(journal, facts);
};

const openBeforeRelinquish: NextStep = (journal, facts) => {
  const { destination } = facts;
  const isOpen = destination.isOwner && destination.generation === journal.generation;
  if (journal.state === 'committed' && !isOpen) {
    return effectOn('destination', { kind: 'open', epoch: journal.epoch });
  }
  return nextStep(journal, facts);
};

const cleaningBeforeReverseIsDropped: NextStep = (journal, facts) => {
  const { destination } = facts;
  if (journal.state === 'aborting') {
    if (destination.hasInbound) return effectOn('destination', { kind: 'drop-inbound' });
    if (destination.hasForeignRows) return effectOn('destination', { kind: 'clean' });
  }
  return nextStep(journal, facts);
};

/** Undoing where there is nothing to undo is left out, so the shard does not hear of the generation. */
const nothingToUndoIsSkipped: NextStep = (journal, facts) => {
  const step = nextStep(journal, facts);
  if (step.kind !== 'effect') return step;
  const record = facts[step.on];
  const isThere =
    (step.effect.kind === 'drop-inbound' && record.hasInbound) ||
    (step.effect.kind === 'clean' && record.hasForeignRows) ||
    (step.effect.kind === 'unfence' && record.isFenced);
  const undoes = ['drop-inbound', 'clean', 'unfence', 'settle'].includes(step.effect.kind);
  if (!undoes || isThere || record.generation === journal.generation) return step;
  const told = { ...record, generation: journal.generation };
  return nothingToUndoIsSkipped(journal, { ...facts, [step.on]: told });
};

const withoutRecordOnceDone: ApplyEffect = (record, effect, generation, facts) => {
  const outcome = applyEffect(record, effect, generation, facts);
  if (outcome.outcome !== 'applied' || effect.kind !== 'clean') return outcome;
  return { outcome: 'applied', record: { ...outcome.record, isOwner: true } };
};

const keepsGeneration: typeof advance = (journal, claim, to, generation) => {
  const change = advance(journal, claim, to, generation);
  if (change.outcome === 'refused') return change;
  return { ...change, journal: { ...change.journal, generation: journal.generation } };
};

const keepsEpoch: typeof advance = (journal, claim, to, generation) => {
  const change = advance(journal, claim, to, generation);
  if (change.outcome === 'refused') return change;
  return { ...change, journal: { ...change.journal, epoch: journal.epoch } };
};

const withoutSince: CutOverRules['judgeRead'] = (call, lease, nowMs) =>
  isCovered({ ...lease, sinceMs: Number.NEGATIVE_INFINITY }, call.routedAtMs, nowMs)
    ? 'serve'
    : 'verify';

const acknowledgesAtOnce: CutOverRules['acknowledgement'] = (view) => view.revision;
const withoutGrace = misled((_, { state }) =>
  state === 'cleaning' || state === 'rollback_cleaning' ? { unacknowledged: 0 } : undefined,
);
const openAtAnyGeneration = ignoringGeneration('open');
const relinquishAtAnyGeneration = ignoringGeneration('relinquish');
const cleanAtAnyGeneration = ignoringGeneration('clean');
const isOwnerNow: CutOverRules['isVerified'] = (_, record) => record.isOwner;

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
    broken: { nextStep: positionBeforeFence, applyEffect: unfencedBarriers },
    bounds: FOREIGN_ONLY,
    caught: LOST,
  },
  {
    name: 'the switch does not wait for the stream to be drained',
    broken: {
      nextStep: misled(({ destination }, { state, generation }) =>
        state === 'draining'
          ? { destination: { ...destination, barrierSeen: generation } }
          : undefined,
      ),
    },
    bounds: FOREIGN_ONLY,
    caught: LOST,
  },
  {
    name: 'the switch does without a fence',
    broken: {
      nextStep: misled(({ source }, { state, generation }) => {
        if (state === 'fencing') return { source: { ...source, isFenced: true, generation } };
        return state === 'draining' ? { source: { ...source, isFenced: true } } : undefined;
      }),
      applyEffect: unfencedBarriers,
    },
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
    name: 'an abort cleans the destination while the reverse stream still runs',
    broken: { nextStep: cleaningBeforeReverseIsDropped },
    bounds: FOREIGN_ONLY,
    caught: LOST,
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
        state === 'rollback_draining'
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
