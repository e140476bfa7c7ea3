import { type Duration, durationMs } from '@shardline/core';
import type { Loader } from './namespace-options.js';
import type { WriteOptions } from './write/write.js';

/** What the calls of a namespace take besides their key. */

/** A key: text, or a number that stands for its decimal text. */
export type CacheKey = string | number | bigint;

/** Options of one read. */
export interface GetOptions<Value> {
  readonly signal?: AbortSignal | undefined;
  /** Loads in place of the namespace's loader. Callers who share a load share the first one's. */
  readonly load?: Loader<Value> | undefined;
}

/** Options of one `set`. */
export interface SetOptions {
  readonly signal?: AbortSignal | undefined;
  /** Tags besides those that the namespace's `tags` gives. */
  readonly tags?: readonly string[] | undefined;
  /** A time to live of its own, without jitter. @default the namespace's */
  readonly ttl?: Duration | undefined;
}

/** Options of one `update`. */
export interface UpdateOptions extends SetOptions {
  /** Longest run of the work. @default the namespace's `loadTimeout` */
  readonly timeout?: Duration | undefined;
}

/** A change of the source and what it puts into the cache. */
export interface ReportedChange<Result, Value> {
  /** Changes the source. */
  readonly work: (context: { readonly signal: AbortSignal }) => Promise<Result> | Result;
  /** What is stored of what the work has returned; undefined: nothing is, and the key is invalidated. */
  readonly storedOf: (result: Result) => Promise<Value | undefined> | Value | undefined;
  /**
   * Whether a value is of a later change than another, both of them stored by updates of the same key; undefined if that
   * cannot be told. Without it, updates of a key that overlap end with nothing cached.
   */
  readonly isLater?: ((value: Value, other: Value) => boolean | undefined) | undefined;
}

/** Options of one invalidation. */
export interface InvalidateOptions {
  /**
   * Handed to the loaders that read the key within the cache's `tombstoneTtl`: they must read nothing older. 1 to
   * 256 bytes. Unlike marks of several invalidations come to the loaders as `FRESHEST`. @default the namespace's
   */
  readonly freshness?: string | undefined;
}

/** The options of a write with its durations in milliseconds. */
export function writeOptionsOf({
  signal,
  tags,
  ttl,
}: SetOptions): WriteOptions & { readonly signal: AbortSignal | undefined } {
  return { signal, tags, ttlMs: ttl === undefined ? undefined : durationMs(ttl, 'ttl') };
}
