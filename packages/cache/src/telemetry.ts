import { type ObservedMetric, Telemetry } from '@shardline/core';
import type { Counters } from './counters.js';
import type { Invalidator } from './invalidate/invalidator.js';
import type { Partition } from './partition.js';
import type { NamespaceRuntime } from './runtime.js';

/**
 * What the cache tells OpenTelemetry: counts that are there anyway, read when someone collects.
 *
 * `shardline.cache.staleness_bound` is the promise in figures: how far behind an invalidation this process
 * may be at most. `shardline.cache.bus_lag` is how far it is from having heard everything.
 */
const COUNTED: readonly (readonly [keyof Counters, string, string])[] = [
  ['l1Hits', 'hits.l1', 'Reads answered by L1.'],
  ['l2Hits', 'hits.l2', 'Reads answered by L2.'],
  ['l3Hits', 'hits.l3', 'Reads answered by L3.'],
  ['misses', 'misses', 'Reads that L1 could not answer.'],
  ['loads', 'loads', 'Loads from the source.'],
  ['loadFailures', 'load_failures', 'Loads that failed or timed out.'],
  ['staleServed', 'stale_served', 'Values shown beyond their ttl, as the policy allows.'],
  ['refreshes', 'refreshes', 'Loads ahead of or after expiry, in the background.'],
  ['refusedFills', 'refused_fills', 'Fills refused because the key was invalidated meanwhile.'],
  ['unleasedLoads', 'unleased_loads', 'Loads without a lease, which fill no shared tier.'],
  ['corruptFrames', 'corrupt_frames', 'Bytes under our keys that are not an entry.'],
  ['oversizedValues', 'oversized_values', 'Values too large for a tier.'],
  ['unserialisableValues', 'unserialisable_values', 'Values that the codec cannot write.'],
  ['invalidations', 'invalidations', 'Keys, tags and patterns invalidated from here.'],
];

const BREAKER_STATES = { closed: 0, 'half-open': 1, open: 2 } as const;

export class CacheTelemetry {
  readonly #telemetry: Telemetry;
  readonly #refresh: NodeJS.Timeout;

  constructor(
    runtimes: ReadonlyMap<string, NamespaceRuntime>,
    partitions: ReadonlyMap<string, Partition>,
    invalidator: Invalidator,
  ) {
    const observed = [
      ...COUNTED.map((counted) => counterMetric(runtimes, counted)),
      ...levelMetrics(runtimes),
      ...partitionMetrics(partitions),
      gauge('pending_invalidations', '{invalidation}', 'Not yet taken by a tier.', (report) =>
        report(invalidator.pendingCount),
      ),
    ];
    this.#telemetry = new Telemetry({ scope: '@shardline/cache', version: '0.1.0', observed });
    this.#refresh = setInterval(() => this.#telemetry.refresh(), 10_000).unref();
  }

  close(): void {
    clearInterval(this.#refresh);
    this.#telemetry.close();
  }
}

function gauge(
  name: string,
  unit: string,
  description: string,
  observe: ObservedMetric['observe'],
): ObservedMetric {
  return { name: `shardline.cache.${name}`, kind: 'gauge', unit, description, observe };
}

function counterMetric(
  runtimes: ReadonlyMap<string, NamespaceRuntime>,
  [field, name, description]: (typeof COUNTED)[number],
): ObservedMetric {
  return {
    name: `shardline.cache.${name}`,
    kind: 'counter',
    unit: '{count}',
    description,
    observe: (report) => {
      for (const { name: namespace, counters } of runtimes.values()) {
        report(counters[field], { 'shardline.cache.namespace': namespace });
      }
    },
  };
}

function levelMetrics(runtimes: ReadonlyMap<string, NamespaceRuntime>): ObservedMetric[] {
  const each = (value: (runtime: NamespaceRuntime) => number): ObservedMetric['observe'] => {
    return (report) => {
      for (const runtime of runtimes.values()) {
        const number = value(runtime);
        if (Number.isFinite(number)) report(number, { 'shardline.cache.namespace': runtime.name });
      }
    };
  };
  return [
    gauge(
      'staleness_bound',
      'ms',
      'Longest time by which a read may lag behind an acknowledged invalidation.',
      each(({ policy }) => policy.boundMs),
    ),
    gauge(
      'l1.entries',
      '{entry}',
      'Entries in L1.',
      each(({ memory }) => memory.entries.size),
    ),
    gauge(
      'l1.bytes',
      'By',
      'Estimated bytes in L1.',
      each(({ memory }) => memory.entries.bytes),
    ),
  ];
}

function partitionMetrics(partitions: ReadonlyMap<string, Partition>): ObservedMetric[] {
  return [
    gauge('breaker', '{state}', '0 closed, 1 half-open, 2 open.', (report) => {
      for (const { name, breakers } of partitions.values()) {
        for (const [tier, { state }] of breakers) {
          report(BREAKER_STATES[state], {
            'shardline.cache.tier': tier,
            'shardline.cache.partition': name,
          });
        }
      }
    }),
    gauge('bus_lag', 'ms', 'Since when everything said on the bus has been heard.', (report) => {
      for (const { name, bus, coherence } of partitions.values()) {
        const lagMs = performance.now() - coherence.asOfMs;
        if (bus !== undefined && Number.isFinite(lagMs)) {
          report(lagMs, { 'shardline.cache.partition': name });
        }
      }
    }),
    gauge('bus_gaps', '{gap}', 'Times that messages were missed and L1 was flushed.', (report) => {
      for (const { name, bus } of partitions.values()) {
        if (bus !== undefined) report(bus.gaps, { 'shardline.cache.partition': name });
      }
    }),
  ];
}
