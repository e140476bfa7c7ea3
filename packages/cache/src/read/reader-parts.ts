import type { Clock } from '@shardline/core';
import type { Coherence } from '../coherence.js';
import type { Counters } from '../counters.js';
import type { StandingFreshness } from '../entry/frame.js';
import type { Addresses } from '../keys.js';
import type { Policy } from '../policy.js';
import type { MemoryTier } from '../tiers/memory/memory-tier.js';
import type { Tracing } from '../tracing.js';
import type { Level } from './level.js';

/** What the read path of one namespace works on. */
export interface ReaderParts {
  readonly policy: Policy;
  readonly addresses: Addresses;
  readonly memory: MemoryTier;
  /** Nearest first. */
  readonly levels: readonly Level[];
  readonly coherence: Coherence;
  readonly counters: Counters;
  readonly clock: Clock;
  readonly random: () => number;
  readonly tracing: Tracing;
  /** Whether an invalidation of this key still waits for a tier: then no tier is asked. */
  readonly isBlocked: (key: string) => boolean;
  /** How fresh a load of a blocked key must read, as long as no tier can tell. */
  readonly pendingFreshness: (key: string) => StandingFreshness | undefined;
  /** Whether a newer value is on its way to the source: then L1 must not answer with an older one. */
  readonly isWrittenBehind: (key: string) => boolean;
}
