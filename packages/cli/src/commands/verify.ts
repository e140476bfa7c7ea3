import type { VerifyReport } from '@shardline/shard-router/rebalance';
import type { Command } from 'commander';
import type { Answer } from '../answer.js';
import { type Bind, examples } from '../bind.js';
import { EXIT } from '../exit-codes.js';
import { shortId } from '../output/move-line.js';
import { verifyText } from '../output/verify-text.js';
import { findMove, HANDLE_HELP } from './find-moves.js';

/** `shardline verify`. */
export function addVerify(program: Command, bind: Bind): void {
  program
    .command('verify')
    .argument(
      '[move]',
      `${HANDLE_HELP}; without one: rows that no shard should hold are looked for`,
    )
    .description('Compare the rows of both sides of a move, or look for rows at the wrong shard.')
    .addHelpText('after', examples('verify last', 'verify'))
    .action(
      bind((session, handle: string | undefined) =>
        session.withRebalancer(async (rebalancer) => {
          const move =
            handle === undefined
              ? undefined
              : await session.answerTo('Asking for the move', () => findMove(rebalancer, handle));
          session.resumeWith =
            handle === undefined ? 'shardline verify' : `shardline verify ${handle}`;
          const view = session.progressView();
          try {
            const report = await rebalancer.verify({
              signal: session.signal,
              onProgress: (status) => view.update(status),
              ...(move === undefined ? {} : { move: move.id }),
            });
            return verifyAnswer(report, session.isInterrupted);
          } finally {
            view.close();
          }
        }),
      ),
    );
}

function verifyAnswer(report: VerifyReport, isInterrupted: boolean): Answer {
  const isEqual = report.differences.length === 0 && report.foreignRows.length === 0;
  const handle = report.moveId === undefined ? '' : ` ${shortId(report.moveId)}`;
  return {
    kind: 'verify',
    data: { ...report },
    text: (style) => verifyText(report, style),
    next: isEqual
      ? report.isComplete
        ? ['shardline status']
        : [`shardline verify${handle}`]
      : report.moveId === undefined
        ? ['shardline repair']
        : [`shardline abort${handle}`, `shardline verify${handle}`],
    exitCode: isInterrupted
      ? EXIT.interrupted
      : isEqual && report.isComplete
        ? EXIT.ok
        : EXIT.attention,
  };
}
