import { onAbort } from './abort-listeners.js';
import { type Clock, systemClock } from './clock.js';
import { coreErrors, ShardlineError } from './errors.js';

/**
 * Every wait ends: by its result, by its deadline, or by the caller's AbortSignal, whichever is first.
 *
 * The listener on the caller's signal is taken off again when the work ends. `AbortSignal.any` would
 * be shorter, but a long-lived signal (one per service) then keeps every call's signal alive
 * (nodejs/node#54614), and a leak of one object per query is not a small one.
 */
export interface DeadlineOptions {
  /** Longest wait in milliseconds. `Infinity` leaves only the signal. */
  readonly timeoutMs: number;
  /** The caller's way to give up early. */
  readonly signal?: AbortSignal | undefined;
  /** What is being waited for, as the beginning of a sentence: `Connecting to 10.0.0.1:5432`. */
  readonly doing: string;
  readonly clock?: Clock;
}

/**
 * Runs work that must end in time. The work receives a signal that fires when it should stop; whether
 * or not it listens, the caller is answered.
 *
 * @throws ShardlineError `DEADLINE_EXCEEDED` or `ABORTED`; else whatever the work throws.
 *
 * @example
 * ```ts
 * import { withDeadline } from '@shardline/core';
 *
 * const response = await withDeadline(
 *   { timeoutMs: 2000, doing: 'Asking for the odds' },
 *   (signal) => fetch('http://127.0.0.1:8080/odds', { signal }),
 * );
 * ```
 */
export function withDeadline<T>(
  options: DeadlineOptions,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const controller = new AbortController();
  return limited(options, () => work(controller.signal), controller);
}

/**
 * As `withDeadline`, for work that cannot be told to stop. It spares the signal, which costs more than all the rest of the
 * wait: Node makes one when it is first asked for.
 *
 * @throws ShardlineError `DEADLINE_EXCEEDED` or `ABORTED`; else whatever the work throws.
 *
 * @example
 * ```ts
 * import { answerWithin } from '@shardline/core';
 *
 * declare const odds: { next(): Promise<number> };
 *
 * const next = await answerWithin({ timeoutMs: 2000, doing: 'Waiting for odds' }, () => odds.next());
 * ```
 */
export function answerWithin<T>(options: DeadlineOptions, work: () => Promise<T>): Promise<T> {
  return limited(options, work);
}

function limited<T>(
  options: DeadlineOptions,
  work: () => Promise<T>,
  controller?: AbortController,
): Promise<T> {
  const { timeoutMs, signal, doing, clock = systemClock } = options;
  if (signal?.aborted) return Promise.reject(abortedError(doing, signal.reason));

  // One promise and no race: nearly every call of the packages comes through here.
  return new Promise((resolve, reject) => {
    const giveUp = (error: ShardlineError) => {
      end();
      controller?.abort(error);
      reject(error);
    };
    const ignore = signal && onAbort(signal, () => giveUp(abortedError(doing, signal.reason)));
    const timer = Number.isFinite(timeoutMs)
      ? clock.schedule(timeoutMs, () => giveUp(deadlineError(doing, timeoutMs)), true)
      : undefined;
    const end = () => {
      timer?.cancel();
      ignore?.();
    };
    const fail = (error: unknown) => {
      end();
      reject(error);
    };
    try {
      work().then((result) => {
        end();
        resolve(result);
      }, fail);
    } catch (error) {
      fail(error);
    }
  });
}

/** The error of a wait that reached its deadline. */
export function deadlineError(
  doing: string,
  timeoutMs: number,
  details: Readonly<Record<string, unknown>> = {},
): ShardlineError {
  return new ShardlineError(
    coreErrors.DEADLINE_EXCEEDED,
    `${doing} did not end within ${Math.round(timeoutMs)} ms.`,
    { details: { timeoutMs, ...details } },
  );
}

/** The error of a wait that its caller gave up. */
export function abortedError(doing: string, reason: unknown): ShardlineError {
  return new ShardlineError(coreErrors.ABORTED, `${doing} was given up by the caller.`, {
    cause: reason,
  });
}

/**
 * Ends work at a point where nothing is half done, if its caller has given it up.
 *
 * @throws ShardlineError `ABORTED`. The signal's own `throwIfAborted` throws its reason, which can be anything: whoever
 * tells an end that was asked for from a fault by its code would take it for a fault.
 */
export function throwIfAborted(signal: AbortSignal | undefined, doing: string): void {
  if (signal?.aborted === true) throw abortedError(doing, signal.reason);
}

/** Waits; ends early, with `ABORTED`, if the signal fires. */
export async function sleep(
  delayMs: number,
  options: { signal?: AbortSignal | undefined; clock?: Clock; doing?: string } = {},
): Promise<void> {
  const { signal, clock = systemClock, doing = 'Waiting' } = options;
  await withDeadline(
    { timeoutMs: Number.POSITIVE_INFINITY, signal, doing, clock },
    (stop) =>
      new Promise<void>((resolve) => {
        const timer = clock.schedule(delayMs, resolve, true);
        stop.addEventListener('abort', () => timer.cancel(), { once: true });
      }),
  );
}
