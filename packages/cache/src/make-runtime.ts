import { type Clock, type ConfigurationFault, configurationError } from '@shardline/core';
import type { CacheOptions, CacheSettings } from './cache-options.js';
import type { Invalidator } from './invalidate/invalidator.js';
import type { NamespaceOptions } from './namespace-options.js';
import type { Partition } from './partition.js';
import { resolvePolicy } from './policy.js';
import { NamespaceRuntime } from './runtime.js';
import type { CoarseClock } from './tiers/memory/coarse-clock.js';
import type { Tracing } from './tracing.js';
import { HotKeys } from './warm/hot-keys.js';

/** What a cache gives to each of its namespaces. */
export interface RuntimeParts {
  readonly settings: CacheSettings;
  readonly partitions: ReadonlyMap<string, Partition>;
  /** Patterns of this namespace that rules and schedules name. */
  readonly patterns: readonly string[];
  readonly clock: Clock;
  readonly coarse: CoarseClock;
  readonly random: () => number;
  readonly invalidator: Invalidator;
  readonly tracing: Tracing;
  readonly closing: AbortController;
  readonly provenSince: () => number | undefined;
}

/**
 * Checks a namespace's options against its partition and the rules, and joins its parts.
 *
 * @throws ShardlineError `CONFIG_INVALID`, naming every fault.
 */
export function makeRuntime(
  name: string,
  options: NamespaceOptions<unknown>,
  parts: RuntimeParts,
): NamespaceRuntime {
  const partition = parts.partitions.get(options.partition ?? '');
  if (partition === undefined) {
    const message = `'${options.partition}' is not among the cache's partitions`;
    throw configurationError(`cache namespace '${name}'`, [{ path: 'partition', message }]);
  }
  const policy = resolvePolicy(name, options, partition.tiers);
  const faults: ConfigurationFault[] = [];
  for (const pattern of parts.patterns) {
    try {
      policy.template.stampOfPattern(name, pattern);
    } catch (error) {
      faults.push({ path: 'keys', message: (error as Error).message });
    }
  }
  const { redis } = partition;
  if (policy.hotKeys > 0 && redis === undefined) {
    faults.push({ path: 'hotKeys', message: 'needs Redis, where they are remembered' });
  }
  if (faults.length > 0) throw configurationError(`cache namespace '${name}'`, faults);
  const runtime = new NamespaceRuntime({
    policy: policy as never,
    prefix: parts.settings.prefix,
    l2: partition.l2,
    l3: partition.l3,
    bus: policy.usesL2 || policy.usesL3 ? partition.bus : undefined,
    coherence: partition.coherence,
    clock: parts.clock,
    coarse: parts.coarse,
    random: parts.random,
    tombstoneMs: parts.settings.tombstoneTtl,
    closing: parts.closing,
    invalidator: parts.invalidator,
    provenSince: parts.provenSince,
    tracing: parts.tracing,
    hotKeys:
      policy.hotKeys > 0 && redis !== undefined
        ? new HotKeys({
            redis,
            prefix: parts.settings.prefix,
            namespace: name,
            keep: policy.hotKeys,
            timeoutMs: parts.settings.l2Timeout,
            clock: parts.clock,
          })
        : undefined,
    onInconsistency: parts.settings.onInconsistency as CacheOptions['onInconsistency'],
  });
  partition.runtimes.set(name, runtime);
  return runtime;
}
