import type { Breaker, Clock } from '@shardline/core';
import type { DenialCache } from '../denial-cache.js';
import type { LocalFallback } from '../fallback/local-fallback.js';
import type { LimitStore } from '../store/store.js';
import type { TopDenied } from '../top-denied.js';
import type { FallbackMode } from './limiter-options.js';

/** What the parts of one limiter share. */
export interface LimiterCore {
  readonly store: LimitStore;
  readonly clock: Clock;
  /** Undefined without Redis: memory does not fail. */
  readonly breaker: Breaker | undefined;
  readonly onRedisDown: FallbackMode;
  readonly fallback: LocalFallback | undefined;
  readonly denialCache: DenialCache | undefined;
  readonly topDenied: TopDenied;
}
