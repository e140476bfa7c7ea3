import { setTimeout as sleep } from 'node:timers/promises';
import {
  type Duration,
  durationMs,
  isShardlineError,
  ShardlineError,
  withDeadline,
} from '@shardline/core';
import { testkitErrors } from '../errors.js';

/** By so much a timer may end before its time. */
const TIMER_SLACK_MS = 2;

/** How long and how often to look. */
export interface WaitOptions {
  /** What is waited for, for the message: `replica users-a to catch up`. */
  readonly what: string;
  /** @default '30s' */
  readonly within?: Duration;
  /** Pause between two looks; it grows fourfold at most. @default 10 */
  readonly everyMs?: number;
  readonly signal?: AbortSignal;
}

/**
 * Looks until a condition holds, and gives what the look found. A throw counts as "not yet", and is
 * the cause of the error if it is never followed by a success.
 *
 * @throws ShardlineError `TESTKIT_WAIT_EXPIRED`.
 *
 * @example
 * ```ts
 * import { waitUntil } from '@shardline/testkit';
 *
 * declare function countRows(): Promise<number>;
 *
 * await waitUntil(async () => (await countRows()) === 100, { what: '100 rows', within: '10s' });
 * ```
 */
export async function waitUntil<T>(
  look: () => T | Promise<T>,
  options: WaitOptions,
): Promise<Exclude<T, false | undefined | null>> {
  const { what, within = '30s', everyMs = 10, signal } = options;
  const deadline = performance.now() + durationMs(within, 'within');
  let pauseMs = everyMs;
  let fault: unknown;
  for (;;) {
    signal?.throwIfAborted();
    try {
      // A look that never ends, as at a frozen server, must not outlast the wait.
      const timeoutMs = Math.max(1, deadline - performance.now());
      const found = await withDeadline(
        { timeoutMs, doing: `Looking at ${what}`, signal },
        async () => look(),
      );
      if (found !== false && found !== undefined && found !== null) {
        return found as Exclude<T, false | undefined | null>;
      }
      fault = undefined;
    } catch (error) {
      // A look that the end of the wait cut short has seen less than the one before it.
      const isCutShort =
        performance.now() >= deadline - TIMER_SLACK_MS &&
        isShardlineError(error, 'DEADLINE_EXCEEDED');
      if (!isCutShort || fault === undefined) fault = error;
    }
    if (performance.now() >= deadline) throw expired(what, within, fault);
    await sleep(pauseMs);
    pauseMs = Math.min(pauseMs * 1.5, everyMs * 4);
  }
}

function expired(what: string, within: string, fault: unknown): ShardlineError {
  const last = fault === undefined ? '' : `; the last look failed with: ${messageOf(fault)}`;
  return new ShardlineError(
    testkitErrors.TESTKIT_WAIT_EXPIRED,
    `Waited ${within} in vain for ${what}${last}.`,
    fault === undefined ? {} : { cause: fault },
  );
}

/** The text of anything thrown. An AggregateError of Node's dialler has none of its own. */
export function messageOf(error: unknown): string {
  if (error instanceof AggregateError && error.message === '') {
    return error.errors.map(messageOf).join(', ');
  }
  return error instanceof Error ? error.message : String(error);
}
