export type { AbandonOptions } from './abandonable.js';
export type { Inheritance } from './bucket/inheritance.js';
export type { Algorithm } from './bucket/rate.js';
export type {
  ConcurrencyDecision,
  ConcurrencyLimiter,
  ConcurrencyOptions,
} from './concurrency/concurrency-limiter.js';
export type { ConcurrencySlot } from './concurrency/concurrency-slot.js';
export { ratelimitErrors } from './errors.js';
export type { LeasedBucket } from './lease/leased-bucket.js';
export type {
  LeasedCheckOptions,
  LeasedLimiter,
  LeasedOptions,
  LeaseStatistics,
} from './lease/leased-limiter.js';
export type { Decision, DecisionSource, LimitState } from './limiter/decision.js';
export type { JointDecision } from './limiter/joint-admission.js';
export {
  createLimiter,
  type LimiterHealth,
  type RateLimiter,
  type TakeDecision,
} from './limiter/limiter.js';
export type {
  FallbackMode,
  LimiterOptions,
  PoliciesOptions,
  TierResolver,
} from './limiter/limiter-options.js';
export type { CheckOptions, LimitRequest } from './limiter/request.js';
export type {
  PlainPolicyOptions,
  PolicyCommonOptions,
  PolicyOptions,
  RateOptions,
  TieredPolicyOptions,
} from './policy/policy-options.js';
