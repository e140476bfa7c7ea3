import { ShardlineError } from '@shardline/core';
import type { MoveStatus, Rebalancer } from '@shardline/shard-router/rebalance';
import { cliErrors } from '../errors.js';
import { isOver } from '../output/move-line.js';

/** Shorter ones would name a move by accident. */
const SHORTEST_PREFIX = 4;

/** How a move is named, for help texts. */
export const HANDLE = '<move>';
export const HANDLE_HELP =
  'id of the move, its beginning, `last` for the newest, or the id of a plan for all its open moves';

/**
 * The moves that a handle names: one, or for the id of a plan all of its moves that are not over, the newest first.
 *
 * @throws ShardlineError `CLI_MOVE_UNKNOWN`, also for a beginning that several share.
 */
export async function findMoves(rebalancer: Rebalancer, handle: string): Promise<MoveStatus[]> {
  if (handle === 'last') {
    const newest = await rebalancer.move('last');
    if (newest !== undefined) return [newest];
    throw unknown('There has been no move yet.');
  }
  const { active, recent } = await rebalancer.status();
  const known = [...active, ...recent];
  const exact = known.find(({ id }) => id === handle);
  if (exact !== undefined) return [exact];
  const ofPlan = known.filter(({ planId }) => isNamedBy(planId, handle));
  if (ofPlan.length > 0) {
    const open = ofPlan.filter((move) => !isOver(move));
    return (open.length > 0 ? open : ofPlan).sort((a, b) => b.startedAtMs - a.startedAtMs);
  }
  const found = known.filter(({ id }) => isNamedBy(id, handle));
  if (found.length === 1) return found;
  if (found.length > 1) {
    throw unknown(
      `'${handle}' begins ${found.length} moves: ${found.map(({ id }) => id).join(', ')}.`,
    );
  }
  const older = await rebalancer.move(handle);
  if (older !== undefined) return [older];
  throw unknown(
    known.length === 0
      ? `There is no move '${handle}'; there has been none yet.`
      : `There is no move '${handle}'; the newest are ${known
          .slice(0, 5)
          .map(({ id }) => id)
          .join(', ')}.`,
  );
}

/** The one move that a handle names. @throws ShardlineError `CLI_MOVE_UNKNOWN` for none or several. */
export async function findMove(rebalancer: Rebalancer, handle: string): Promise<MoveStatus> {
  const moves = await findMoves(rebalancer, handle);
  const [move, ...others] = moves;
  if (move !== undefined && others.length === 0) return move;
  throw unknown(
    `'${handle}' is a plan with ${moves.length} moves: ${moves.map(({ id }) => id).join(', ')}.`,
  );
}

function isNamedBy(id: string, handle: string): boolean {
  return id === handle || (handle.length >= SHORTEST_PREFIX && id.startsWith(handle));
}

function unknown(happened: string): ShardlineError {
  return new ShardlineError(cliErrors.CLI_MOVE_UNKNOWN, happened);
}
