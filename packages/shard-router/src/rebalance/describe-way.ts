/**
 * What would still happen to a move on one of its ways (pure): for a dry run of `resume`, `abort`, `rollback` and `finish`.
 * The states come from the one table of transitions, so that a dry run cannot promise a way that there is not.
 */

import { type MoveState, mayFollow } from './move-state.js';
import type { PlannedStep } from './rebalancer.js';
import type { MoveStatus } from './status.js';

/** A way to the end of a move. */
export type MoveWay = 'resume' | 'abort' | 'rollback' | 'finish';

interface StateDescription {
  readonly on: 'catalog' | 'source' | 'destination';
  readonly description: string;
  readonly locks?: string;
}

const WRITES_WAIT = 'SHARE ROW EXCLUSIVE on the tables of the keyspace, in tries of `lockTimeout`';
const CALLERS_WAIT = 'calls for these slots are held back, for at most `pauseTimeout`';

const DESCRIPTIONS: Readonly<Record<MoveState, StateDescription>> = {
  planned: { on: 'catalog', description: 'the move is noted' },
  preflight: { on: 'source', description: 'everything that the move relies on is checked' },
  prepared: { on: 'source', description: 'role, publication, slot and records are made' },
  copying: { on: 'destination', description: 'the rows of the slots are copied' },
  catching_up: { on: 'destination', description: 'changes are followed until the lag is small' },
  fencing: {
    on: 'source',
    description: 'routers hold the slots back, then the source refuses writes to them',
    locks: `${WRITES_WAIT}; ${CALLERS_WAIT}`,
  },
  draining: { on: 'destination', description: 'everything written before the fence arrives' },
  drained: { on: 'destination', description: 'both sides are equal' },
  committed: { on: 'catalog', description: 'the owner changes, with a new epoch' },
  reversing: {
    on: 'destination',
    description: 'the destination serves; changes flow back for a rollback',
  },
  cleaning: { on: 'source', description: 'the old rows are deleted in batches' },
  done: { on: 'catalog', description: 'nothing of the move is left' },
  aborting: { on: 'destination', description: 'stream, copied rows, role and records are removed' },
  aborted: { on: 'catalog', description: 'the slots are released; nothing of the move is left' },
  rollback_fencing: {
    on: 'destination',
    description: 'routers hold the slots back, then the destination refuses writes to them',
    locks: `${WRITES_WAIT}; ${CALLERS_WAIT}`,
  },
  rollback_draining: { on: 'source', description: 'everything written since the switch arrives' },
  rollback_drained: { on: 'source', description: 'both sides are equal' },
  rollback_committed: { on: 'catalog', description: 'the owner changes back, with a new epoch' },
  rollback_cleaning: {
    on: 'destination',
    description: 'rows, stream, role and records are removed',
  },
  rolled_back: { on: 'catalog', description: 'nothing of the move is left' },
};

/** Where each way leaves the common road; `resume` never does. */
const TURNS: Readonly<Record<MoveWay, MoveState | undefined>> = {
  resume: undefined,
  abort: 'aborting',
  rollback: 'rollback_fencing',
  finish: 'cleaning',
};

/**
 * The steps that a move has still before it, if it takes a way from where it stands.
 *
 * @returns an empty list if the move is over or cannot take that way any more.
 */
export function describeWay(move: MoveStatus, way: MoveWay): PlannedStep[] {
  const turn = TURNS[way];
  const states = turn === undefined ? roadFrom(move.state) : roadVia(move.state, turn);
  return states.map((state) => stepOf(move, state));
}

function roadVia(from: MoveState, turn: MoveState): MoveState[] {
  // A move that has taken the turn already only goes on.
  if (wayTaken(from) === turn) return roadFrom(from);
  return mayFollow(from, turn) ? [turn, ...roadFrom(turn)] : [];
}

function wayTaken(state: MoveState): MoveState | undefined {
  if (state === 'aborting') return 'aborting';
  if (state === 'cleaning') return 'cleaning';
  return state.startsWith('rollback_') ? 'rollback_fencing' : undefined;
}

const ROADS: readonly (readonly MoveState[])[] = [
  [
    'planned',
    'preflight',
    'prepared',
    'copying',
    'catching_up',
    'fencing',
    'draining',
    'drained',
    'committed',
    'reversing',
    'cleaning',
    'done',
  ],
  ['aborting', 'aborted'],
  [
    'rollback_fencing',
    'rollback_draining',
    'rollback_drained',
    'rollback_committed',
    'rollback_cleaning',
    'rolled_back',
  ],
];

/** The states after this one, if nobody turns. */
function roadFrom(state: MoveState): MoveState[] {
  const road = ROADS.find((states) => states.includes(state)) ?? [];
  return road.slice(road.indexOf(state) + 1);
}

function stepOf(move: MoveStatus, state: MoveState): PlannedStep {
  const { on, description, locks } = DESCRIPTIONS[state];
  return {
    move: `${move.id} ${move.keyspace} ${move.source} → ${move.destination}`,
    state,
    on: on === 'catalog' ? on : move[on],
    description,
    sql: [],
    locks,
    isReversible: isReversible(state),
  };
}

/** Before the switch a move can be given up, after it the switch can be taken back, until the old rows go. */
function isReversible(state: MoveState): boolean {
  return mayFollow(state, 'aborting') || state === 'committed' || state === 'reversing';
}
