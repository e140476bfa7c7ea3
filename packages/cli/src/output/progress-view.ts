/**
 * Long work as it is watched: bars on a terminal, lines where somebody collects them, events for programs, nothing where
 * one document is wanted.
 */

import type { MoveStatus } from '@shardline/shard-router/rebalance';
import type { DocumentEvent } from '../documents.js';
import type { OutputStream } from '../host.js';
import type { Format } from '../interaction.js';
import { moveLine, whyWaiting } from './move-line.js';
import { ProgressBars } from './progress-bars.js';
import { RateMeters } from './rate-meter.js';
import { plainStyle, type Style } from './style.js';
import { formatTime } from './units.js';

/** Is told of every change of a move. */
export interface ProgressView {
  update(move: MoveStatus): void;
  /** Tells people something meanwhile. */
  note(text: string): void;
  /** Leaves the terminal as it was found. */
  close(): void;
}

/** What a view needs. */
export interface ProgressViewOptions {
  readonly stream: OutputStream;
  readonly style: Style;
  readonly format: Format;
  now(): number;
  mask(text: string): string;
  event(event: DocumentEvent): void;
}

/** The view that fits the format and the stream. */
export function createProgressView(options: ProgressViewOptions): ProgressView {
  if (options.format === 'ndjson') return new ProgressEvents(options);
  if (options.format === 'json') return { update: () => {}, note: () => {}, close: () => {} };
  return options.stream.isTTY === true ? new ProgressBars(options) : new ProgressLines(options);
}

class ProgressEvents implements ProgressView {
  readonly #options: ProgressViewOptions;

  constructor(options: ProgressViewOptions) {
    this.#options = options;
  }

  update(move: MoveStatus): void {
    const { now, event } = this.#options;
    event({ kind: 'progress', at: new Date(now()), move });
  }

  note(): void {}

  close(): void {}
}

/** At most one line a second for each move while it goes on, and one in this time while nothing changes. */
const TICK_MS = 1000;
const QUIET_MS = 30_000;

interface Shown {
  readonly what: string;
  readonly line: string;
  readonly atMs: number;
}

/** A line per tick: what changed is told at once, what goes on once a second, what stands still now and then. */
export class ProgressLines implements ProgressView {
  readonly #options: ProgressViewOptions;
  readonly #meters = new RateMeters();
  readonly #shown = new Map<string, Shown>();

  constructor(options: ProgressViewOptions) {
    this.#options = options;
  }

  update(move: MoveStatus): void {
    const atMs = this.#options.now();
    const rate = this.#meters.add(move.id, move.progress.copiedBytes, atMs);
    const line = moveLine(move, rate, plainStyle);
    const what = [move.state, move.steering.isPaused, whyWaiting(move), move.lastError].join('|');
    if (!isDue(this.#shown.get(move.id), what, line, atMs)) return;
    this.#shown.set(move.id, { what, line, atMs });
    const { stream, mask } = this.#options;
    stream.write(`${formatTime(atMs)}  ${mask(line)}\n`);
  }

  note(text: string): void {
    this.#options.stream.write(`${text}\n`);
  }

  close(): void {}
}

function isDue(shown: Shown | undefined, what: string, line: string, atMs: number): boolean {
  if (shown === undefined || shown.what !== what) return true;
  return atMs - shown.atMs >= (shown.line === line ? QUIET_MS : TICK_MS);
}
