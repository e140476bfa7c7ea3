import type { MoveStatus } from '@shardline/shard-router/rebalance';
import cliProgress from 'cli-progress';
import { copiedShare, moveLine } from './move-line.js';
import type { ProgressView, ProgressViewOptions } from './progress-view.js';
import { RateMeter } from './rate-meter.js';

/** Steps of a bar: finer than any terminal is wide. */
const STEPS = 1000;

interface MoveBar {
  readonly bar: cliProgress.SingleBar;
  readonly meter: RateMeter;
}

/** A bar for each move on a terminal, with everything that its line says. */
export class ProgressBars implements ProgressView {
  readonly #options: ProgressViewOptions;
  readonly #bars: cliProgress.MultiBar;
  readonly #moves = new Map<string, MoveBar>();

  constructor(options: ProgressViewOptions) {
    this.#options = options;
    this.#bars = new cliProgress.MultiBar({
      stream: options.stream as NodeJS.WritableStream,
      format: '{bar} {line}',
      barsize: 20,
      barCompleteChar: '█',
      barIncompleteChar: '░',
      hideCursor: true,
      clearOnComplete: false,
      // Ctrl-C is ours to handle; the library would otherwise end the process in its own way.
      gracefulExit: false,
    });
  }

  update(move: MoveStatus): void {
    const { now, mask, style } = this.#options;
    let known = this.#moves.get(move.id);
    if (known === undefined) {
      known = { bar: this.#bars.create(STEPS, 0, { line: '' }), meter: new RateMeter() };
      this.#moves.set(move.id, known);
    }
    const rate = known.meter.add(move.progress.copiedBytes, now());
    const line = mask(moveLine(move, rate, style));
    known.bar.update(Math.floor(STEPS * (copiedShare(move) ?? shareOf(move))), { line });
  }

  close(): void {
    this.#bars.stop();
  }
}

/** Before the copy nothing is done, after it everything that a bar can show. */
function shareOf({ state }: MoveStatus): number {
  return state === 'planned' || state === 'preflight' || state === 'prepared' ? 0 : 1;
}
