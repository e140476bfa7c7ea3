import {
  abortedError,
  BoundedQueue,
  type Clock,
  coreErrors,
  isShardlineError,
  onAbort,
  ShardlineError,
} from '@shardline/core';
import { cacheErrors } from '../errors.js';
import type { BehindPolicy } from './behind-policy.js';

/**
 * The places of the write-behind buffer, counted and in bytes, and the line of those who wait for one.
 *
 * Nobody passes those who wait, not even a write that needs no new place: two writes of one key would
 * change their order. So a place that is handed to a waiter is kept for him until he comes, and who needs
 * much room holds up those behind him who need less. Those in the line hold their values, too, so the line is bounded
 * by both as well.
 */
export class BehindPlaces {
  readonly #queue: BoundedQueue<void>;
  /** What each in the line needs, in the order of the queue. */
  readonly #line = new Set<Need>();
  #lineBytes = 0;
  #reserved = 0;
  #reservedBytes = 0;

  constructor(
    private readonly policy: BehindPolicy,
    private readonly owner: {
      readonly name: string;
      readonly clock: Clock;
      readonly taken: () => number;
      readonly takenBytes: () => number;
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

  /** Whether a write may go in now. `older` is the one that it takes the place of. */
  isFree(bytes: number, older: { readonly bytes: number } | undefined): boolean {
    if (this.#queue.size > 0 || this.#reserved > 0) return false;
    const { maxPending, maxPendingBytes } = this.policy;
    if (older === undefined && this.owner.taken() >= maxPending) return false;
    return this.owner.takenBytes() + bytes - (older?.bytes ?? 0) <= maxPendingBytes;
  }

  /**
   * Waits for a place of so many bytes, which `take` has to be told of.
   *
   * @throws ShardlineError `CACHE_WRITE_BEHIND_FULL`, `ABORTED`, `CLOSED`.
   */
  async wait(bytes: number, signal: AbortSignal | undefined): Promise<void> {
    const { whenFull, fullWaitMs, maxPendingBytes } = this.policy;
    if (whenFull === 'reject') throw this.#fullError(bytes);
    if (signal?.aborted) throw abortedError('Writing behind', signal.reason);
    if (this.#lineBytes + bytes > maxPendingBytes) throw this.#fullError(bytes);
    const need = { bytes };
    const leave = () => this.#leave(need);
    // Out of the line at once, as out of the queue: what is behind must not be measured by who has gone.
    const ignore = signal && onAbort(signal, leave);
    this.#line.add(need);
    this.#lineBytes += bytes;
    const onTimeout = () => {
      leave();
      return this.#fullError(bytes);
    };
    try {
      const waiting = this.#queue.wait({ timeoutMs: fullWaitMs, signal, onTimeout });
      this.hand();
      await waiting;
    } catch (error) {
      leave();
      // He may have held up others who need less.
      this.hand();
      throw isShardlineError(error, coreErrors.QUEUE_FULL.code) ? this.#fullError(bytes) : error;
    } finally {
      ignore?.();
    }
  }

  /** Whoever waited takes the place that was kept for him. */
  take(bytes: number): void {
    this.#reserved -= 1;
    this.#reservedBytes -= bytes;
  }

  /** Hands free places to those who wait. */
  hand(): void {
    const { maxPending, maxPendingBytes } = this.policy;
    for (const need of this.#line) {
      const bytes = this.owner.takenBytes() + this.#reservedBytes + need.bytes;
      if (this.owner.taken() + this.#reserved >= maxPending || bytes > maxPendingBytes) return;
      if (!this.#queue.hand(undefined)) return;
      this.#leave(need);
      this.#reserved += 1;
      this.#reservedBytes += need.bytes;
    }
  }

  close(error: ShardlineError): void {
    this.#queue.rejectAll(error);
  }

  #leave(need: Need): void {
    if (this.#line.delete(need)) this.#lineBytes -= need.bytes;
  }

  #fullError(bytes: number): ShardlineError {
    const { maxPending, maxPendingBytes } = this.policy;
    const { name } = this.owner;
    const backlog = this.owner.taken();
    const backlogBytes = this.owner.takenBytes();
    return new ShardlineError(
      cacheErrors.CACHE_WRITE_BEHIND_FULL,
      `The write-behind buffer of '${name}' holds ${backlog} of ${maxPending} writes and ${backlogBytes} of ` +
        `${maxPendingBytes} bytes; this write takes ${bytes}.`,
      {
        details: {
          backlog,
          maxPending,
          backlogBytes,
          maxPendingBytes,
          bytes,
          waiters: this.waiters,
        },
      },
    );
  }
}

/** What one who waits needs room for. */
interface Need {
  readonly bytes: number;
}
