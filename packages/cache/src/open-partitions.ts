import type { Clock } from '@shardline/core';
import type { CacheOptions, CacheSettings } from './cache-options.js';
import { Partition, type PartitionOptions } from './partition.js';

/** The cache's own partition, under the empty name, and those that it names. */
export function openPartitions(
  options: CacheOptions,
  settings: CacheSettings,
  clock: Clock,
): ReadonlyMap<string, Partition> {
  const open = (name: string, partition: PartitionOptions) =>
    new Partition(name, partition, {
      prefix: settings.prefix,
      l2TimeoutMs: settings.l2Timeout,
      l3TimeoutMs: settings.l3Timeout,
      trustAfterRestart: settings.trustAfterRestart,
      clock,
      onTransition: (tier, from, to) => options.onBreaker?.({ tier, from, to }),
    });
  const named = Object.entries({ '': options, ...options.partitions });
  return new Map(named.map(([name, partition]) => [name, open(name, partition)]));
}
