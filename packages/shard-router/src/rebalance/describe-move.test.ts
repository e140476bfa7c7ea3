import { describe, expect, test } from 'vitest';
import { describeMove, type MoveWay } from './describe-move.js';
import { isEndState, MOVE_STATES, type MoveState, mayAbort, mayFollow } from './move-state.js';
import type { FilledRebalancerOptions } from './rebalancer-options.js';
import type { MoveStatus } from './status.js';

const options = {
  keyspaces: new Map([
    [
      'users',
      {
        keyType: 'bigint',
        hash: 'postgres',
        slots: 16,
        tables: [{ schema: 'public', name: 'users', key: 'id' }],
      },
    ],
  ]),
  limits: { lockTimeoutMs: 300 },
} as unknown as FilledRebalancerOptions;

const steps = (state: MoveState, way: MoveWay) =>
  describeMove(
    { id: 'm1', state, keyspace: 'users', source: 'a', destination: 'b' } as MoveStatus,
    way,
    options,
  );

describe('what would still happen to a move', () => {
  test('nothing, once it is over', () => {
    for (const state of MOVE_STATES.filter(isEndState)) {
      for (const way of ['resume', 'abort', 'rollback', 'finish'] as const) {
        expect(steps(state, way)).toEqual([]);
      }
    }
  });

  test('something on the way that it is on, from every other state', () => {
    for (const state of MOVE_STATES.filter((each) => !isEndState(each))) {
      expect(steps(state, 'resume')).not.toEqual([]);
    }
  });

  test('abort as long as it is possible and no longer', () => {
    for (const state of MOVE_STATES) {
      expect([state, steps(state, 'abort').length > 0]).toEqual([
        state,
        mayAbort(state) || state === 'aborting',
      ]);
    }
  });

  test('rollback and finish from the switch on', () => {
    for (const [way, turn] of [
      ['rollback', 'rollback_fencing'],
      ['finish', 'cleaning'],
    ] as const) {
      for (const state of MOVE_STATES) {
        const isOnIt = way === 'finish' ? state === 'cleaning' : state.startsWith('rollback_');
        expect([way, state, steps(state, way).length > 0]).toEqual([
          way,
          state,
          mayFollow(state, turn) || state === 'committed' || isOnIt,
        ]);
      }
    }
  });

  test('with the statements of the steps, and what cannot be undone marked', () => {
    const finish = steps('reversing', 'finish');
    expect(finish.flatMap(({ sql }) => sql).join('\n')).toContain('DELETE FROM "public"."users"');
    expect(finish.every(({ isReversible }) => !isReversible)).toBe(true);
    expect(steps('copying', 'resume').at(0)?.isReversible).toBe(true);
  });
});
