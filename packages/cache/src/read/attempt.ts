import { type Clock, ShardlineError } from '@shardline/core';
import { LRUCache } from 'lru-cache';
import type { StandingFreshness } from '../entry/frame.js';
import { joined } from '../entry/standing-freshness.js';
import { cacheErrors } from '../errors.js';
import type { Loader } from '../namespace-options.js';
import type { Policy } from '../policy.js';
import type { MemoryTicket } from '../tiers/memory/memory-tier.js';
import type { Found } from './found.js';
import type { Look } from './level.js';

/** A look at the nearest level from before the attempt, with L1's ticket from before that. */
export interface FirstLook {
  readonly look: Look;
  readonly ticket: MemoryTicket | undefined;
}

/**
 * One attempt to read one key: what it was told, what it found on its way, and the stale value that may
 * be shown before or instead of its end.
 *
 * - within `staleWhileRevalidate` the stale value is shown at once, and the attempt goes on alone;
 * - within `staleIfError` it is shown if the attempt fails, or takes longer than `softTimeout`.
 */
export interface AttemptOptions {
  readonly policy: Policy;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  readonly failures: RecentFailures;
  readonly load?: Loader<unknown> | undefined;
  /** False inside a transaction: what is loaded there may be an old snapshot. */
  readonly mayFill?: boolean;
  /** A refresh ahead of time: take the lease even though the value is fresh. */
  readonly isEager?: boolean;
  /** Ask the tiers for stamps, whatever the bus vouches for: somebody knows more than this process. */
  readonly mustAsk?: boolean;
  /** What was seen of the nearest level a moment ago, so that it need not be asked again. */
  readonly first?: FirstLook | undefined;
  /** Told once, as soon as a stale value may be shown. */
  readonly onStale?: (found: Found) => void;
}

export class Attempt {
  readonly signal: AbortSignal;
  readonly load: Loader<unknown> | undefined;
  readonly mayFill: boolean;
  readonly isEager: boolean;
  readonly mustAsk: boolean;
  readonly patientUntilMs: number;
  first: FirstLook | undefined;
  /** How fresh a load must read, as far as is known. */
  standing: StandingFreshness | undefined;
  holdsLease = false;
  /** The best value so far that may be shown if loading fails. */
  stale: Found | undefined;
  readonly #options: AttemptOptions;
  readonly #softUntilMs: number;

  constructor(options: AttemptOptions) {
    const { policy, clock } = options;
    this.#options = options;
    this.signal = options.signal;
    this.load = options.load;
    this.mayFill = options.mayFill ?? true;
    this.isEager = options.isEager ?? false;
    this.mustAsk = options.mustAsk ?? false;
    this.first = options.first;
    const nowMs = clock.monotonicMs();
    this.patientUntilMs = nowMs + policy.leaseWaitMs;
    this.#softUntilMs = nowMs + policy.softTimeoutMs;
  }

  /**
   * Every tier that is looked at may know of another write, since each is invalidated in its own time; and who looks a
   * second time, because his lease was refused, may find the mark of a newer one.
   */
  learnFreshness(standing: StandingFreshness | undefined): void {
    this.standing = joined(this.standing, standing);
  }

  /** A value beyond its ttl, or due early, that must be loaded anew. */
  offerStale(found: Found, isFresh: boolean): void {
    const allowed = isFresh ? 'now' : this.#allowance(found);
    if (allowed === 'never') return;
    this.stale ??= found;
    const isTooSlow = this.#options.clock.monotonicMs() >= this.#softUntilMs;
    if (allowed === 'now' || isTooSlow) this.#options.onStale?.(found);
  }

  /** The soft deadline has passed: whatever may be shown is shown now. */
  runOutOfPatience(): void {
    if (this.stale !== undefined) this.#options.onStale?.(this.stale);
  }

  /** Whether somebody else's work on the key makes this value good enough. */
  isStaleAllowed(found: Found, state: 'leased' | 'backoff' | 'fresh' | 'stale'): boolean {
    const allowed = this.#allowance(found);
    return allowed === 'now' || (allowed === 'on-error' && state === 'backoff');
  }

  recentFailure(key: string): { readonly error: unknown } | undefined {
    return this.#options.failures.of(key);
  }

  rememberFailure(key: string, error: unknown): void {
    this.#options.failures.remember(key, error);
  }

  backoffError(key: string): unknown {
    const own = this.recentFailure(key);
    if (own !== undefined) return own.error;
    return new ShardlineError(
      cacheErrors.CACHE_LOAD_BACKOFF,
      `Loading '${this.#options.policy.name}:${key}' failed a moment ago in another process.`,
    );
  }

  #allowance(found: Found): 'now' | 'on-error' | 'never' {
    const { policy, clock } = this.#options;
    const overdueMs = clock.now() - found.storedAtMs - found.ttlMs;
    if (overdueMs < policy.staleWhileRevalidateMs) return 'now';
    return overdueMs < policy.staleIfErrorMs ? 'on-error' : 'never';
  }
}

/** Loads that failed in this process a moment ago: their error stands in for another try. */
export class RecentFailures {
  /** Made with the first failure: most namespaces never have one, and room for a thousand is taken at once. */
  #failures: LRUCache<string, { readonly error: unknown; readonly untilMs: number }> | undefined;

  constructor(
    private readonly backoffMs: number,
    private readonly clock: Clock,
  ) {}

  of(key: string): { readonly error: unknown } | undefined {
    const failure = this.#failures?.get(key);
    if (failure === undefined || this.clock.monotonicMs() < failure.untilMs) return failure;
    this.#failures?.delete(key);
    return undefined;
  }

  remember(key: string, error: unknown): void {
    if (this.backoffMs === 0) return;
    this.#failures ??= new LRUCache({ max: 1000 });
    this.#failures.set(key, { error, untilMs: this.clock.monotonicMs() + this.backoffMs });
  }

  forget(key: string): void {
    this.#failures?.delete(key);
  }
}
