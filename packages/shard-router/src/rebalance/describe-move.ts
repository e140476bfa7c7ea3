/**
 * What would still happen to a move on one of its ways (pure): for a dry run of `resume`, `abort`, `rollback` and `finish`.
 */

import { quoteQualified } from '@shardline/core';
import { describeWay, FORWARD, type Way } from './describe-plan.js';
import { isEndState, MOVE_STATES, type MoveState, mayFollow } from './move-state.js';
import type { PlannedStep } from './rebalancer.js';
import type { FilledRebalancerOptions } from './rebalancer-options.js';
import type { MoveStatus } from './status.js';

/** A way to the end of a move. */
export type MoveWay = 'resume' | 'abort' | 'rollback' | 'finish';

const TIDY = 'take publications, slots, roles and records of the move off';

const ABORT: Way = [
  { state: 'aborting', on: 'source', kind: 'unfence' },
  { state: 'aborting', on: 'source', kind: 'drop-inbound' },
  { state: 'aborting', on: 'destination', kind: 'drop-inbound' },
  { state: 'aborting', on: 'destination', kind: 'clean' },
  { state: 'aborted', description: `let callers go, and ${TIDY}` },
];

/** A switch that was begun and not made: callers are let go before anything else. */
const WITHDRAW: Way = [
  { state: 'withdrawing', on: 'source', kind: 'unfence' },
  { state: 'withdrawing', on: 'source', kind: 'drop-inbound' },
  { state: 'withdrawing', description: 'let callers go' },
];

const WITHDRAW_ROLLBACK: Way = [
  { state: 'rollback_withdrawing', on: 'destination', kind: 'unfence' },
  { state: 'rollback_withdrawing', description: 'let callers go' },
];

const ROLLBACK: Way = [
  {
    state: 'rollback_fencing',
    description: 'ask every router to hold calls for the slots back, and wait until each has',
    locks: 'callers of the moved slots wait from here to the release',
  },
  { state: 'rollback_fencing', on: 'destination', kind: 'fence' },
  { state: 'rollback_drained', on: 'source', kind: 'drop-inbound' },
  { state: 'rollback_committed', description: 'give the slots back to the source in the catalog' },
  { state: 'rollback_committed', on: 'destination', kind: 'relinquish' },
  { state: 'rollback_committed', on: 'source', kind: 'open' },
  { state: 'rollback_cleaning', description: 'let callers go' },
  { state: 'rollback_cleaning', on: 'destination', kind: 'clean' },
  { state: 'rolled_back', description: TIDY },
];

/** Each way with the state at which it leaves the road that everybody takes. */
const TURNS: Readonly<Record<Exclude<MoveWay, 'resume'>, { at: MoveState; way: Way }>> = {
  abort: { at: 'aborting', way: ABORT },
  rollback: { at: 'rollback_fencing', way: ROLLBACK },
  finish: { at: 'cleaning', way: FORWARD.filter(({ state }) => isAtOrAfter(state, 'cleaning')) },
};

/**
 * The steps that a move has still before it, if it takes a way from where it stands.
 *
 * @returns an empty list if the move is over or cannot take that way any more.
 */
export function describeMove(
  move: MoveStatus,
  way: MoveWay,
  { keyspaces, limits }: Pick<FilledRebalancerOptions, 'keyspaces' | 'limits'>,
): PlannedStep[] {
  const tables = keyspaces.get(move.keyspace)?.tables ?? [];
  const name = `${move.id}: ${move.source} > ${move.destination}, ${move.keyspace}`;
  return describeWay(remaining(move.state, way), name, {
    move: move.id,
    keyspace: move.keyspace,
    tables: tables.map(({ schema, name: table }) => quoteQualified(schema, table)),
    source: move.source,
    destination: move.destination,
    lockTimeoutMs: limits.lockTimeoutMs,
  });
}

const SWITCHING: ReadonlySet<MoveState> = new Set(['committed', 'reversing']);

function remaining(state: MoveState, way: MoveWay): Way {
  if (isEndState(state)) return [];
  const withdrawal = withdrawalOn(state, way);
  if (withdrawal !== undefined) {
    const [steps, next] = withdrawal;
    return [...steps, ...(way === 'resume' && next === 'reversing' ? [] : remaining(next, way))];
  }
  if (way === 'resume') return restOf(state);
  const turn = TURNS[way];
  if (mayFollow(state, turn.at)) return turn.way;
  // A switch under way is brought to its end first.
  if (state === 'committed' && way !== 'abort') {
    return [...FORWARD.filter((step) => SWITCHING.has(step.state)), ...turn.way];
  }
  // Whoever has taken the turn already only goes on.
  return turn.way.some((step) => step.state === state) ? restOf(state) : [];
}

/** What lets callers go first, and the state that it leads back to; undefined where nobody is held back for nothing. */
function withdrawalOn(state: MoveState, way: MoveWay): readonly [Way, MoveState] | undefined {
  if (state === 'withdrawing' && (way === 'resume' || way === 'abort')) {
    return [WITHDRAW, 'catching_up'];
  }
  if (state === 'rollback_withdrawing' && (way === 'resume' || way === 'rollback')) {
    return [WITHDRAW_ROLLBACK, 'reversing'];
  }
  if (way === 'abort' && mayFollow(state, 'withdrawing')) return [WITHDRAW, 'catching_up'];
  return undefined;
}

/** Of the way that a state is on, everything from it on: what it has begun may have to be done again. */
function restOf(state: MoveState): Way {
  const own = [FORWARD, ABORT, ROLLBACK].find((way) => way.some((step) => step.state === state));
  return (own ?? FORWARD).filter((step) => isAtOrAfter(step.state, state));
}

function isAtOrAfter(state: MoveState, other: MoveState): boolean {
  return MOVE_STATES.indexOf(state) >= MOVE_STATES.indexOf(other);
}
