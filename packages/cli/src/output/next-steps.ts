/** The command that most likely comes next (pure). Every answer ends with one. */

import type {
  MoveStatus,
  PlacementChange,
  RebalanceStatus,
} from '@shardline/shard-router/rebalance';
import { isOver, shortId } from './move-line.js';

/** Commands for what is to be done about a move. */
export function nextForMove(move: MoveStatus): string[] {
  const id = shortId(move.id);
  if (isOver(move)) {
    return move.state === 'done' ? ['shardline verify'] : ['shardline repair', 'shardline status'];
  }
  if (move.steering.isPaused) return [`shardline continue ${id}`, ...undo(move)];
  if (move.state === 'reversing') {
    return [`shardline finish ${id}`, `shardline rollback ${id}`];
  }
  if (move.holder === undefined) return [`shardline resume ${id}`, ...undo(move)];
  if (move.steering.isCutOverHeld && move.state === 'catching_up') {
    return [`shardline release ${id}`, ...undo(move)];
  }
  return ['shardline status --watch'];
}

function undo(move: MoveStatus): string[] {
  if (move.mayAbort) return [`shardline abort ${shortId(move.id)}`];
  return move.rollbackUntilMs === undefined ? [] : [`shardline rollback ${shortId(move.id)}`];
}

/** Commands for what is to be done about several moves: each once, the most urgent move's first. */
export function nextForMoves(moves: readonly MoveStatus[]): string[] {
  const open = moves.filter((move) => !isOver(move));
  const telling = open.length > 0 ? open : moves;
  const commands = telling.flatMap(nextForMove);
  return [...new Set(commands)].slice(0, 4);
}

/** Commands for the state of everything. */
export function nextForStatus({ active, shards }: RebalanceStatus): string[] {
  if (active.length > 0) return nextForMoves(active);
  const isUnwell = shards.some(
    ({ error, isRecordCurrent }) => error !== undefined || isRecordCurrent === false,
  );
  return isUnwell ? ['shardline doctor', 'shardline repair'] : ['shardline plan --check'];
}

/** The command that makes a plan for a change. */
export function planCommandOf(change: PlacementChange): string {
  switch (change.kind) {
    case 'add':
      return `shardline plan add ${change.shard}${
        change.weight === undefined ? '' : ` --weight ${change.weight}`
      }`;
    case 'remove':
    case 'drain':
      return `shardline plan ${change.kind} ${change.shard}`;
    case 'reweight':
      return `shardline plan weight ${Object.entries(change.weights)
        .map(([shard, weight]) => `${shard}=${weight}`)
        .join(' ')}`;
    case 'move-slots':
      return `shardline plan move-slots --keyspace ${change.keyspace} ${change.destination} SLOTS`;
    case 'split':
      return `shardline plan split ${change.shard} --keyspace ${change.keyspace} --by ${change.by}`;
  }
}
