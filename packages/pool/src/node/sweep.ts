import type { Clock, ScheduledCall } from '@shardline/core';
import type { Connection } from './connection.js';

/**
 * Looks after connections by time: closes what idled or lived too long, reports what is held too long.
 *
 * One timer for all of them, which comes when the first is due and is set anew for the next. Connections that are lent are
 * never closed here, however old.
 */
export interface SweepOptions {
  readonly clock: Clock;
  /** 0: idle connections are kept. */
  readonly idleTimeoutMs: number;
  /** 0: leaks are not reported. */
  readonly leakReportAfterMs: number;
  readonly min: number;
  readonly idle: readonly Connection[];
  readonly live: ReadonlySet<Connection>;
  readonly close: (connection: Connection) => void;
  readonly leaked: (connection: Connection, heldMs: number) => void;
}

const SHORTEST_SWEEP_MS = 10;

/** The timer that closes and reports. */
export class Sweep {
  readonly #options: SweepOptions;
  #timer: ScheduledCall | undefined;
  #dueMs = Number.POSITIVE_INFINITY;
  #isStopped = false;

  constructor(options: SweepOptions) {
    this.#options = options;
  }

  /** Comes by then, or earlier. */
  within(delayMs: number, nowMs: number): void {
    const dueMs = nowMs + delayMs;
    if (dueMs >= this.#dueMs || this.#isStopped) return;
    this.#timer?.cancel();
    this.#dueMs = dueMs;
    const waitMs = Math.max(SHORTEST_SWEEP_MS, delayMs);
    this.#timer = this.#options.clock.schedule(waitMs, () => {
      this.#dueMs = Number.POSITIVE_INFINITY;
      this.#sweep();
    });
  }

  stop(): void {
    this.#isStopped = true;
    this.#timer?.cancel();
  }

  #sweep(): void {
    const { clock, leakReportAfterMs } = this.#options;
    const nowMs = clock.monotonicMs();
    let nextMs = this.#closeOld(nowMs);
    if (leakReportAfterMs > 0) nextMs = Math.min(nextMs, this.#reportLeaks(nowMs));
    if (Number.isFinite(nextMs)) this.within(nextMs, nowMs);
  }

  #closeOld(nowMs: number): number {
    const { idle, live, idleTimeoutMs, min, close } = this.#options;
    let nextMs = Number.POSITIVE_INFINITY;
    for (const connection of [...idle]) {
      const idleLeftMs = idleTimeoutMs - (nowMs - connection.sinceMs);
      const isIdleTooLong = idleTimeoutMs > 0 && idleLeftMs <= 0 && live.size > min;
      if (isIdleTooLong || nowMs >= connection.expiresAtMs) close(connection);
      else {
        if (idleTimeoutMs > 0 && idleLeftMs > 0) nextMs = Math.min(nextMs, idleLeftMs);
        nextMs = Math.min(nextMs, connection.expiresAtMs - nowMs);
      }
    }
    return nextMs;
  }

  #reportLeaks(nowMs: number): number {
    const { live, leakReportAfterMs, leaked } = this.#options;
    let nextMs = Number.POSITIVE_INFINITY;
    for (const connection of live) {
      if (connection.state !== 'lent' || connection.isLeakReported) continue;
      const heldMs = nowMs - connection.sinceMs;
      if (heldMs < leakReportAfterMs) nextMs = Math.min(nextMs, leakReportAfterMs - heldMs);
      else {
        connection.isLeakReported = true;
        leaked(connection, heldMs);
      }
    }
    return nextMs;
  }
}
