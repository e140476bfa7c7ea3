import { defineErrors } from '@shardline/core';

/** The errors of a limiter. A denial is none of them: it is a value. */
export const ratelimitErrors = defineErrors({
  RATELIMIT_SUBJECT_INVALID: {
    retryable: false,
    meaning: 'Whom a limit is for was not said in a usable way.',
    remedy: 'Pass a non-empty string of at most 64 KiB, such as a user id or an address.',
  },
  RATELIMIT_COST_INVALID: {
    retryable: false,
    meaning: 'A cost or an amount is not a whole number of 0 or more.',
    remedy: 'Pass a whole number; to give tokens back use refund().',
  },
  RATELIMIT_COST_ABOVE_CAPACITY: {
    retryable: false,
    meaning: 'A cost is higher than the bucket can ever hold, so waiting would never help.',
    remedy: 'Split the work, lower the cost, or raise the burst of the policy.',
  },
  RATELIMIT_POLICY_UNKNOWN: {
    retryable: false,
    meaning: 'A policy was named that the limiter does not have.',
    remedy: 'Declare it in the options of the limiter, or correct the name.',
  },
  RATELIMIT_TIER_UNKNOWN: {
    retryable: false,
    meaning: 'A subject was put into a tier that its policy does not have.',
    remedy: 'Declare the tier, correct the resolver, or set `defaultTier`.',
  },
  RATELIMIT_UNAVAILABLE: {
    retryable: true,
    meaning: 'Redis could not be asked, and what was wanted has no fallback.',
    remedy: 'Mend Redis; checks meanwhile follow the fallback that the limiter declares.',
  },
  RATELIMIT_OUTCOME_UNKNOWN: {
    retryable: false,
    meaning: 'Redis was asked and did not answer in time: it may have acted or not.',
    remedy: 'Look with peek() before doing it again; it was not repeated on its own.',
  },
});
