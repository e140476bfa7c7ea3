import type { Command } from 'commander';
import { type Bind, examples } from '../bind.js';
import { isOver } from '../output/move-line.js';
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
          if (flags.dryRun) {
            const { active } = await session.answerTo('Asking for the moves', () =>
              rebalancer.status(),
            );
            return stepsAnswer(
              'resume',
              active.filter((move) => !isOver(move)),
            );
          }
          const move =
            handle === undefined
              ? undefined
              : await session.answerTo('Asking for the move', () => findMove(rebalancer, handle));
          session.resumeWith =
            handle === undefined ? 'shardline resume' : `shardline resume ${handle}`;
          return runMoves(
            session,
            (options) =>
              rebalancer.resume({ ...options, ...(move === undefined ? {} : { move: move.id }) }),
            flags,
          );
        }),
      ),
    );
}
