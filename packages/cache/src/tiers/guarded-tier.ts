import { type Breaker, coreErrors, isShardlineError, type ShardlineError } from '@shardline/core';
import { cacheErrors } from '../errors.js';
import type { Lease, Seen, SharedTier, Tombstone } from './tier.js';
import { tierUnavailable } from './tier-unavailable.js';

/**
 * A tier behind its breaker: after some failures it is left alone, and a read goes round it at once
 * instead of waiting for its deadline each time. One probe at a time finds out that it is back.
 *
 * Whatever went wrong, the caller sees one error, `CACHE_TIER_UNAVAILABLE`, and takes it as "no lease,
 * no fill, not invalidated".
 */
export class GuardedTier implements SharedTier {
  readonly name: string;
  readonly maxFrameBytes: number;

  constructor(
    private readonly tier: SharedTier,
    readonly breaker: Breaker,
  ) {
    this.name = tier.name;
    this.maxFrameBytes = tier.maxFrameBytes;
  }

  get isAvailable(): boolean {
    return this.tier.isAvailable && this.breaker.retryAfterMs === 0;
  }

  /** As `#guard`, without a frame and a closure of its own: every hit of the tier comes through here. */
  read(address: string): Promise<Seen> {
    if (!this.breaker.tryPass()) return Promise.reject(this.#leftAlone());
    let seen: Promise<Seen>;
    try {
      seen = this.tier.read(address);
    } catch (error) {
      // A tier of somebody's own may throw before it promises anything.
      seen = Promise.reject(error);
    }
    return seen.then(this.#onSeen, this.#onFailure);
  }

  lease(address: string, seen: Seen, leaseMs: number): Promise<Lease | undefined> {
    return this.#guard(() => this.tier.lease(address, seen, leaseMs));
  }

  seize(address: string, leaseMs: number, tombstone?: Tombstone): Promise<Lease> {
    return this.#guard(() => this.tier.seize(address, leaseMs, tombstone));
  }

  fill(address: string, lease: Lease, frame: Buffer, ttlMs: number): Promise<boolean> {
    return this.#guard(() => this.tier.fill(address, lease, frame, ttlMs));
  }

  replace(address: string, seen: Seen, frame: Buffer, ttlMs: number): Promise<boolean> {
    return this.#guard(() => this.tier.replace(address, seen, frame, ttlMs));
  }

  release(address: string, lease: Lease, backoffMs: number): Promise<void> {
    return this.#guard(() => this.tier.release(address, lease, backoffMs));
  }

  invalidate(addresses: readonly string[], tombstone?: Tombstone): Promise<void> {
    return this.#guard(() => this.tier.invalidate(addresses, tombstone));
  }

  readStamps(addresses: readonly string[]): Promise<readonly string[]> {
    return this.#guard(() => this.tier.readStamps(addresses));
  }

  bumpStamps(addresses: readonly string[]): Promise<void> {
    return this.#guard(() => this.tier.bumpStamps(addresses));
  }

  /** A tier that cannot list what it has has nothing to list. */
  async *scan(prefix: string, signal?: AbortSignal): AsyncGenerator<string> {
    try {
      yield* this.tier.scan?.(prefix, signal) ?? [];
    } catch (error) {
      if (isShardlineError(error, coreErrors.ABORTED.code)) throw error;
      throw this.#unavailable(error);
    }
  }

  close(): Promise<void> {
    return this.tier.close();
  }

  #guard<T>(work: () => Promise<T>): Promise<T> {
    if (!this.breaker.tryPass()) return Promise.reject(this.#leftAlone());
    let running: Promise<T>;
    try {
      running = work();
    } catch (error) {
      running = Promise.reject(error);
    }
    return running.then((result) => {
      this.breaker.succeeded();
      return result;
    }, this.#onFailure);
  }

  readonly #onSeen = (seen: Seen): Seen => {
    this.breaker.succeeded();
    return seen;
  };

  readonly #onFailure = (error: unknown): never => {
    this.breaker.failed();
    throw this.#unavailable(error);
  };

  #unavailable(error: unknown): unknown {
    if (isShardlineError(error, cacheErrors.CACHE_TIER_UNAVAILABLE.code)) return error;
    return tierUnavailable(this.name, `failed: ${(error as Error).message}`, error);
  }

  #leftAlone(): ShardlineError {
    const retryAfterMs = Math.ceil(this.breaker.retryAfterMs);
    return tierUnavailable(this.name, `left alone for another ${retryAfterMs} ms after failures`);
  }
}
