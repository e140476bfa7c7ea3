import { onAbort } from './abort-listeners.js';
import { type Clock, type ScheduledCall, systemClock } from './clock.js';
import { abortedError, deadlineError } from './deadline.js';
import { coreErrors, ShardlineError } from './errors.js';

/**
 * Waiters in order of arrival, never more than a limit, each with a deadline and a signal of its own.
 *
 * A doubly linked list, since a waiter leaves from the middle when its caller gives up, and a full queue
 * of thousands must not be searched for it. A waiter is handed its value or its error exactly once.
 *
 * All waiters share one timer, set to the earliest deadline: nearly all are served long before theirs, and a timer
 * for each costs more than the rest of the wait. It may fire for one that has been served; then it finds
 * nobody due and is set anew. While somebody waits it keeps the process running, and is called off with the last.
 */
export interface BoundedQueueOptions {
  /** Most waiters at a time. */
  readonly limit: number;
  /** What is waited for, as the beginning of a sentence: `Waiting for a connection to db-1`. */
  readonly doing: string;
  readonly clock?: Clock;
}

/** How long one waiter waits. */
export interface WaitOptions {
  /** Longest wait in milliseconds. */
  readonly timeoutMs: number;
  readonly signal?: AbortSignal | undefined;
  /** Makes the error of a wait that ran out, where the owner has more to tell. */
  readonly onTimeout?: () => Error;
  /** The clock's monotonic time, if the caller has just read it. */
  readonly nowMs?: number;
}

interface Waiter<Value> {
  resolve(value: Value): void;
  reject(error: Error): void;
  previous: Waiter<Value> | undefined;
  next: Waiter<Value> | undefined;
  readonly deadlineMs: number;
  readonly options: WaitOptions;
  unlisten: (() => void) | undefined;
}

/** A bounded first-in, first-out queue of waiters for values of one kind. */
export class BoundedQueue<Value> {
  readonly #options: Required<BoundedQueueOptions>;
  #head: Waiter<Value> | undefined;
  #tail: Waiter<Value> | undefined;
  #size = 0;
  #timer: ScheduledCall | undefined;
  #timerDueMs = Number.POSITIVE_INFINITY;

  constructor(options: BoundedQueueOptions) {
    this.#options = { clock: systemClock, ...options };
  }

  /** How many wait. */
  get size(): number {
    return this.#size;
  }

  /**
   * Takes a place at the end and waits to be handed a value.
   *
   * @throws ShardlineError `QUEUE_FULL` at once when there is no place, `DEADLINE_EXCEEDED`, `ABORTED`.
   */
  wait(options: WaitOptions): Promise<Value> {
    const { limit, doing, clock } = this.#options;
    if (options.signal?.aborted) {
      return Promise.reject(abortedError(doing, options.signal.reason));
    }
    if (this.#size >= limit) return Promise.reject(this.#fullError());
    const { timeoutMs, nowMs = clock.monotonicMs() } = options;
    return new Promise<Value>((resolve, reject) => {
      const waiter: Waiter<Value> = {
        resolve,
        reject,
        previous: undefined,
        next: undefined,
        deadlineMs: nowMs + timeoutMs,
        options,
        unlisten: undefined,
      };
      this.#append(waiter);
      if (waiter.deadlineMs < this.#timerDueMs) this.#ring(waiter.deadlineMs, timeoutMs);
      if (options.signal !== undefined) this.#listen(waiter, options.signal);
    });
  }

  /** Hands a value to whoever has waited longest. False, with nothing handed out, if nobody waits. */
  hand(value: Value): boolean {
    const waiter = this.#head;
    if (waiter === undefined) return false;
    this.#settle(waiter)?.resolve(value);
    return true;
  }

  /** Ends the wait of whoever has waited longest with an error. False if nobody waits. */
  rejectFirst(error: Error): boolean {
    const waiter = this.#head;
    if (waiter === undefined) return false;
    this.#settle(waiter)?.reject(error);
    return true;
  }

  /** Ends every wait with an error. */
  rejectAll(error: Error): void {
    while (this.rejectFirst(error));
  }

  #ring(dueMs: number, delayMs: number): void {
    this.#timer?.cancel();
    this.#timerDueMs = dueMs;
    this.#timer = this.#options.clock.schedule(Math.max(0, delayMs), () => this.#onTime(), true);
  }

  /** Sends away whose time is up, and sets the timer to whose is next. */
  #onTime(): void {
    const { doing, clock } = this.#options;
    const nowMs = clock.monotonicMs();
    let nextMs = Number.POSITIVE_INFINITY;
    for (let waiter = this.#head; waiter !== undefined; ) {
      const { next, deadlineMs, options } = waiter;
      if (deadlineMs > nowMs) nextMs = Math.min(nextMs, deadlineMs);
      else {
        const error = options.onTimeout?.() ?? deadlineError(doing, options.timeoutMs);
        this.#settle(waiter)?.reject(error);
      }
      waiter = next;
    }
    this.#silence();
    if (nextMs < Number.POSITIVE_INFINITY) this.#ring(nextMs, nextMs - nowMs);
  }

  #silence(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#timerDueMs = Number.POSITIVE_INFINITY;
  }

  #listen(waiter: Waiter<Value>, signal: AbortSignal): void {
    waiter.unlisten = onAbort(signal, () =>
      this.#settle(waiter)?.reject(abortedError(this.#options.doing, signal.reason)),
    );
  }

  #append(waiter: Waiter<Value>): void {
    waiter.previous = this.#tail;
    if (this.#tail === undefined) this.#head = waiter;
    else this.#tail.next = waiter;
    this.#tail = waiter;
    this.#size += 1;
  }

  #settle(waiter: Waiter<Value>): Waiter<Value> | undefined {
    const isQueued = waiter.previous !== undefined || this.#head === waiter;
    if (!isQueued) return undefined;
    if (waiter.previous === undefined) this.#head = waiter.next;
    else waiter.previous.next = waiter.next;
    if (waiter.next === undefined) this.#tail = waiter.previous;
    else waiter.next.previous = waiter.previous;
    waiter.previous = undefined;
    waiter.next = undefined;
    this.#size -= 1;
    if (this.#size === 0) this.#silence();
    waiter.unlisten?.();
    return waiter;
  }

  #fullError(): ShardlineError {
    return new ShardlineError(
      coreErrors.QUEUE_FULL,
      `${this.#options.doing} was refused: ${this.#size} of ${this.#options.limit} places are taken.`,
      { details: { size: this.#size, limit: this.#options.limit } },
    );
  }
}
