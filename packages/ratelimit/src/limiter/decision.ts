import type { Outcome, Part, View } from '../bucket/operation.js';
import type { Rate } from '../bucket/rate.js';
import { roomInWindow, windowResetMs, windowWaitMs } from '../bucket/sliding-window.js';
import { timeToFullUs, waitUs, wholeTokens } from '../bucket/token-bucket.js';
import type { PolicyRate } from '../policy/policy-book.js';

/** Who answered. */
export type DecisionSource = 'redis' | 'memory' | 'denial-cache' | 'lease' | 'fallback';

/** How one policy stands after a decision. */
export interface LimitState {
  readonly policy: string;
  readonly tier?: string;
  /** Tokens that flow in per window. */
  readonly limit: number;
  readonly windowMs: number;
  /** Most tokens at once. */
  readonly burst: number;
  /** Whole tokens left. */
  readonly remaining: number;
  /** Milliseconds until this cost could be paid; 0 if it could be now. */
  readonly retryAfterMs: number;
  /** Milliseconds until everything has flowed in again, if nobody comes. */
  readonly resetMs: number;
  /** Whether the policy only watches. */
  readonly isShadow: boolean;
}

/** The answer to a check. A denial is a value, not an error. */
export interface Decision {
  readonly allowed: boolean;
  /** Whole tokens left under the policy that decided. */
  readonly remaining: number;
  /** Milliseconds after which the same check may succeed; 0 when allowed. */
  readonly retryAfterMs: number;
  /** Milliseconds until the deciding policy's bucket is full, if nobody comes. */
  readonly resetMs: number;
  /** The policy that decided: the one that denies longest, or the one with the least left. */
  readonly policy: string;
  /** Tier of the subject under that policy. */
  readonly tier?: string;
  /** All policies that were asked. */
  readonly limits: readonly LimitState[];
  readonly source: DecisionSource;
  /** Set when Redis could not be asked, to the fallback that answered instead. */
  readonly degraded?: 'open' | 'closed' | 'local';
  /** Whether a policy in shadow mode would have denied. */
  readonly shadowDenied: boolean;
  /** Microseconds by the clock of the Redis, or the process, that decided; for audits. */
  readonly decidedAtUs?: number;
}

/** A part of an operation that knows its policy. */
export interface LimitPart extends Part {
  readonly limit: PolicyRate;
}

/** How a policy stands, from what its key showed. */
export function limitState(
  { limit, rate, amount }: LimitPart,
  view: View,
  blockedUs: number,
): LimitState {
  const { policy, tier } = limit;
  const wait = Math.max(blockedUs, waitOf(rate, view, amount));
  const state = {
    policy: policy.name,
    limit: rate.limit,
    windowMs: rate.windowMs,
    burst: rate.burst,
    remaining: blockedUs > 0 ? 0 : remainingOf(rate, view),
    retryAfterMs: Math.ceil(wait / 1000),
    resetMs: Math.ceil(Math.max(blockedUs, resetOf(rate, view)) / 1000),
    isShadow: policy.isShadow,
  };
  return tier === undefined ? state : { ...state, tier };
}

function remainingOf(rate: Rate, view: View): number {
  const room =
    rate.algorithm === 'token-bucket'
      ? wholeTokens(view.units, rate)
      : roomInWindow(view.previous, view.current, view.positionMs, rate);
  return Math.max(0, room);
}

function waitOf(rate: Rate, view: View, cost: number): number {
  return rate.algorithm === 'token-bucket'
    ? waitUs(view.units, rate, cost)
    : windowWaitMs(view.previous, view.current, view.positionMs, rate, cost) * 1000;
}

function resetOf(rate: Rate, view: View): number {
  return rate.algorithm === 'token-bucket'
    ? timeToFullUs(view.units, rate)
    : windowResetMs(view.previous, view.current, view.positionMs, rate.windowMs) * 1000;
}

/** The states of all parts of an operation. */
export function limitStates(parts: readonly LimitPart[], outcome: Outcome): LimitState[] {
  const blockedUs = Math.max(0, -outcome.granted);
  const states: LimitState[] = [];
  for (let index = 0; index < parts.length; index += 1) {
    states.push(limitState(parts[index] as LimitPart, outcome.views[index] as View, blockedUs));
  }
  return states;
}

/** What a caller is told. `isAllowed` counts enforced policies only. */
export function composeDecision(
  isAllowed: boolean,
  states: readonly LimitState[],
  source: DecisionSource,
  degraded?: Decision['degraded'],
  shadowDenied = false,
  decidedAtUs?: number,
): Decision {
  const decisive = decisiveState(states, isAllowed);
  // Added one by one: spreading what nearly always is not there takes longer than all the rest.
  const decision: { -readonly [Name in keyof Decision]: Decision[Name] } = {
    allowed: isAllowed,
    remaining: decisive.remaining,
    retryAfterMs: isAllowed ? 0 : Math.max(1, decisive.retryAfterMs),
    resetMs: decisive.resetMs,
    policy: decisive.policy,
    limits: states,
    source,
    shadowDenied,
  };
  if (decisive.tier !== undefined) decision.tier = decisive.tier;
  if (degraded !== undefined) decision.degraded = degraded;
  if (decidedAtUs !== undefined) decision.decidedAtUs = decidedAtUs;
  return decision;
}

function decisiveState(states: readonly LimitState[], isAllowed: boolean): LimitState {
  let decisive = states[0] as LimitState;
  for (let index = 1; index < states.length; index += 1) {
    const state = states[index] as LimitState;
    if (state.isShadow) continue;
    const isTighter = isAllowed
      ? state.remaining < decisive.remaining
      : state.retryAfterMs > decisive.retryAfterMs;
    if (isTighter || decisive.isShadow) decisive = state;
  }
  return decisive;
}
