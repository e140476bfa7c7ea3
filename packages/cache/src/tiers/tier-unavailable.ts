import { ShardlineError } from '@shardline/core';
import { cacheErrors } from '../errors.js';

/** The error of a tier that cannot be used now. */
export function tierUnavailable(tier: string, why: string, cause?: unknown): ShardlineError {
  return new ShardlineError(cacheErrors.CACHE_TIER_UNAVAILABLE, `Cache tier ${tier}: ${why}.`, {
    ...(cause === undefined ? {} : { cause }),
    details: { tier },
  });
}
