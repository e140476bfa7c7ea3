import type { Duration } from '@shardline/core';
import type { CacheKey } from '../call-options.js';
import type { NamespaceRuntime } from '../runtime.js';
import type { WarmKey, WarmProgress } from './warmer.js';

/** What `cache.warm` is to read. */
export interface WarmOptions {
  /** Keys by namespace; an async iterable may read them from the source, page by page. */
  readonly keys?:
    | Readonly<Record<string, Iterable<CacheKey> | AsyncIterable<CacheKey>>>
    | undefined;
  /** Also what was hot in this hour of the week, or in that of a date, in namespaces with `hotKeys`. */
  readonly hot?: boolean | Date | undefined;
  /** Longest time for all of it. @default no limit */
  readonly deadline?: Duration | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Told after every hundredth key, and at the end. */
  readonly onProgress?: ((progress: WarmProgress) => void) | undefined;
}

/** The keys of a plan, one after the other: those that were named, then those that were hot. */
export async function* planKeys(
  { keys = {}, hot = false }: WarmOptions,
  runtimes: Iterable<NamespaceRuntime>,
  nowMs: number,
): AsyncGenerator<WarmKey> {
  for (const [namespace, some] of Object.entries(keys)) {
    for await (const key of some) yield { namespace, key };
  }
  if (hot === false) return;
  const atMs = hot === true ? nowMs : hot.getTime();
  for (const { name, hotKeys } of runtimes) {
    for (const key of (await hotKeys?.at(atMs)) ?? []) yield { namespace: name, key };
  }
}
