import { describe, expect, test } from 'vitest';
import {
  catalogChangeOf,
  isEndState,
  isHeldIn,
  MOVE_STATES,
  type MoveState,
  mayAbort,
  mayFollow,
  ownerIn,
  publicState,
  withdrawalFrom,
} from './move-state.js';

const edges = MOVE_STATES.flatMap((from) =>
  MOVE_STATES.filter((to) => mayFollow(from, to)).map((to) => [from, to] as const),
);

describe('the states of a move', () => {
  test('are all reached from planned, and from each an end is reached', () => {
    const reach = (start: MoveState): Set<MoveState> => {
      const seen = new Set([start]);
      for (const state of seen) for (const [from, to] of edges) if (from === state) seen.add(to);
      return seen;
    };
    expect(reach('planned').size).toBe(MOVE_STATES.length);
    for (const state of MOVE_STATES) expect([...reach(state)].some(isEndState)).toBe(true);
  });

  test('end in done, aborted and rolled_back and nowhere else', () => {
    expect(MOVE_STATES.filter(isEndState)).toEqual(['done', 'aborted', 'rolled_back']);
  });

  test('can be given up until the switch and not after', () => {
    const point = MOVE_STATES.indexOf('committed');
    for (const state of MOVE_STATES) {
      expect(mayAbort(state)).toBe(MOVE_STATES.indexOf(state) < point);
    }
  });

  test('change the owner exactly where the catalog is told to switch', () => {
    for (const [from, to] of edges) {
      expect([from, to, ownerIn(from) !== ownerIn(to)]).toEqual([
        from,
        to,
        catalogChangeOf(to) === 'switch',
      ]);
    }
  });

  test('begin a hold where it is asked for and end it where it is released', () => {
    for (const [from, to] of edges) {
      if (!isHeldIn(from) && isHeldIn(to)) expect(catalogChangeOf(to)).toBe('hold');
      if (isHeldIn(from) && !isHeldIn(to)) expect(catalogChangeOf(to)).toBe('release');
    }
  });

  test('let the callers go again without a switch from wherever there is still a choice', () => {
    const held = MOVE_STATES.filter(isHeldIn);
    const withdrawn = held.filter((state) => withdrawalFrom(state) !== undefined);
    expect(withdrawn).toEqual(['fencing', 'drained', 'rollback_fencing']);
    for (const state of withdrawn) {
      const way = withdrawalFrom(state) as MoveState;
      expect(isHeldIn(way)).toBe(true);
      expect(ownerIn(way)).toBe(ownerIn(state));
    }
  });

  test('a rollback shows as one state', () => {
    expect(new Set(MOVE_STATES.filter((s) => s.startsWith('rollback_')).map(publicState))).toEqual(
      new Set(['rolling_back']),
    );
    expect(publicState('drained')).toBe('drained');
  });
});
