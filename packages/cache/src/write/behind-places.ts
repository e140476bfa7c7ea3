import {
  abortedError,
  BoundedQueue,
  type Clock,
  coreErrors,
  isShardlineError,
  ShardlineError,
} from '@shardline/core';
import { cacheErrors } from '../errors.js';
import type { BehindPolicy } from './behind-policy.js';

/**
 * The places of the write-behind buffer, and the line of those who wait for one.
 *
 * Nobody passes those who wait, not even a write that needs no new place: two writes of one key would
 * change their order. So a place that is handed to a waiter is kept for him until he comes.
 */
export class BehindPlaces {
  readonly #queue: BoundedQueue<void>;
  #reserved = 0;

  constructor(
    private readonly policy: BehindPolicy,
    private readonly owner: {
      readonly name: string;
      readonly clock: Clock;
      readonly taken: () => number;
    },
  ) {
    this.#queue = new BoundedQueue({
      limit: policy.maxPending,
      doing: `Waiting for a place in the write-behind buffer of '${owner.name}'`,
      clock: owner.clock,
    });
  }

  get waiters(): number {
    return this.#queue.size;
  }

  /** Whether a write may go in now. */
  isFree(needsNone: boolean): boolean {
    if (this.#queue.size > 0 || this.#reserved > 0) return false;
    return needsNone || this.owner.taken() < this.policy.maxPending;
  }

  /** @throws ShardlineError `CACHE_WRITE_BEHIND_FULL`, `ABORTED`, `CLOSED`. */
  async wait(signal: AbortSignal | undefined): Promise<void> {
    const { whenFull, fullWaitMs } = this.policy;
    if (whenFull === 'reject') throw this.#fullError();
    if (signal?.aborted) throw abortedError('Writing behind', signal.reason);
    try {
      const onTimeout = () => this.#fullError();
      const waiting = this.#queue.wait({ timeoutMs: fullWaitMs, signal, onTimeout });
      this.hand();
      await waiting;
    } catch (error) {
      throw isShardlineError(error, coreErrors.QUEUE_FULL.code) ? this.#fullError() : error;
    }
  }

  /** Whoever waited takes the place that was kept for him. */
  take(): void {
    this.#reserved -= 1;
  }

  /** Hands free places to those who wait. */
  hand(): void {
    while (this.owner.taken() + this.#reserved < this.policy.maxPending) {
      if (!this.#queue.hand(undefined)) return;
      this.#reserved += 1;
    }
  }

  close(error: ShardlineError): void {
    this.#queue.rejectAll(error);
  }

  #fullError(): ShardlineError {
    const { maxPending } = this.policy;
    const backlog = this.owner.taken();
    return new ShardlineError(
      cacheErrors.CACHE_WRITE_BEHIND_FULL,
      `The write-behind buffer of '${this.owner.name}' holds ${backlog} of ${maxPending} writes.`,
      { details: { backlog, maxPending, waiters: this.waiters } },
    );
  }
}
