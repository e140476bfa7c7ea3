import { durationMs } from '@shardline/core';
import type { MoveStatus, Rebalancer, RebalanceStatus } from '@shardline/shard-router/rebalance';
import { type Command, Option } from 'commander';
import type { Answer } from '../answer.js';
import { type Bind, examples } from '../bind.js';
import { EXIT, type ExitCode } from '../exit-codes.js';
import { hasSwitched, isOver, shortId, shownState } from '../output/move-line.js';
import { nextForMoves, nextForStatus } from '../output/next-steps.js';
import { statusText } from '../output/status-text.js';
import { formatSpan } from '../output/units.js';
import type { Session } from '../session.js';
import { durationArgument } from './duration-argument.js';
import { findMoves, HANDLE_HELP } from './find-moves.js';
import { watch } from './watch.js';

interface StatusFlags {
  readonly watch?: boolean;
  readonly wait?: boolean;
  readonly for: 'over' | 'switched';
  readonly timeout: number;
  readonly interval: number;
}

/** `shardline status`. */
export function addStatus(program: Command, bind: Bind): void {
  program
    .command('status')
    .argument('[move]', `with --wait: ${HANDLE_HELP}; all that are under way if none is named`)
    .description('Shards, routers and moves at one glance.')
    .option('-w, --watch', 'look again and again until Ctrl-C')
    .option('--wait', 'look until the moves have come to their end')
    .addOption(
      new Option('--for <end>', 'with --wait: until they are over, or have switched')
        .choices(['over', 'switched'])
        .default('over'),
    )
    .option('--timeout <duration>', 'longest wait of --wait', durationArgument, durationMs('1h'))
    .option('--interval <duration>', 'how often to look', durationArgument, durationMs('1s'))
    .addHelpText(
      'after',
      examples('status', 'status --watch', 'status last --wait --for switched --timeout 10m'),
    )
    .action(
      bind((session, handle: string | undefined, flags: StatusFlags) =>
        session.withRebalancer(async (rebalancer) => {
          if (flags.wait) return waitFor(session, rebalancer, handle, flags);
          if (flags.watch) return keepWatching(session, rebalancer, flags);
          const status = await session.answerTo('Asking for the status', () => rebalancer.status());
          return statusAnswer(status);
        }),
      ),
    );
}

function statusAnswer(status: RebalanceStatus): Answer {
  return {
    kind: 'status',
    data: { ...status },
    text: (style) => statusText(status, style),
    next: nextForStatus(status),
  };
}

async function keepWatching(
  session: Session,
  rebalancer: Rebalancer,
  { interval }: StatusFlags,
): Promise<Answer> {
  const { status } = await watch(session, rebalancer, {
    intervalMs: interval,
    timeoutMs: undefined,
    isEnough: () => false,
  });
  // To end a watch is no interruption of anything.
  return statusAnswer(status);
}

async function waitFor(
  session: Session,
  rebalancer: Rebalancer,
  handle: string | undefined,
  flags: StatusFlags,
): Promise<Answer> {
  const wanted = await session.answerTo('Asking for the moves', () => movesOf(rebalancer, handle));
  const hasEnded =
    flags.for === 'over' ? isOver : (move: MoveStatus) => hasSwitched(move) || isOver(move);
  let moves = wanted;
  const { why } = await watch(session, rebalancer, {
    intervalMs: flags.interval,
    timeoutMs: flags.timeout,
    isEnough: async ({ active, recent }) => {
      const known = new Map([...active, ...recent].map((move) => [move.id, move]));
      moves = await Promise.all(
        moves.map(async (move) => known.get(move.id) ?? (await rebalancer.move(move.id)) ?? move),
      );
      return moves.every(hasEnded);
    },
  });
  return waitAnswer(moves, why, flags);
}

async function movesOf(rebalancer: Rebalancer, handle: string | undefined): Promise<MoveStatus[]> {
  if (handle !== undefined) return findMoves(rebalancer, handle);
  return [...(await rebalancer.status()).active];
}

function waitAnswer(
  moves: readonly MoveStatus[],
  why: 'enough' | 'timeout' | 'interrupted',
  { timeout }: StatusFlags,
): Answer {
  const arrived = moves.every(hasSwitched);
  const exitCode: ExitCode =
    why === 'interrupted'
      ? EXIT.interrupted
      : why === 'timeout'
        ? EXIT.attention
        : arrived
          ? EXIT.ok
          : EXIT.fault;
  const lines = moves.map((move) => `${shortId(move.id)} ${shownState(move)}`);
  const ending =
    why === 'timeout'
      ? `Not ended within ${formatSpan(timeout)}.`
      : why === 'interrupted'
        ? 'The wait was ended; the moves go on.'
        : moves.length === 0
          ? 'No move is under way.'
          : arrived
            ? 'Every move has come to its end.'
            : 'Not every move came to where it was meant to.';
  return {
    kind: 'wait',
    data: { outcome: why, moves },
    text: () => [...lines, ending].join('\n'),
    next: moves.length === 0 ? ['shardline status'] : nextForMoves(moves),
    exitCode,
  };
}
