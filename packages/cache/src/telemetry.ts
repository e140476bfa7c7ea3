import { type ObservedMetric, Telemetry } from '@shardline/core';
import type { Counters } from './counters.js';
import type { Edge } from './edge/edge.js';
import type { Invalidator } from './invalidate/invalidator.js';
import type { Partition } from './partition.js';
import type { NamespaceRuntime } from './runtime.js';
import type { Warmer } from './warm/warmer.js';

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
  ['behindHits', 'write_behind.hits', 'Values shown that the source has not taken yet.'],
  ['behindWritten', 'write_behind.written', 'Writes that the source took later.'],
  ['behindCoalesced', 'write_behind.coalesced', 'Writes that took the place of one that waited.'],
  ['behindFailures', 'write_behind.failures', 'Tries that the source refused.'],
  ['behindUnwritten', 'write_behind.unwritten', 'Writes given up and reported.'],
  ['warmed', 'warmed', 'Loads made ahead of demand.'],
  ['probes', 'probes', 'Values compared with their source.'],
  ['invalidations', 'invalidations', 'Keys, tags and patterns invalidated from here.'],
];

const BREAKER_STATES = { closed: 0, 'half-open': 1, open: 2 } as const;

/** What is observed. */
export interface TelemetryParts {
  readonly runtimes: ReadonlyMap<string, NamespaceRuntime>;
  readonly partitions: ReadonlyMap<string, Partition>;
  readonly invalidator: Invalidator;
  readonly edge: Edge;
  readonly warmer: Warmer;
}

export class CacheTelemetry {
  readonly #telemetry: Telemetry;
  readonly #refresh: NodeJS.Timeout;

  constructor(parts: TelemetryParts) {
    const { runtimes, partitions, invalidator } = parts;
    const observed = [
      ...COUNTED.map((counted) => counterMetric(runtimes, counted)),
      ...levelMetrics(runtimes),
      ...partitionMetrics(partitions),
      gauge('pending_invalidations', '{invalidation}', 'Not yet taken by a tier.', (report) =>
        report(invalidator.pendingCount),
      ),
      ...edgeMetrics(parts.edge),
      ...warmingMetrics(parts.warmer),
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
    inconsistencyMetric(runtimes),
    gauge(
      'write_behind.backlog',
      '{write}',
      'Writes that the source has not taken yet.',
      each(({ behind }) => behind?.backlog ?? Number.NaN),
    ),
    gauge(
      'write_behind.backlog_size',
      'By',
      'Memory that these take, estimated.',
      each(({ behind }) => behind?.backlogBytes ?? Number.NaN),
    ),
    gauge(
      'write_behind.waiters',
      '{caller}',
      'Callers that wait for a place in the buffer.',
      each(({ behind }) => behind?.waiters ?? Number.NaN),
    ),
    gauge(
      'write_behind.oldest',
      'ms',
      'Since when the oldest of these waits.',
      each(({ behind }) => behind?.oldestMs ?? Number.NaN),
    ),
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

/** Values that the cache went on to show though its source had others, by how long at least. */
function inconsistencyMetric(runtimes: ReadonlyMap<string, NamespaceRuntime>): ObservedMetric {
  return {
    name: 'shardline.cache.inconsistencies',
    kind: 'counter',
    unit: '{value}',
    description: 'Values found at odds with their source, by for how long at least.',
    observe: (report) => {
      for (const { name, counters } of runtimes.values()) {
        const namespace = { 'shardline.cache.namespace': name };
        const age = (beyond: string) => ({ ...namespace, 'shardline.cache.beyond': beyond });
        report(counters.inconsistentBeyondBound, age('bound'));
        report(counters.inconsistentBeyond1m, age('1m'));
        report(counters.inconsistentBeyond10m, age('10m'));
      }
    },
  };
}

function edgeMetrics({ queues }: Edge): ObservedMetric[] {
  const attributes = (name: string) => ({ 'shardline.cache.edge': name });
  return [
    gauge('edge.pending', '{target}', 'Targets that wait to be purged.', (report) => {
      for (const { name, size } of queues) report(size, attributes(name));
    }),
    {
      name: 'shardline.cache.edge.failures',
      kind: 'counter',
      unit: '{call}',
      description: 'Purges that an edge did not take.',
      observe: (report) => {
        for (const { name, failures } of queues) report(failures, attributes(name));
      },
    },
  ];
}

function warmingMetrics(warmer: Warmer): ObservedMetric[] {
  return [
    gauge('warming.queued', '{key}', 'Keys of events that wait to be read.', (report) =>
      report(warmer.queued),
    ),
    {
      name: 'shardline.cache.warming.dropped',
      kind: 'counter',
      unit: '{key}',
      description: 'Keys of events that were let go because too many waited.',
      observe: (report) => report(warmer.dropped),
    },
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
