/** `pause`, `continue`, `throttle`, `hold` and `release`: what a running move shall do, said through the journal. */

import type { MoveStatus, MoveSteering } from '@shardline/shard-router/rebalance';
import { type Command, InvalidArgumentError } from 'commander';
import type { Answer } from '../answer.js';
import { type Bind, examples } from '../bind.js';
import { parseBytes } from '../config/settings.js';
import { moveLine } from '../output/move-line.js';
import { nextForMoves } from '../output/next-steps.js';
import { formatRate } from '../output/units.js';
import type { Session } from '../session.js';
import { findMoves, HANDLE, HANDLE_HELP } from './find-moves.js';

type Verb = 'pause' | 'continue' | 'hold' | 'release' | 'throttle';

interface Steering {
  readonly verb: Verb;
  readonly description: string;
  readonly steering: Partial<MoveSteering>;
}

const STEERINGS: readonly Steering[] = [
  {
    verb: 'pause',
    description: 'Let a move stand still at its next safe point; it keeps what it has.',
    steering: { isPaused: true },
  },
  {
    verb: 'continue',
    description: 'Let a paused move go on.',
    steering: { isPaused: false },
  },
  {
    verb: 'hold',
    description: 'Let a move copy and keep up, and wait before its switch.',
    steering: { isCutOverHeld: true },
  },
  {
    verb: 'release',
    description: 'Let a move that waits before its switch go on.',
    steering: { isCutOverHeld: false },
  },
];

/** `shardline pause`, `continue`, `hold`, `release` and `throttle`. */
export function addSteering(program: Command, bind: Bind): void {
  for (const { verb, description, steering } of STEERINGS) {
    program
      .command(verb)
      .argument(HANDLE, HANDLE_HELP)
      .description(description)
      .option('--dry-run', 'print what would be said; say nothing')
      .addHelpText('after', examples(`${verb} last`))
      .action(
        bind((session, handle: string, { dryRun }: { dryRun?: boolean }) =>
          steer(session, verb, handle, steering, dryRun === true),
        ),
      );
  }
  program
    .command('throttle')
    .argument(HANDLE, HANDLE_HELP)
    .argument(
      '<rate>',
      'bytes per second above which the copy is held back, such as 20MB, or `off`',
      rateArgument,
    )
    .description(
      'Slow the copy of a move down, or let it go again. A coarse brake: the stream is switched off and on about once a second, and a table whose COPY has begun is copied to its end.',
    )
    .option('--dry-run', 'print what would be said; say nothing')
    .addHelpText('after', examples('throttle last 20MB', 'throttle last off'))
    .action(
      bind(
        (
          session,
          handle: string,
          rate: { readonly bytesPerSecond: number | undefined },
          { dryRun }: { dryRun?: boolean },
        ) => steer(session, 'throttle', handle, rate, dryRun === true),
      ),
    );
}

/** Reads a rate; wrapped, since commander takes undefined for no value at all. */
export function rateArgument(text: string): { readonly bytesPerSecond: number | undefined } {
  if (text === 'off' || text === 'none') return { bytesPerSecond: undefined };
  const bytesPerSecond = parseBytes(text.replace(/\/s$/, ''));
  if (bytesPerSecond === undefined || bytesPerSecond < 1) {
    throw new InvalidArgumentError(`'${text}' is no rate such as 20MB or 1GiB, nor 'off'.`);
  }
  return { bytesPerSecond };
}

async function steer(
  session: Session,
  verb: Verb,
  handle: string,
  steering: Partial<MoveSteering>,
  isDryRun: boolean,
): Promise<Answer> {
  return session.withRebalancer(async (rebalancer) => {
    const moves = await session.answerTo('Asking for the move', () =>
      findMoves(rebalancer, handle),
    );
    if (isDryRun) return dryRun(verb, handle, moves, steering);
    const steered: MoveStatus[] = [];
    for (const { id } of moves) {
      steered.push(
        await session.answerTo(`Steering move ${id}`, () => rebalancer.steer(id, steering)),
      );
    }
    return {
      kind: verb,
      data: { moves: steered },
      text: (style) => steered.map((move) => moveLine(move, undefined, style)).join('\n'),
      next: nextForMoves(steered),
    };
  });
}

function dryRun(
  verb: Verb,
  handle: string,
  moves: readonly MoveStatus[],
  steering: Partial<MoveSteering>,
): Answer {
  return {
    kind: 'dry-run',
    data: {
      command: verb,
      // A limit that is lifted is a fact too, and JSON knows no undefined.
      steering: {
        ...steering,
        ...('bytesPerSecond' in steering
          ? { bytesPerSecond: steering.bytesPerSecond ?? null }
          : {}),
      },
      moves,
    },
    text: (style) =>
      [
        ...moves.map((move) => moveLine(move, undefined, style)),
        '',
        `Would be told to ${verb}${'bytesPerSecond' in steering ? ` to ${steering.bytesPerSecond === undefined ? 'as fast as it can' : formatRate(steering.bytesPerSecond)}` : ''}. Nothing was changed.`,
      ].join('\n'),
    next: [`shardline ${verb} ${handle}${verb === 'throttle' ? ' RATE' : ''}`],
  };
}
