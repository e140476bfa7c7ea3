import type { Clock, ScheduledCall, ShardlineError } from '@shardline/core';
import { isShardlineError } from '@shardline/core';
import type { Connection } from './connection.js';
import { decideDials } from './dial-demand.js';
import type { Dialer } from './dialer.js';

/**
 * Keeps as many dials under way as are needed, and backs off from a server that cannot be reached.
 *
 * Nobody waits *here*: what comes up is handed to the pool, which gives it to whoever waits longest.
 * After a failure the next dial comes after a pause that doubles; one dial at a time probes the
 * server then, since a hundred waiters would only knock at a closed door a hundred times.
 */
export interface DialCrewOptions {
  readonly dialer: Dialer;
  readonly max: number;
  readonly min: number;
  readonly clock: Clock;
  readonly random: () => number;
  /** What the pool needs at this moment. */
  readonly situation: () => {
    waiting: number;
    live: number;
    headWaitMs: number;
    crowdedMs: number;
    holdMs: number | undefined;
  };
  readonly onConnected: (connection: Connection, durationMs: number) => void;
  readonly onFailed: (error: ShardlineError) => void;
}

/** Weight of the newest observation in the running average. */
const NEWEST_WEIGHT = 0.2;
const FIRST_BACKOFF_MS = 50;
const LONGEST_BACKOFF_MS = 1000;
/** Wrong credentials do not mend themselves, and servers lock accounts: ask seldom. */
const AUTHENTICATION_BACKOFF_MS = 5000;

/** The dials of one pool. */
export class DialCrew {
  readonly #options: DialCrewOptions;
  readonly #dials = new Set<AbortController>();
  #timer: ScheduledCall | undefined;
  #timerDueMs = Number.POSITIVE_INFINITY;
  #dialMs: number | undefined;
  #failures = 0;
  #backoffUntilMs = 0;
  #lastError: ShardlineError | undefined;
  #isStopped = false;

  constructor(options: DialCrewOptions) {
    this.#options = options;
  }

  /** Dials under way. */
  get count(): number {
    return this.#dials.size;
  }

  /** Why the last dial failed, while none has succeeded since. */
  get lastError(): ShardlineError | undefined {
    return this.#lastError;
  }

  /** The error that a new waiter meets at once: refused credentials, while they are not asked again. */
  get refusal(): ShardlineError | undefined {
    const isRefused = isShardlineError(this.#lastError, 'POOL_AUTHENTICATION_FAILED');
    return isRefused && this.#now < this.#backoffUntilMs ? this.#lastError : undefined;
  }

  /** Starts the dials that are needed now; called whenever something has changed. */
  pulse(): void {
    if (this.#isStopped) return;
    const { max, min, situation } = this.#options;
    const { live, ...needs } = situation();
    const dialing = this.#dials.size;
    const missing = Math.min(min - live - dialing, max - live - dialing);
    const decision = decideDials({ ...needs, live, dialing, max, dialMs: this.#dialMs });
    const wanted = Math.max(missing, decision.dials);
    if (wanted > 0) this.#start(wanted);
    if (decision.recheckMs !== undefined) this.#pulseIn(decision.recheckMs);
  }

  /** The server has been seen alive: the pause after failures is over. */
  noteAlive(): void {
    if (this.#failures === 0) return;
    this.#failures = 0;
    this.#backoffUntilMs = 0;
    this.pulse();
  }

  /** Gives up every dial and starts no more. */
  stop(): void {
    this.#isStopped = true;
    this.#timer?.cancel();
    for (const dial of this.#dials) dial.abort();
  }

  get #now(): number {
    return this.#options.clock.monotonicMs();
  }

  #start(wanted: number): void {
    const pauseMs = this.#backoffUntilMs - this.#now;
    if (pauseMs > 0) {
      this.#pulseIn(pauseMs);
      return;
    }
    const allowed = this.#failures > 0 ? Math.min(wanted, 1 - this.#dials.size) : wanted;
    for (let started = 0; started < allowed; started += 1) void this.#dial();
  }

  async #dial(): Promise<void> {
    const controller = new AbortController();
    const startedAtMs = this.#now;
    this.#dials.add(controller);
    try {
      const connection = await this.#options.dialer.dial(controller.signal);
      this.#dials.delete(controller);
      const durationMs = this.#now - startedAtMs;
      this.#dialMs = average(this.#dialMs, durationMs);
      this.#failures = 0;
      this.#lastError = undefined;
      this.#options.onConnected(connection, durationMs);
    } catch (error) {
      this.#dials.delete(controller);
      if (this.#isStopped) return;
      this.#noteFailure(error as ShardlineError);
    }
    this.pulse();
  }

  #noteFailure(error: ShardlineError): void {
    this.#failures += 1;
    this.#lastError = error;
    const isRefused = isShardlineError(error, 'POOL_AUTHENTICATION_FAILED');
    const doubledMs = FIRST_BACKOFF_MS * 2 ** Math.min(this.#failures - 1, 10);
    const baseMs = isRefused ? AUTHENTICATION_BACKOFF_MS : Math.min(LONGEST_BACKOFF_MS, doubledMs);
    this.#backoffUntilMs = this.#now + baseMs * (0.75 + this.#options.random() / 4);
    this.#options.onFailed(error);
  }

  #pulseIn(delayMs: number): void {
    const dueMs = this.#now + delayMs;
    if (dueMs >= this.#timerDueMs) return;
    this.#timer?.cancel();
    this.#timerDueMs = dueMs;
    this.#timer = this.#options.clock.schedule(delayMs, () => {
      this.#timerDueMs = Number.POSITIVE_INFINITY;
      this.pulse();
    });
  }
}

function average(previous: number | undefined, newest: number): number {
  return previous === undefined ? newest : previous + NEWEST_WEIGHT * (newest - previous);
}
