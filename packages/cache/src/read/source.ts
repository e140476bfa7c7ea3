import { isShardlineError, ShardlineError, withDeadline } from '@shardline/core';
import { cacheErrors } from '../errors.js';
import { tagStamp } from '../invalidate/tag-stamp.js';
import type { Loader } from '../namespace-options.js';
import type { Policy } from '../policy.js';
import type { Attempt } from './attempt.js';
import type { Found } from './found.js';
import { LoadTimes } from './load-times.js';
import type { ReaderParts } from './reader-parts.js';
import { jitteredTtlMs } from './refresh.js';

/** The end of the read path: the source itself, asked through the namespace's loader. */
export class Source {
  readonly times = new LoadTimes();

  constructor(private readonly parts: ReaderParts) {}

  /**
   * Loads a value, within the hard deadline; a load that failed a moment ago is not repeated.
   *
   * @throws ShardlineError `CACHE_NO_LOADER`, `CACHE_LOAD_TIMEOUT`; else what the loader throws.
   */
  async load(key: string, attempt: Attempt): Promise<Found> {
    const { policy, clock, counters, random } = this.parts;
    const load = attempt.load ?? (policy.load as Loader<unknown> | undefined);
    if (load === undefined) throw noLoader(policy.name, key);
    const knownFailure = attempt.recentFailure(key);
    if (knownFailure !== undefined) throw knownFailure.error;
    if (!attempt.holdsLease && this.parts.levels.length > 0) counters.unleasedLoads += 1;
    counters.loads += 1;
    const startedAtMs = clock.monotonicMs();
    const value = await this.parts.tracing.run('load', policy.name, () =>
      this.#call(load, key, attempt),
    );
    const endedAtMs = clock.monotonicMs();
    const loadMs = endedAtMs - startedAtMs;
    this.times.add(loadMs, endedAtMs);
    const isAbsent = value === undefined;
    const ttlMs = isAbsent ? policy.negativeTtlMs : policy.ttlMs;
    return {
      value,
      isAbsent,
      provenAtMs: startedAtMs,
      storedAtMs: clock.now(),
      ttlMs: ttlMs === 0 ? 0 : jitteredTtlMs(ttlMs, policy.jitter, random()),
      staleMs: isAbsent ? 0 : policy.staleMs,
      loadMs,
      tagNames: (policy.tags?.(key, value) ?? []).map(tagStamp),
      standing: attempt.standing,
      packed: undefined,
    };
  }

  async #call(load: Loader<unknown>, key: string, attempt: Attempt): Promise<unknown> {
    const { policy, clock, counters } = this.parts;
    const { signal } = attempt;
    const freshness = attempt.standing?.freshness;
    const doing = `Loading '${policy.name}:${key}'`;
    const startedAtMs = clock.monotonicMs();
    try {
      return await withDeadline(
        { timeoutMs: policy.loadTimeoutMs, clock, signal, doing },
        async (stop) => policy.around(() => load(key, { signal: stop, freshness })),
      );
    } catch (error) {
      if (signal.aborted) throw error;
      counters.loadFailures += 1;
      // A source that fails slowly is a slow source.
      const endedAtMs = clock.monotonicMs();
      this.times.add(endedAtMs - startedAtMs, endedAtMs);
      const failure = isShardlineError(error, 'DEADLINE_EXCEEDED')
        ? loadTimeout(policy, key, error)
        : error;
      attempt.rememberFailure(key, failure);
      throw failure;
    }
  }
}

function noLoader(namespace: string, key: string): ShardlineError {
  return new ShardlineError(
    cacheErrors.CACHE_NO_LOADER,
    `'${namespace}:${key}' is not in the cache, and nothing says how to load it.`,
  );
}

function loadTimeout(policy: Policy, key: string, cause: unknown): ShardlineError {
  return new ShardlineError(
    cacheErrors.CACHE_LOAD_TIMEOUT,
    `Loading '${policy.name}:${key}' did not end within ${policy.loadTimeoutMs} ms.`,
    { cause },
  );
}
