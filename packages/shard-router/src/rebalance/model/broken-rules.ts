/** Single rules, broken: what the mutants are made of. */

import { isCovered } from '../../topology/lease.js';
import type { MoveJournal } from '../journal.js';
import { advance } from '../journal.js';
import { type MoveCommand, type MoveFacts, nextStep } from '../next-step.js';
import { applyEffect, type ShardEffect, type ShardRecord } from '../shard-record.js';
import { nextStreamStep } from '../stream-step.js';
import type { CutOverRules } from './rules.js';

type NextStep = typeof nextStep;
type ApplyEffect = typeof applyEffect;
type Kind = ShardEffect['kind'];

/** The next step as it would be if the facts were others. */
export function misled(
  change: (facts: MoveFacts, journal: MoveJournal) => Partial<MoveFacts> | undefined,
): NextStep {
  return (journal, facts) => nextStep(journal, { ...facts, ...change(facts, journal) });
}

/** Effects of these kinds are let in at any generation. */
export function ignoringGeneration(...kinds: readonly Kind[]): ApplyEffect {
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
export function withoutLocalCheck(
  inner: ApplyEffect,
  kind: Kind,
  pass: Partial<ShardRecord>,
): ApplyEffect {
  return (record, effect, generation, facts) => {
    if (effect.kind !== kind) return inner(record, effect, generation, facts);
    const outcome = inner({ ...record, ...pass }, effect, generation, facts);
    if (outcome.outcome !== 'applied') return outcome;
    // What was only pretended is put back; what the effect itself has set stays.
    const sets = kind === 'open' || kind === 'relinquish';
    const kept = sets
      ? {}
      : Object.fromEntries(Object.entries(record).filter(([name]) => name in pass));
    return { outcome: 'applied', record: { ...outcome.record, ...kept } };
  };
}

export const fenceWithoutLock: ApplyEffect = (record, effect, generation, facts) =>
  applyEffect(record, effect, generation, effect.kind === 'fence' ? { openWrites: 0 } : facts);

/** Recognised by being this object. */
export const UNLOCKED_FENCE: ShardEffect = { kind: 'fence' };

export function effectOn(on: 'source' | 'destination', effect: ShardEffect): MoveCommand {
  return { kind: 'effect', on, effect };
}

/** Recognised by being this object: the barrier of a fence, and nothing of the fence. */
const BARRIER_ALONE: ShardEffect = { kind: 'fence' };

export const barriersAlone: ApplyEffect = (record, effect, generation, facts) =>
  effect === BARRIER_ALONE
    ? { outcome: 'applied', record: { ...record, barrierWritten: generation, generation } }
    : applyEffect(record, effect, generation, facts);

/** The barrier goes before the fence, and where it has arrived is judged by it. */
export const positionBeforeFence: NextStep = (journal, facts) => {
  if (journal.state !== 'fencing' || facts.unacknowledged > 0) return nextStep(journal, facts);
  return facts.source.barrierWritten === journal.generation
    ? nextStep(journal, facts)
    : effectOn('source', BARRIER_ALONE);
};

/** The barrier is written, and the fence taken to stand. */
export const barrierWithoutFence: NextStep = (journal, facts) => {
  const { source } = facts;
  const isWritten = source.barrierWritten === journal.generation;
  if (journal.state !== 'fencing' || facts.unacknowledged > 0) return nextStep(journal, facts);
  return isWritten
    ? nextStep(journal, { ...facts, source: { ...source, isFenced: true } })
    : effectOn('source', BARRIER_ALONE);
};

export const reverseAfterOpening: NextStep = (journal, facts) => {
  const step = nextStep(journal, facts);
  if (journal.state === 'drained' && step.kind === 'effect' && step.on === 'source') {
    return { kind: 'advance', to: 'committed' };
  }
  if (journal.state !== 'committed' || step.kind !== 'advance') return step;
  if (facts.source.hasInbound) return step;
  return effectOn('source', { kind: 'create-inbound', copies: false });
};

export const bothStreamsAtOnce: NextStep = (journal, facts) => {
  if (journal.state === 'fencing' && facts.source.isFenced && !facts.source.hasInbound) {
    return effectOn('source', { kind: 'create-inbound', copies: false });
  }
  return nextStep(journal, facts);
};

export const openBeforeRelinquish: NextStep = (journal, facts) => {
  const { destination } = facts;
  const isOpen = destination.isOwner && destination.generation === journal.generation;
  if (journal.state === 'committed' && !isOpen) {
    return effectOn('destination', { kind: 'open', epoch: journal.epoch });
  }
  return nextStep(journal, facts);
};

export const withdrawingKeepsReverse: NextStep = (journal, facts) => {
  const step = nextStep(journal, facts);
  const isDrop = step.kind === 'effect' && step.effect.kind === 'drop-inbound';
  return journal.state === 'withdrawing' && isDrop ? { kind: 'advance', to: 'catching_up' } : step;
};

/** The stream into the owner is left standing while the other shard is cleaned. */
export const cleaningKeepsOwnersStream: NextStep = (journal, facts) => {
  const step = nextStep(journal, facts);
  const isDrop = step.kind === 'effect' && step.effect.kind === 'drop-inbound';
  if (journal.state !== 'cleaning' || !isDrop || step.on === 'source') return step;
  const { destination } = facts;
  return nextStep(journal, {
    ...facts,
    destination: { ...destination, generation: journal.generation },
  });
};

/** Undoing where there is nothing to undo is left out, so the shard does not hear of the generation. */
export const nothingToUndoIsSkipped: NextStep = (journal, facts) => {
  const step = nextStep(journal, facts);
  if (step.kind !== 'effect') return step;
  const record = facts[step.on];
  const isThere =
    (step.effect.kind === 'drop-inbound' && record.hasInbound) ||
    (step.effect.kind === 'clean' && record.hasForeignRows) ||
    (step.effect.kind === 'unfence' && record.isFenced);
  const undoes = ['drop-inbound', 'clean', 'unfence'].includes(step.effect.kind);
  if (!undoes || isThere || record.generation === journal.generation) return step;
  const told = { ...record, generation: journal.generation };
  return nothingToUndoIsSkipped(journal, { ...facts, [step.on]: told });
};

export const withoutRecordOnceDone: ApplyEffect = (record, effect, generation, facts) => {
  const outcome = applyEffect(record, effect, generation, facts);
  if (outcome.outcome !== 'applied' || effect.kind !== 'clean') return outcome;
  return { outcome: 'applied', record: { ...outcome.record, isOwner: true } };
};

export const keepsGeneration: typeof advance = (journal, claim, to, generation) => {
  const change = advance(journal, claim, to, generation);
  if (change.outcome === 'refused') return change;
  return { ...change, journal: { ...change.journal, generation: journal.generation } };
};

export const keepsEpoch: typeof advance = (journal, claim, to, generation) => {
  const change = advance(journal, claim, to, generation);
  if (change.outcome === 'refused') return change;
  return { ...change, journal: { ...change.journal, epoch: journal.epoch } };
};

export const withoutSince: CutOverRules['judgeRead'] = (call, lease, nowMs) =>
  isCovered({ ...lease, sinceMs: Number.NEGATIVE_INFINITY }, call.routedAtMs, nowMs)
    ? 'serve'
    : 'verify';

export const acknowledgesAtOnce: CutOverRules['acknowledgement'] = (view) => view.revision;
export const withoutGrace = misled((_, { state }) =>
  state === 'cleaning' || state === 'rollback_cleaning' ? { unacknowledged: 0 } : undefined,
);
export const openAtAnyGeneration = ignoringGeneration('open');
export const relinquishAtAnyGeneration = ignoringGeneration('relinquish');
export const cleanAtAnyGeneration = ignoringGeneration('clean');
export const isOwnerNow: CutOverRules['isVerified'] = (_, record) => record.isOwner;

/** As it was until 2026-11-30: the stream that leads back is not looked at. */
export const emptiesUnderStream: CutOverRules['nextStreamStep'] = (effect, { here }) =>
  nextStreamStep(effect, { here, back: { hasInbound: false, hasIdleInbound: false } });

export const takesUpLostStream: CutOverRules['nextStreamStep'] = (effect, { here, back }) =>
  nextStreamStep(effect, { here: { ...here, isFed: true }, back });
