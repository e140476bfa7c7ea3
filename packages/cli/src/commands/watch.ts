/** Looking again and again: for `status --watch` and `status --wait`. */

import { coreErrors, isShardlineError, sleep } from '@shardline/core';
import type { MoveStatus, Rebalancer, RebalanceStatus } from '@shardline/shard-router/rebalance';
import { ProgressLines } from '../output/progress-view.js';
import { RateMeters } from '../output/rate-meter.js';
import { type Rates, statusText } from '../output/status-text.js';
import { plainStyle } from '../output/style.js';
import type { Session } from '../session.js';

/** What is looked at, and when it is enough. */
export interface WatchOptions {
  readonly intervalMs: number;
  /** In milliseconds from now; undefined for as long as nobody stops it. */
  readonly timeoutMs: number | undefined;
  /** Whether what was waited for has come. */
  isEnough(status: RebalanceStatus): Promise<boolean> | boolean;
}

/** How watching ended. */
export interface WatchEnd {
  readonly status: RebalanceStatus;
  readonly why: 'enough' | 'timeout' | 'interrupted';
}

const CLEAR = '\u001B[H\u001B[J';

/** Looks until it is enough, the time is over or somebody stops it. */
export async function watch(
  session: Session,
  rebalancer: Rebalancer,
  { intervalMs, timeoutMs, isEnough }: WatchOptions,
): Promise<WatchEnd> {
  const untilMs = session.host.now() + (timeoutMs ?? Number.POSITIVE_INFINITY);
  const screen = new Screen(session);
  let status = await session.answerTo('Asking for the status', () => rebalancer.status());
  for (;;) {
    screen.show(status);
    if (await isEnough(status)) return { status, why: 'enough' };
    if (session.host.now() >= untilMs) return { status, why: 'timeout' };
    try {
      await sleep(Math.min(intervalMs, Math.max(0, untilMs - session.host.now())), {
        signal: session.signal,
      });
      status = await session.answerTo('Asking for the status', () => rebalancer.status());
    } catch (error) {
      if (session.isInterrupted && isShardlineError(error, coreErrors.ABORTED.code)) {
        return { status, why: 'interrupted' };
      }
      throw error;
    }
  }
}

/** Redraws on a terminal, writes a line per change elsewhere, and events for programs. */
class Screen {
  readonly #session: Session;
  readonly #meters = new RateMeters();
  readonly #lines: ProgressLines;

  constructor(session: Session) {
    this.#session = session;
    this.#lines = new ProgressLines({
      stream: session.host.output,
      style: plainStyle,
      format: session.format,
      now: () => session.host.now(),
      mask: (text) => session.mask(text),
      event: () => {},
    });
  }

  show(status: RebalanceStatus): void {
    const { format, host, style } = this.#session;
    if (format === 'ndjson') {
      this.#session.event({ kind: 'status', at: new Date(host.now()), ...status });
    } else if (format === 'text' && host.output.isTTY === true) {
      const text = this.#session.mask(statusText(status, style, this.#rates(status.active)));
      host.output.write(`${CLEAR}${text}\n`);
    } else if (format === 'text') {
      for (const move of status.active) this.#lines.update(move);
    }
  }

  #rates(moves: readonly MoveStatus[]): Rates {
    const atMs = this.#session.host.now();
    return new Map(
      moves.map(({ id, progress }) => [id, this.#meters.add(id, progress.copiedBytes, atMs)]),
    );
  }
}
