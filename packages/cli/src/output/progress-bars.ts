import type { MoveStatus } from '@shardline/shard-router/rebalance';
import cliProgress from 'cli-progress';
import { fitLine } from './fit-line.js';
import { copiedShare, moveLine } from './move-line.js';
import type { ProgressView, ProgressViewOptions } from './progress-view.js';
import { RateMeter } from './rate-meter.js';

/** Steps of a bar: finer than any terminal is wide. */
const STEPS = 1000;

/** What is taken of a terminal that does not say how wide it is. */
const USUAL_COLUMNS = 80;
/** On fewer columns the bar is short, and where a move goes is left to `status`: how far it is comes first. */
const ROOMY_COLUMNS = 110;
const BAR_COLUMNS = 20;
const SHORT_BAR_COLUMNS = 8;

const WRAPS = '\u001b[?7h';
const WRAPS_NOT = '\u001b[?7l';

interface MoveBar {
  readonly bar: cliProgress.SingleBar;
  readonly meter: RateMeter;
}

/** What a bar is drawn from. */
interface Drawn {
  readonly move: MoveStatus;
  readonly bytesPerSecond: number | undefined;
}

/** A bar for each move on a terminal, with as much of what its line says as there is room for. */
export class ProgressBars implements ProgressView {
  readonly #options: ProgressViewOptions;
  readonly #bars: cliProgress.MultiBar;
  readonly #moves = new Map<string, MoveBar>();

  constructor(options: ProgressViewOptions) {
    this.#options = options;
    this.#bars = new cliProgress.MultiBar({
      stream: options.stream as NodeJS.WritableStream,
      format: (_, { progress }, drawn: Drawn) => this.#draw(progress, drawn),
      hideCursor: true,
      clearOnComplete: false,
      // Ctrl-C is ours to handle; the library would otherwise end the process in its own way.
      gracefulExit: false,
    });
  }

  update(move: MoveStatus): void {
    const known = this.#moves.get(move.id);
    const meter = known?.meter ?? new RateMeter();
    const bytesPerSecond = meter.add(move.progress.copiedBytes, this.#options.now());
    const drawn: Drawn = { move, bytesPerSecond };
    const value = Math.floor(STEPS * (copiedShare(move) ?? shareOf(move)));
    if (known !== undefined) known.bar.update(value, drawn);
    else this.#moves.set(move.id, { bar: this.#bars.create(STEPS, value, drawn), meter });
  }

  note(text: string): void {
    if (!this.#bars.isActive) {
      this.#options.stream.write(`${text}\n`);
      return;
    }
    // Above the bars, and whole: only they are cut at the edge.
    this.#bars.log(`${WRAPS}${text}\n${WRAPS_NOT}`);
    this.#bars.update();
  }

  close(): void {
    this.#bars.stop();
  }

  /** Drawn anew several times a second, so that it follows the width of the terminal. */
  #draw(share: number, { move, bytesPerSecond }: Drawn): string {
    const { mask, style, stream } = this.#options;
    const columns = stream.columns ?? USUAL_COLUMNS;
    const isRoomy = columns >= ROOMY_COLUMNS;
    const barColumns = isRoomy ? BAR_COLUMNS : SHORT_BAR_COLUMNS;
    const full = Math.round(barColumns * share);
    const bar = `${'█'.repeat(full)}${'░'.repeat(barColumns - full)}`;
    return fitLine(`${bar} ${mask(moveLine(move, bytesPerSecond, style, isRoomy))}`, columns);
  }
}

/** Before the copy nothing is done, after it everything that a bar can show. */
function shareOf({ state }: MoveStatus): number {
  return state === 'planned' || state === 'preflight' || state === 'prepared' ? 0 : 1;
}
