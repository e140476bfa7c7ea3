/** `abort`, `rollback` and `finish`: the three ways in which a person ends a move. */

import type {
  MoveStatus,
  MoveWay,
  PlannedStep,
  Rebalancer,
  WorkOptions,
} from '@shardline/shard-router/rebalance';
import type { Command } from 'commander';
import type { Answer } from '../answer.js';
import { addSettings, type Bind, examples } from '../bind.js';
import { EXIT } from '../exit-codes.js';
import { routeOf, shortId } from '../output/move-line.js';
import { movesTable } from '../output/moves-table.js';
import { nextForMoves } from '../output/next-steps.js';
import { stepsText } from '../output/steps-text.js';
import type { Session } from '../session.js';
import { findMoves, HANDLE, HANDLE_HELP } from './find-moves.js';

interface Ending {
  readonly verb: Exclude<MoveWay, 'resume'>;
  readonly description: string;
  /** `Give up the move …`. */
  readonly action: string;
  readonly consequence: string;
  /** Where a move ends that has taken this way. */
  readonly end: MoveStatus['state'];
  run(rebalancer: Rebalancer, move: string, options: WorkOptions): Promise<MoveStatus>;
}

const ENDINGS: readonly Ending[] = [
  {
    verb: 'rollback',
    description: 'Bring slots back after their switch, with everything written since.',
    action: 'Bring back',
    consequence:
      'The slots switch once more, and the move ends; to move them again needs a new plan.',
    end: 'rolled_back',
    run: (rebalancer, move, options) => rebalancer.rollback(move, options),
  },
  {
    verb: 'abort',
    description: 'Give a move up before its switch; nothing of it is left.',
    action: 'Give up',
    consequence: 'What has been copied is thrown away; no caller notices.',
    end: 'aborted',
    run: (rebalancer, move, options) => rebalancer.abort(move, options),
  },
  {
    verb: 'finish',
    description: 'End the rollback window now and clean the source.',
    action: 'Finish',
    consequence: 'The old copy is deleted; after that no rollback is possible.',
    end: 'done',
    run: (rebalancer, move, options) => rebalancer.finish(move, options),
  },
];

/** `shardline rollback`, `abort` and `finish`. */
export function addUndo(program: Command, bind: Bind): void {
  for (const ending of ENDINGS) {
    const { verb, description } = ending;
    addSettings(
      program
        .command(verb)
        .argument(HANDLE, HANDLE_HELP)
        .description(description)
        .option('--dry-run', 'print what would be done; change nothing'),
      'moves',
    )
      .addHelpText('after', examples(`${verb} last --dry-run`, `${verb} last`))
      .action(
        bind((session, handle: string, { dryRun }: { dryRun?: boolean }) =>
          session.withRebalancer(async (rebalancer) => {
            const moves = await session.answerTo('Asking for the move', () =>
              findMoves(rebalancer, handle),
            );
            if (dryRun) return stepsAnswer(session, rebalancer, verb, moves);
            return endMoves(session, rebalancer, ending, moves);
          }),
        ),
      );
  }
}

/** What a way would do to each move; nothing is done. */
export async function stepsAnswer(
  session: Session,
  rebalancer: Rebalancer,
  way: MoveWay,
  moves: readonly MoveStatus[],
): Promise<Answer> {
  const steps: PlannedStep[] = [];
  for (const { id } of moves) {
    const ofMove = await session.answerTo(`Describing move ${id}`, () =>
      rebalancer.describeMove(id, way),
    );
    steps.push(...ofMove);
  }
  const handle = moves.length === 1 ? ` ${shortId((moves[0] as MoveStatus).id)}` : '';
  return {
    kind: 'dry-run',
    data: { command: way, steps },
    text: (style) => `${stepsText(steps, style)}\n\nNothing was changed.`,
    next: steps.length === 0 ? ['shardline status'] : [`shardline ${way}${handle}`],
  };
}

async function endMoves(
  session: Session,
  rebalancer: Rebalancer,
  { verb, action, consequence, end, run }: Ending,
  moves: readonly MoveStatus[],
): Promise<Answer> {
  const named = moves.map((move) => `${shortId(move.id)} (${routeOf(move)})`).join(', ');
  await session.confirm({ action: `${action} ${named}`, consequence });
  session.resumeWith = 'shardline resume';
  const view = session.progressView();
  const ended: MoveStatus[] = [];
  try {
    for (const move of moves) {
      ended.push(
        await run(rebalancer, move.id, {
          signal: session.signal,
          onProgress: (status) => view.update(status),
        }),
      );
    }
  } finally {
    view.close();
  }
  return {
    kind: verb,
    data: { moves: ended },
    text: (style) => movesTable(ended, style),
    next: nextForMoves(ended),
    exitCode: ended.every(({ state }) => state === end) ? EXIT.ok : EXIT.attention,
  };
}
