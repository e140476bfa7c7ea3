import { type Clock, systemClock } from './clock.js';

/**
 * A circuit breaker that counts and never calls: the caller asks `tryPass()`, does the work itself, and
 * reports `succeeded()` or `failed()`. So a hot path pays for two additions and no closure, and time
 * is an input (cockatiel, the library we would have taken, reads the clock itself and wraps the call;
 * see docs/decisions).
 *
 * - closed: calls pass; outcomes are counted in a rolling window. A run of failures, or a share of
 *   failures in the window, opens it.
 * - open: no call passes until the pause is over; each opening in a row doubles the pause.
 * - half-open: one call passes as a probe. Its success closes the circuit, its failure opens it again.
 *   A probe that never reports is replaced after `probeTimeoutMs`: a breaker without this stays open for
 *   ever after one lost probe.
 */
export interface BreakerOptions {
  /** Failures in a row that open the circuit. @default 5 */
  readonly consecutiveFailures?: number;
  /** Share of failures in the window that opens the circuit, 0 to 1. @default 0.5 */
  readonly failureRatio?: number;
  /** Calls in the window below which the share says nothing. @default 20 */
  readonly minimumCalls?: number;
  /** Length of the rolling window in milliseconds. @default 10_000 */
  readonly windowMs?: number;
  /** First pause after opening, in milliseconds. @default 1000 */
  readonly openMs?: number;
  /** Longest pause after opening many times in a row, in milliseconds. @default 30_000 */
  readonly maxOpenMs?: number;
  /** How long a probe may go without reporting, in milliseconds. @default 5000 */
  readonly probeTimeoutMs?: number;
  readonly clock?: Clock;
  /** Told of every change of state, once. */
  readonly onTransition?: (from: BreakerState, to: BreakerState) => void;
}

/** Whether calls pass, are kept off, or one is let through to see. */
export type BreakerState = 'closed' | 'open' | 'half-open';

const WINDOW_SLICES = 10;

/** Counts outcomes and says whether the next call may pass. */
export class Breaker {
  readonly #settings: Required<Omit<BreakerOptions, 'clock' | 'onTransition'>>;
  readonly #clock: Clock;
  readonly #onTransition: BreakerOptions['onTransition'];
  readonly #successes = new Float64Array(WINDOW_SLICES);
  readonly #failures = new Float64Array(WINDOW_SLICES);
  #slice = 0;
  #consecutiveFailures = 0;
  #openings = 0;
  #reopenAtMs = 0;
  #probeUntilMs = 0;
  #state: BreakerState = 'closed';

  constructor(options: BreakerOptions = {}) {
    this.#settings = {
      consecutiveFailures: options.consecutiveFailures ?? 5,
      failureRatio: options.failureRatio ?? 0.5,
      minimumCalls: options.minimumCalls ?? 20,
      windowMs: options.windowMs ?? 10_000,
      openMs: options.openMs ?? 1000,
      maxOpenMs: options.maxOpenMs ?? 30_000,
      probeTimeoutMs: options.probeTimeoutMs ?? 5000,
    };
    this.#clock = options.clock ?? systemClock;
    this.#onTransition = options.onTransition;
  }

  /** The state as last decided; an open circuit turns half-open when a call asks to pass. */
  get state(): BreakerState {
    return this.#state;
  }

  /** Milliseconds until a call may pass again; 0 when one may pass now. */
  get retryAfterMs(): number {
    if (this.#state === 'closed') return 0;
    const untilMs = this.#state === 'open' ? this.#reopenAtMs : this.#probeUntilMs;
    return Math.max(0, untilMs - this.#clock.monotonicMs());
  }

  /** Whether a call may go ahead. Whoever is told yes reports how it went. */
  tryPass(): boolean {
    if (this.#state === 'closed') return true;
    const nowMs = this.#clock.monotonicMs();
    if (nowMs < (this.#state === 'open' ? this.#reopenAtMs : this.#probeUntilMs)) return false;
    this.#probeUntilMs = nowMs + this.#settings.probeTimeoutMs;
    this.#moveTo('half-open');
    return true;
  }

  succeeded(): void {
    this.#consecutiveFailures = 0;
    if (this.#state === 'closed') {
      const slice = this.#currentSlice();
      this.#successes[slice] = (this.#successes[slice] as number) + 1;
      return;
    }
    // A call that began before the circuit opened proves nothing about now; only a probe does.
    if (this.#state === 'half-open') this.#close();
  }

  failed(): void {
    if (this.#state === 'open') return;
    if (this.#state === 'half-open') {
      this.#open();
      return;
    }
    const slice = this.#currentSlice();
    this.#failures[slice] = (this.#failures[slice] as number) + 1;
    this.#consecutiveFailures += 1;
    if (this.#isTooMuch()) this.#open();
  }

  #isTooMuch(): boolean {
    if (this.#consecutiveFailures >= this.#settings.consecutiveFailures) return true;
    const failures = sum(this.#failures);
    const calls = failures + sum(this.#successes);
    return calls >= this.#settings.minimumCalls && failures / calls >= this.#settings.failureRatio;
  }

  #open(): void {
    const { openMs, maxOpenMs } = this.#settings;
    this.#reopenAtMs =
      this.#clock.monotonicMs() + Math.min(maxOpenMs, openMs * 2 ** this.#openings);
    this.#openings += 1;
    this.#moveTo('open');
  }

  #close(): void {
    this.#successes.fill(0);
    this.#failures.fill(0);
    this.#consecutiveFailures = 0;
    this.#openings = 0;
    this.#moveTo('closed');
  }

  #moveTo(state: BreakerState): void {
    const from = this.#state;
    if (from === state) return;
    this.#state = state;
    this.#onTransition?.(from, state);
  }

  /** The slice of the window that now falls in, with the slices that went by emptied. */
  #currentSlice(): number {
    const slice = Math.floor(this.#clock.monotonicMs() / (this.#settings.windowMs / WINDOW_SLICES));
    const passed = Math.min(WINDOW_SLICES, slice - this.#slice);
    for (let back = 0; back < passed; back += 1) {
      this.#successes[(slice - back) % WINDOW_SLICES] = 0;
      this.#failures[(slice - back) % WINDOW_SLICES] = 0;
    }
    this.#slice = slice;
    return slice % WINDOW_SLICES;
  }
}

function sum(counts: Float64Array): number {
  let total = 0;
  for (const count of counts) total += count;
  return total;
}
