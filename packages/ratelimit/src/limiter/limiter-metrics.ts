import { type BreakerState, type ObservedMetric, Telemetry } from '@shardline/core';
import type { LeasedLimiter } from '../lease/leased-limiter.js';
import type { PolicyBook, PolicyRate, RateCounters } from '../policy/policy-book.js';

/** Where the metrics look when they are collected. */
export interface MetricsSources {
  readonly book: () => PolicyBook;
  readonly breaker: () => BreakerState | undefined;
  readonly leases: () => Iterable<LeasedLimiter>;
}

const BREAKER_VALUES: Readonly<Record<BreakerState, number>> = {
  closed: 0,
  'half-open': 1,
  open: 2,
};

/** Decisions by policy and tier, never by subject: a label per user would drown any collector. */
export class LimiterMetrics {
  readonly #telemetry: Telemetry;

  constructor(sources: MetricsSources) {
    this.#telemetry = new Telemetry({
      scope: '@shardline/ratelimit',
      version: '0.1.0',
      observed: [
        decisions(sources),
        ...counters(sources),
        breakerState(sources),
        ...leases(sources),
      ],
    });
  }

  /** Follows a metrics SDK that was registered late. */
  refresh(): void {
    this.#telemetry.refresh();
  }

  close(): void {
    this.#telemetry.close();
  }
}

function* ratesOf(book: PolicyBook): Iterable<PolicyRate> {
  for (const policy of book.all) {
    if (policy.plain !== undefined) yield policy.plain;
    yield* policy.byTier.values();
  }
}

function labelsOf({ policy, tier }: PolicyRate) {
  return {
    'shardline.ratelimit.policy': policy.name,
    ...(tier === undefined ? {} : { 'shardline.ratelimit.tier': tier }),
  };
}

function decisions(sources: MetricsSources): ObservedMetric {
  return {
    name: 'shardline.ratelimit.decisions',
    kind: 'counter',
    unit: '{decision}',
    description: 'Checks decided, by outcome.',
    observe: (report) => {
      for (const rate of ratesOf(sources.book())) {
        const labels = labelsOf(rate);
        report(rate.counters.allowed, { ...labels, 'shardline.ratelimit.outcome': 'allowed' });
        report(rate.counters.denied, { ...labels, 'shardline.ratelimit.outcome': 'denied' });
      }
    },
  };
}

const COUNTERS: readonly [keyof RateCounters, string, string][] = [
  ['nearLimit', 'near_limit', 'Checks admitted with less than a fifth of the burst left.'],
  ['shadowDenied', 'shadow_denied', 'Checks that a policy in shadow mode would have denied.'],
  ['denialCacheHits', 'denial_cache.hits', 'Checks denied without asking Redis.'],
  ['degraded', 'degraded', 'Checks decided by the fallback while Redis was away.'],
];

function counters(sources: MetricsSources): ObservedMetric[] {
  return COUNTERS.map(([field, name, description]) => ({
    name: `shardline.ratelimit.${name}`,
    kind: 'counter',
    unit: '{decision}',
    description,
    observe: (report) => {
      for (const rate of ratesOf(sources.book())) report(rate.counters[field], labelsOf(rate));
    },
  }));
}

function breakerState(sources: MetricsSources): ObservedMetric {
  return {
    name: 'shardline.ratelimit.breaker.state',
    kind: 'gauge',
    unit: '1',
    description: 'State of the circuit to Redis: 0 closed, 1 half-open, 2 open.',
    observe: (report) => {
      const state = sources.breaker();
      if (state !== undefined) report(BREAKER_VALUES[state]);
    },
  };
}

function leases(sources: MetricsSources): ObservedMetric[] {
  const fields = [
    ['tokensLeased', 'leased', 'Tokens leased from Redis.'],
    ['tokensSpent', 'spent', 'Leased tokens spent: spent / leased is the efficiency of leasing.'],
    ['tokensReturned', 'returned', 'Leased tokens returned unspent.'],
  ] as const;
  return fields.map(([field, name, description]) => ({
    name: `shardline.ratelimit.lease.tokens_${name}`,
    kind: 'counter',
    unit: '{token}',
    description,
    observe: (report) => {
      let sum = 0;
      for (const leased of sources.leases()) sum += leased.statistics[field];
      report(sum);
    },
  }));
}
