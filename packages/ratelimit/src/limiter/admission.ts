import type { Outcome, View } from '../bucket/operation.js';
import type { OutcomeReceiver } from '../store/store.js';
import {
  composeDecision,
  type Decision,
  type DecisionSource,
  type LimitPart,
  type LimitState,
  limitStates,
} from './decision.js';
import type { LimiterCore } from './limiter-core.js';

/** What asks for admission: all or nothing, as much as there is, or only to look. */
export type AdmissionName = 'check' | 'take' | 'peek';

/** Below this share of its burst a bucket is near its limit. */
const NEAR_LIMIT_SHARE = 0.2;

/**
 * One question on its way to an answer: by the denial cache, by the store, or by the fallback.
 *
 * Policies in shadow mode are asked apart from the others, each by itself, so that what they would
 * deny neither stops the rest nor spares it a charge.
 */
export class Admission implements OutcomeReceiver {
  readonly #core: LimiterCore;
  readonly #subject: string;
  readonly #name: AdmissionName;
  readonly #parts: readonly LimitPart[];
  readonly #shadows: readonly LimitPart[];
  readonly #settle: (decision: Decision, granted: number) => void;
  readonly #askedMs: number;
  #awaited = 0;
  #granted = 1;
  #states: LimitState[] = [];
  #shadowStates: LimitState[] = [];
  #shadowDenied = false;
  #source: DecisionSource;
  #degraded: Decision['degraded'];
  #decidedAtUs: number | undefined;

  constructor(
    core: LimiterCore,
    subject: string,
    name: AdmissionName,
    parts: readonly LimitPart[],
    settle: (decision: Decision, granted: number) => void,
  ) {
    this.#core = core;
    this.#subject = subject;
    this.#name = name;
    const hasShadows = parts.some((part) => part.limit.policy.isShadow);
    this.#parts = hasShadows ? parts.filter((part) => !part.limit.policy.isShadow) : parts;
    this.#shadows = hasShadows ? parts.filter((part) => part.limit.policy.isShadow) : NO_PARTS;
    this.#settle = settle;
    this.#source = core.store.kind;
    this.#askedMs = core.denialCache === undefined ? 0 : core.clock.monotonicMs();
  }

  start(): void {
    if (this.#name !== 'peek' && this.#denyFromCache()) return;
    const { store } = this.#core;
    this.#awaited = this.#shadows.length + (this.#parts.length > 0 ? 1 : 0);
    if (this.#parts.length > 0) store.run({ name: this.#name, parts: this.#parts }, this);
    for (const part of this.#shadows) this.#startShadow(part);
  }

  succeed(outcome: Outcome): void {
    this.#granted = outcome.granted;
    this.#decidedAtUs = outcome.nowUs;
    this.#states = limitStates(this.#parts, outcome);
    if (outcome.granted <= 0) this.#rememberDenial(outcome);
    const { fallback, store } = this.#core;
    if (fallback !== undefined && fallback.debts > 0) fallback.settle(store);
    this.#arrive();
  }

  fail(_error: Error): void {
    const { onRedisDown, fallback } = this.#core;
    this.#source = 'fallback';
    this.#degraded = onRedisDown;
    const local = onRedisDown === 'local' ? fallback?.decide(this.#name, this.#parts) : undefined;
    if (local !== undefined) {
      this.#granted = local.outcome.granted;
      this.#states = limitStates(local.parts, local.outcome);
    } else {
      this.#decideBlindly(onRedisDown === 'open');
    }
    this.#arrive();
  }

  /** Open and closed know nothing of the level: a full bucket or an empty one is what they show. */
  #decideBlindly(isOpen: boolean): void {
    const wanted = Math.max(0, ...this.#parts.map((part) => part.amount));
    this.#granted = isOpen ? (this.#name === 'take' ? wanted : 1) : 0;
    const states = limitStates(this.#parts, {
      granted: this.#granted,
      nowUs: 0,
      views: this.#parts.map(({ rate }) => blindView(rate.burst, isOpen, rate)),
    });
    const retryAfterMs = Math.ceil(this.#core.breaker?.retryAfterMs ?? 0);
    this.#states = isOpen
      ? states
      : states.map((state) => ({ ...state, retryAfterMs: Math.max(1, retryAfterMs) }));
  }

  #startShadow(part: LimitPart): void {
    const name = this.#name === 'peek' ? 'peek' : 'check';
    this.#core.store.run(
      { name, parts: [part] },
      {
        succeed: (outcome) => {
          this.#shadowStates.push(...limitStates([part], outcome));
          if (outcome.granted <= 0) {
            this.#shadowDenied = true;
            if (name !== 'peek') part.limit.counters.shadowDenied += 1;
          }
          this.#arrive();
        },
        // What only watches has nothing to say while Redis is away.
        fail: () => this.#arrive(),
      },
    );
  }

  #arrive(): void {
    this.#awaited -= 1;
    if (this.#awaited > 0) return;
    const isAllowed = this.#granted > 0 || (this.#name === 'take' && this.#asksForNothing());
    if (this.#name !== 'peek') this.#count(isAllowed);
    const states =
      this.#shadowStates.length === 0 ? this.#states : [...this.#states, ...this.#shadowStates];
    if (states.length === 0) states.push(...this.#unknownStates());
    this.#settle(
      composeDecision(
        isAllowed,
        states,
        this.#source,
        this.#degraded,
        this.#shadowDenied,
        this.#decidedAtUs,
      ),
      Math.max(0, this.#granted),
    );
  }

  #asksForNothing(): boolean {
    return this.#parts.every((part) => part.amount === 0);
  }

  /** Only shadows were asked, and Redis was away. */
  #unknownStates(): LimitState[] {
    const views = this.#shadows.map(({ rate }) => blindView(rate.burst, true, rate));
    return limitStates(this.#shadows, { granted: 1, nowUs: 0, views });
  }

  #count(isAllowed: boolean): void {
    for (let index = 0; index < this.#parts.length; index += 1) {
      const { counters } = (this.#parts[index] as LimitPart).limit;
      const state = this.#states[index];
      if (this.#degraded !== undefined) counters.degraded += 1;
      if (isAllowed) {
        counters.allowed += 1;
        if (state !== undefined && state.remaining < state.burst * NEAR_LIMIT_SHARE) {
          counters.nearLimit += 1;
        }
      } else if (state === undefined || state.retryAfterMs > 0) counters.denied += 1;
    }
    if (!isAllowed) this.#core.topDenied.add(this.#subject);
  }

  #rememberDenial(outcome: Outcome): void {
    const { denialCache } = this.#core;
    if (denialCache === undefined || outcome.granted < 0 || this.#name === 'peek') return;
    this.#parts.forEach((part, index) => {
      if (this.#states[index]?.retryAfterMs === 0) return;
      denialCache.remember(part.key, part.rate, outcome.views[index] as View, this.#askedMs);
    });
  }

  /** A denial by any one policy is a denial; what the others would say is then not asked. */
  #denyFromCache(): boolean {
    const { denialCache } = this.#core;
    if (denialCache === undefined || denialCache.size === 0 || this.#shadows.length > 0)
      return false;
    for (const part of this.#parts) {
      const cost = this.#name === 'take' ? 1 : part.amount;
      const view = denialCache.prove(part.key, part.rate, cost);
      if (view === undefined) continue;
      this.#source = 'denial-cache';
      this.#granted = 0;
      this.#states = limitStates([part], { granted: 0, nowUs: 0, views: [view] });
      part.limit.counters.denialCacheHits += 1;
      part.limit.counters.denied += 1;
      this.#core.topDenied.add(this.#subject);
      this.#settle(composeDecision(false, this.#states, 'denial-cache'), 0);
      return true;
    }
    return false;
  }
}

const NO_PARTS: readonly LimitPart[] = [];

function blindView(burst: number, isFull: boolean, rate: LimitPart['rate']): View {
  const units = isFull && rate.algorithm === 'token-bucket' ? rate.capacityUnits : 0;
  return { units, previous: 0, current: isFull ? 0 : burst, positionMs: 0 };
}
