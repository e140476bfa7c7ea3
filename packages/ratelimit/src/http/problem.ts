import type { Decision } from '../limiter/decision.js';

/** A body of `application/problem+json` (RFC 9457) with the problem types of the RateLimit draft. */
export interface ProblemBody {
  readonly type: string;
  readonly title: string;
  readonly status: number;
  readonly detail: string;
  readonly 'violated-policies': readonly string[];
}

const TYPES = 'https://iana.org/assignments/http-problem-types#';

/** Why a request was denied: for too many requests, or because nothing can be admitted just now. */
export function problemOf(decision: Decision): ProblemBody {
  const violated = decision.limits
    .filter((state) => !state.isShadow && state.retryAfterMs > 0)
    .map((state) => state.policy);
  if (decision.degraded === 'closed') {
    return {
      type: `${TYPES}temporary-reduced-capacity`,
      title: 'Temporarily reduced capacity',
      status: 503,
      detail: `Limits cannot be checked at the moment. Try again in ${seconds(decision)} s.`,
      'violated-policies': violated,
    };
  }
  return {
    type: `${TYPES}quota-exceeded`,
    title: 'Too many requests',
    status: 429,
    detail: `The quota of policy "${decision.policy}" is used up. Try again in ${seconds(decision)} s.`,
    'violated-policies': violated,
  };
}

/** A request that no wait would let pass. */
export function neverProblem(policy: string, cost: number, capacity: number): ProblemBody {
  return {
    type: `${TYPES}quota-exceeded`,
    title: 'Request larger than the quota',
    status: 429,
    detail: `The request costs ${cost} and policy "${policy}" never holds more than ${capacity}.`,
    'violated-policies': [policy],
  };
}

function seconds(decision: Decision): number {
  return Math.max(1, Math.ceil(decision.retryAfterMs / 1000));
}
