import type { RateLimiter } from '../limiter/limiter.js';

/** What express-rate-limit expects of a store; its own types, by shape. */
export interface ExpressRateLimitStore {
  readonly localKeys: boolean;
  readonly prefix: string;
  increment(key: string): Promise<{ totalHits: number; resetTime: Date | undefined }>;
  decrement(key: string): Promise<void>;
  resetKey(key: string): Promise<void>;
  get(key: string): Promise<{ totalHits: number; resetTime: Date | undefined } | undefined>;
}

/**
 * Keeps the counts of express-rate-limit in one of a limiter's policies. Give express-rate-limit the same
 * `limit` as the policy's burst: it admits while `totalHits` is at most that. A denied request costs
 * nothing here, where the usual stores charge it.
 *
 * @example
 * ```ts
 * import { createLimiter } from '@shardline/ratelimit';
 * import { expressRateLimitStore } from '@shardline/ratelimit/http';
 *
 * const limiter = createLimiter({ memory: true, policies: { api: { limit: 100, window: '1m' } } });
 * const store = expressRateLimitStore(limiter, 'api');
 * // rateLimit({ limit: 100, windowMs: 60_000, store })
 * ```
 */
export function expressRateLimitStore(
  limiter: Pick<RateLimiter, 'check' | 'peek' | 'refund' | 'reset'>,
  policy: string,
): ExpressRateLimitStore {
  const hits = (decision: Awaited<ReturnType<RateLimiter['check']>>) => {
    const state = decision.limits.find((limit) => limit.policy === policy);
    const burst = state?.burst ?? 0;
    // One above the limit is how a store says no.
    const totalHits = decision.allowed ? burst - decision.remaining : burst + 1;
    const waitMs = decision.allowed ? decision.resetMs : decision.retryAfterMs;
    return { totalHits, resetTime: new Date(Date.now() + waitMs) };
  };
  return {
    localKeys: false,
    prefix: policy,
    increment: async (key) => hits(await limiter.check(key, { policy })),
    decrement: (key) => limiter.refund(key, 1, { policy }),
    resetKey: (key) => limiter.reset(key, { policy }),
    get: async (key) => hits(await limiter.peek(key, { policy, cost: 0 })),
  };
}
