/**
 * What is told of a move while it runs, about once a second, and what is held back for the sake of others meanwhile. What
 * is told decides nothing.
 */

import type { TableEstimate } from './copy-progress.js';
import type { MoveAction } from './decide-action.js';
import { type CopiedSoFar, holdBack, THROTTLE_MS } from './hold-back.js';
import { streamFailsError } from './move-errors.js';
import type { MoveNote } from './move-notes.js';
import type { MoveRow } from './move-row.js';
import { isHeldIn, type MoveState } from './move-state.js';
import type { MoveWork } from './move-work.js';
import type { MoverOptions } from './mover-options.js';
import type { MoveProgress } from './status.js';
import { StreamFailures } from './stream-failures.js';
import { estimateTables, readProgress } from './stream-progress.js';

/** The journal is told of progress no more often than this. */
const NOTE_MS = 1000;

/** What a mover may wait for. */
export type WaitFor = (MoveAction & { kind: 'wait' })['for'];

const WAITING: Record<WaitFor, string> = {
  copy: 'The rows that were there at the beginning are being copied.',
  stream: 'The destination is catching up.',
  release: 'Everything is ready; the switch waits for its release.',
  routers: 'Routers have yet to acknowledge what the catalog says.',
  barrier: 'The last writes are on their way to the destination.',
  wish: 'The switch is made; the move can be rolled back or finished.',
};

/** Tells of one move, and throttles it. */
export class ProgressTeller {
  readonly #options: Pick<MoverOptions, 'clock' | 'onProgress'>;
  readonly #work: () => Promise<MoveWork>;
  readonly #note: (note: MoveNote) => Promise<void>;
  #notedAtMs = Number.NEGATIVE_INFINITY;
  #throttledAtMs = Number.NEGATIVE_INFINITY;
  #estimates: readonly TableEstimate[] | undefined;
  #copied: CopiedSoFar | undefined;
  #heldBack: string | undefined;
  readonly #failures = new StreamFailures();

  constructor(
    options: Pick<MoverOptions, 'clock' | 'onProgress'>,
    work: () => Promise<MoveWork>,
    note: (note: MoveNote) => Promise<void>,
  ) {
    this.#options = options;
    this.#work = work;
    this.#note = note;
  }

  /** Whether the copy is held back. */
  get isHeldBack(): boolean {
    return this.#heldBack !== undefined;
  }

  /** What failed was of sessions and servers that are asked anew. */
  forgetFailures(): void {
    this.#failures.forget();
  }

  /** @throws ShardlineError `MOVE_STREAM_FAILS` if the destination fails to take the rows again and again. */
  async tell(row: MoveRow, action: MoveAction): Promise<void> {
    const { clock, onProgress } = this.#options;
    const nowMs = clock.monotonicMs();
    if (isHeldIn(row.journal.state) || nowMs - this.#notedAtMs < NOTE_MS) return;
    this.#notedAtMs = nowMs;
    await this.#countFailures(row);
    const waitingFor = action.kind === 'wait' ? this.#reasonToWait(row, action.for) : null;
    const progress = await this.#progress(row);
    await this.#note({ waitingFor, ...(progress === undefined ? {} : { progress }) });
    onProgress?.({ ...row, progress, waitingFor: waitingFor ?? undefined });
  }

  /**
   * While rows are copied: are others suffering?
   *
   * @returns why the move is to be given up, if it is.
   */
  async throttle(row: MoveRow): Promise<{ readonly cause: string | undefined } | undefined> {
    const nowMs = this.#options.clock.monotonicMs();
    if (nowMs - this.#throttledAtMs < THROTTLE_MS) return undefined;
    this.#throttledAtMs = nowMs;
    const progress = await this.#progress(row);
    const now = { bytes: progress?.copiedBytes ?? 0, atMs: nowMs };
    const decision = await holdBack(await this.#work(), { before: this.#copied, now });
    this.#copied = now;
    this.#heldBack = decision.isHeldBack ? decision.cause : undefined;
    return decision.mustGiveUp ? { cause: decision.cause } : undefined;
  }

  #reasonToWait(row: MoveRow, what: WaitFor): string {
    const { steering, wish } = row;
    if (steering.isPaused && wish === undefined) {
      return 'The move is paused; it goes on when that is lifted.';
    }
    return this.#heldBack ?? this.#whatFails(row) ?? WAITING[what];
  }

  async #countFailures({ id, journal, wish }: MoveRow): Promise<void> {
    if (!isFilling(journal.state)) return;
    await this.#failures.look(await this.#work());
    if (!this.#failures.areTooMany || wish === 'abort') return;
    throw streamFailsError(id, journal.destination, this.#failures.inARow);
  }

  #whatFails({ journal }: MoveRow): string | undefined {
    const { inARow } = this.#failures;
    if (inARow === 0) return undefined;
    return `The stream has failed ${inARow} times in a row on '${journal.destination}', whose log says why; PostgreSQL tries again.`;
  }

  async #progress({ journal, progress, stateSinceMs }: MoveRow): Promise<MoveProgress | undefined> {
    if (!isFilling(journal.state)) return progress;
    const work = await this.#work();
    this.#estimates ??= await estimateTables(work);
    return readProgress(work, this.#estimates, Date.now() - stateSinceMs);
  }
}

function isFilling(state: MoveState): boolean {
  return state === 'copying' || state === 'catching_up';
}
