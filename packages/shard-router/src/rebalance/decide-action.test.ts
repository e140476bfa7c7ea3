import { describe, expect, test } from 'vitest';
import { type ActionFacts, decideAction } from './decide-action.js';
import type { MoveRow } from './move-row.js';
import { isEndState, isHeldIn, MOVE_STATES, type MoveState } from './move-state.js';
import type { StoredRecord } from './record-store.js';

/** Chores come before the state that needs them, and never while callers wait. */
const record: StoredRecord = {
  generation: 5,
  isOwner: false,
  epoch: 1,
  isFenced: false,
  hasInbound: false,
  hasOutbound: false,
  hasIdleInbound: false,
  hasDeferredIndexes: false,
  hasForeignRows: false,
  barrierWritten: 0,
  barrierSeen: 0,
  isInTransit: true,
  recordEpoch: 1,
};
const source = { ...record, isOwner: true, hasOutbound: true, hasIdleInbound: true };
const destination = { ...record, hasInbound: true, hasOutbound: true };
const facts: ActionFacts = {
  source,
  destination,
  unacknowledged: 0,
  isCopied: true,
  isCaughtUp: true,
  isPreflighted: true,
  isReverseReady: true,
  hasProlongedRoles: true,
  hasAdvancedSequences: true,
  hasRehearsed: true,
  hasStatistics: true,
  isVerified: true,
  isHeldBack: false,
  isSwitchHeld: false,
  wish: undefined,
};
const row = (state: MoveState, more: Partial<MoveRow> = {}): MoveRow =>
  ({
    id: 'm1',
    isInTransit: true,
    isTidied: false,
    journal: { state, generation: 5, epoch: 1, source: 'a', destination: 'b', holder: 'x' },
    ...more,
  }) as MoveRow;

describe('decideAction', () => {
  test('looks before it begins, and begins records before anything is made', () => {
    const none = { ...facts, source: undefined, destination: undefined };
    expect(decideAction(row('preflight'), { ...none, isPreflighted: false })).toEqual({
      kind: 'preflight',
    });
    expect(decideAction(row('preflight'), none)).toEqual({ kind: 'advance', to: 'prepared' });
    expect(decideAction(row('prepared'), none)).toEqual({ kind: 'open-records' });
    expect(decideAction(row('planned'), { ...none, wish: 'abort' })).toEqual({
      kind: 'advance',
      to: 'aborting',
    });
  });

  test('tells the topology and both shards of the transit before the first row is copied', () => {
    const outside = { ...record, isInTransit: false };
    const before = { ...facts, source: { ...outside, isOwner: true }, destination: outside };
    expect(decideAction(row('prepared', { isInTransit: false }), before)).toEqual({
      kind: 'enter-transit',
    });
    expect(decideAction(row('prepared'), before)).toEqual({ kind: 'write-transit', on: 'source' });
    expect(decideAction(row('prepared'), { ...before, source: { ...source } })).toEqual({
      kind: 'write-transit',
      on: 'destination',
    });
  });

  test('begins no copy while others suffer, gives one up all the same, and goes on with one that has begun', () => {
    const empty = {
      ...facts,
      destination: { ...destination, hasInbound: false, hasOutbound: false },
    };
    const copy = {
      kind: 'effect',
      on: 'destination',
      effect: { kind: 'create-inbound', copies: true },
    };
    for (const state of ['copying', 'catching_up'] as const) {
      expect(decideAction(row(state), empty)).toEqual(copy);
      const heldBack = { ...empty, isHeldBack: true };
      expect(decideAction(row(state), heldBack)).toEqual({ kind: 'wait', for: 'copy' });
      expect(decideAction(row(state), { ...heldBack, wish: 'abort' })).toEqual({
        kind: 'advance',
        to: 'aborting',
      });
    }
    expect(decideAction(row('copying'), { ...facts, isHeldBack: true, isCopied: false })).toEqual({
      kind: 'wait',
      for: 'copy',
    });
    // Callers wait for the reverse stream; it copies nothing.
    const drained = {
      ...facts,
      isHeldBack: true,
      destination: { ...destination, hasInbound: false },
    };
    expect(decideAction(row('drained'), drained)).toEqual({
      kind: 'effect',
      on: 'source',
      effect: { kind: 'create-inbound', copies: false },
    });
  });

  test('gathers statistics, compares, makes the way back ready, waits for the release, advances sequences, switches', () => {
    const inOrder = [
      [{ hasStatistics: false }, { kind: 'gather-statistics' }],
      [{ isVerified: false }, { kind: 'verify' }],
      [{ isReverseReady: false }, { kind: 'prepare-reverse' }],
      [{ isSwitchHeld: true }, { kind: 'wait', for: 'release' }],
      [{ hasRehearsed: false }, { kind: 'rehearse' }],
      [{ hasAdvancedSequences: false }, { kind: 'advance-sequences' }],
      [{}, { kind: 'advance', to: 'fencing' }],
    ] as const;
    inOrder.forEach(([own], at) => {
      const later = Object.assign({}, ...inOrder.slice(at).map(([lack]) => lack));
      expect(decideAction(row('catching_up'), { ...facts, ...later, ...own })).toEqual(
        inOrder[at]?.[1],
      );
    });
  });

  test('makes the indexes again that the copy did without, before it goes on and before it ends', () => {
    const without = { ...facts, destination: { ...destination, hasDeferredIndexes: true } };
    const build = { kind: 'build-indexes' };
    expect(decideAction(row('copying'), without)).toEqual(build);
    expect(decideAction(row('catching_up'), without)).toEqual(build);
    const ended = { ...record, hasForeignRows: false };
    const givenUp = {
      ...without,
      source: ended,
      destination: { ...ended, hasDeferredIndexes: true },
    };
    expect(decideAction(row('aborting'), givenUp)).toEqual(build);
    expect(decideAction(row('copying'), { ...without, isCopied: false })).toMatchObject({
      kind: 'wait',
    });
  });

  test('takes off what a switch has left idle, before rows are cleaned and before it goes back', () => {
    const idle = { ...destination, hasInbound: false, hasIdleInbound: true };
    for (const wish of [undefined, 'finish', 'roll-back'] as const) {
      expect(decideAction(row('reversing'), { ...facts, destination: idle, wish })).toEqual({
        kind: 'drop-idle',
        on: 'destination',
      });
    }
  });

  test('prolongs the roles of the streams while nobody waits', () => {
    const short = { ...facts, hasProlongedRoles: false };
    for (const state of ['copying', 'catching_up', 'reversing'] as const) {
      expect(decideAction(row(state), short)).toEqual({ kind: 'prolong-roles' });
    }
    expect(decideAction(row('fencing'), short).kind).not.toBe('prolong-roles');
  });

  test('advances sequences on the way back too', () => {
    const back = { ...facts, wish: 'roll-back', hasAdvancedSequences: false } as const;
    expect(
      decideAction(row('reversing'), { ...back, source: { ...source, hasOutbound: false } }),
    ).toEqual({ kind: 'advance-sequences' });
  });

  test('takes off what fed a stream that has ended, before the move may end', () => {
    const ended = { ...record, isInTransit: false, hasForeignRows: false };
    const over = { ...facts, source: { ...ended, hasOutbound: true }, destination: ended };
    const untransited = row('cleaning', { isInTransit: false });
    expect(decideAction(untransited, over)).toEqual({
      kind: 'close-outbound',
      into: 'destination',
    });
    const clean = { ...over, source: ended };
    expect(decideAction(untransited, clean)).toEqual({ kind: 'advance', to: 'done' });
    const still = { ...ended, isInTransit: true };
    expect(decideAction(row('cleaning'), { ...facts, source: still, destination: still })).toEqual({
      kind: 'leave-transit',
    });
  });

  test.each(MOVE_STATES.filter(isHeldIn))('does no chore in %s, where callers wait', (state) => {
    for (const isInTransit of [true, false]) {
      for (const one of [source, { ...source, isInTransit: false, hasIdleInbound: false }]) {
        const action = decideAction(row(state, { isInTransit }), { ...facts, source: one });
        expect(['effect', 'advance', 'wait']).toContain(action.kind);
      }
    }
  });

  test.each(MOVE_STATES.filter(isEndState))('tidies up after %s, once', (state) => {
    expect(decideAction(row(state), facts)).toEqual({ kind: 'tidy' });
    expect(decideAction(row(state, { isTidied: true }), facts)).toEqual({ kind: 'nothing' });
  });
});
