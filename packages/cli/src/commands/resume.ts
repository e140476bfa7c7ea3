import type { MoveStatus, Rebalancer } from '@shardline/shard-router/rebalance';
import type { Command } from 'commander';
import { type Bind, examples } from '../bind.js';
import { addCarryOutOptions } from './apply.js';
import { type CarryOutFlags, runMoves } from './carry-out.js';
import { findMove, HANDLE_HELP } from './find-moves.js';
import { stepsAnswer } from './undo.js';

/** `shardline resume`. */
export function addResume(program: Command, bind: Bind): void {
  addCarryOutOptions(
    program
      .command('resume')
      .argument('[move]', `${HANDLE_HELP}; all that are not over if none is named`)
      .description('Take up what is not over, whoever began it and however it ended.'),
  )
    .addHelpText('after', examples('resume', 'resume last'))
    .action(
      bind((session, handle: string | undefined, flags: CarryOutFlags) =>
        session.withRebalancer(async (rebalancer) => {
          const moves = await session.answerTo('Asking for the moves', () =>
            openMoves(rebalancer, handle),
          );
          if (flags.dryRun) return stepsAnswer(session, rebalancer, 'resume', moves);
          session.resumeWith =
            handle === undefined ? 'shardline resume' : `shardline resume ${handle}`;
          return runMoves(
            session,
            (options) =>
              rebalancer.resume({
                ...options,
                ...(handle === undefined ? {} : { move: (moves[0] as MoveStatus).id }),
              }),
            flags,
          );
        }),
      ),
    );
}

async function openMoves(
  rebalancer: Rebalancer,
  handle: string | undefined,
): Promise<readonly MoveStatus[]> {
  if (handle !== undefined) return [await findMove(rebalancer, handle)];
  return (await rebalancer.status()).active;
}
