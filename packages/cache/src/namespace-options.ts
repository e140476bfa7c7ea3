import type { Duration } from '@shardline/core';
import type { Codec } from './entry/codec.js';
import type { CompressionName } from './entry/compression.js';
import type { WriteBehindOptions } from './write/behind-policy.js';

/** A tier by its name: memory, Redis, Memcached. */
export type TierName = 'l1' | 'l2' | 'l3';

/** What a loader is told besides the key. */
export interface LoadContext {
  /** Fires at the hard deadline, and when nobody waits for the value any more. */
  readonly signal: AbortSignal;
  /**
   * Mark that an invalidation left: the loader must read nothing older. `FRESHEST` if several left unlike ones, which
   * nobody but the source can compare: then read from a server that has all that was acknowledged, such as the
   * primary. Undefined if there is none.
   */
  readonly freshness: string | undefined;
}

/** Reads one value from its source; `undefined` means that it does not exist there. */
export type Loader<Value> = (
  key: string,
  context: LoadContext,
) => Promise<Value | undefined> | Value | undefined;

/**
 * Writes one value to its source, for `write: 'through'` and `'behind'`. Behind, it may be called again for a
 * value that it has written already, and must stop when its signal fires.
 */
export type Store<Value> = (
  key: string,
  value: Value,
  context: { readonly signal: AbortSignal },
) => Promise<void> | void;

/** How a namespace behaves. */
export interface NamespaceOptions<Value> {
  /** How long a value is fresh: 1 ms to 10 years. */
  readonly ttl: Duration;
  /** Which tiers it lives in. @default every tier that the cache (or the partition) has */
  readonly tiers?: readonly TierName[] | undefined;
  /** A Redis or Memcached of its own, by its name in the cache's `partitions`. @default the cache's */
  readonly partition?: string | undefined;
  /** Reads a value from its source on a miss. */
  readonly load?: Loader<Value> | undefined;
  /**
   * Runs around every load, whoever gave the loader: to bring a load into a context of its own. @default none
   */
  readonly around?: (<T>(load: () => T) => T) | undefined;
  /** The freshness mark of invalidations and writes that give none, 1 to 256 bytes. @default none */
  readonly freshness?: string | undefined;
  /** Writes a value to its source; needed by `write: 'through'` and `'behind'`. */
  readonly store?: Store<Value> | undefined;
  /**
   * `aside`: `set` fills the cache alone. `through`: it writes to the source first. `behind`: it is answered
   * at once and the source is written later, in batches. @default 'aside'
   */
  readonly write?: 'aside' | 'through' | 'behind' | undefined;
  /** How `write: 'behind'` writes. */
  readonly writeBehind?: WriteBehindOptions<Value> | undefined;
  /**
   * `bounded`: a read may return what was invalidated at most `bound` ago. `strict`: it never returns what
   * was read before an acknowledged invalidation; L1 is not used. @default 'bounded'
   */
  readonly coherence?: 'bounded' | 'strict' | undefined;
  /** Longest time by which a bounded namespace may lag behind an invalidation. @default '2s' */
  readonly bound?: Duration | undefined;
  /** Limits of the namespace's part of L1. */
  readonly l1?:
    | {
        /** Longest stay in this process's memory. @default the ttl */
        readonly ttl?: Duration | undefined;
        /** @default 10_000 */
        readonly maxEntries?: number | undefined;
        /** Estimated bytes. @default 64 MiB */
        readonly maxBytes?: number | undefined;
      }
    | undefined;
  /** Share of the ttl by which each entry's life is shortened at random, 0 to 1. @default 0.1 */
  readonly jitter?: number | undefined;
  /** Beyond its ttl, how long a value is still shown while one reader refreshes it. @default '0ms' */
  readonly staleWhileRevalidate?: Duration | undefined;
  /** Beyond its ttl, how long a value is still shown if loading fails. @default '0ms' */
  readonly staleIfError?: Duration | undefined;
  /** How long "does not exist" is remembered. @default '0ms', not at all */
  readonly negativeTtl?: Duration | undefined;
  /** Refresh ahead of expiry (XFetch): true, or its beta; larger is earlier. @default false */
  readonly eagerRefresh?: boolean | number | undefined;
  /** Hard deadline of a load. @default '10s' */
  readonly loadTimeout?: Duration | undefined;
  /** If a stale value may be shown: when to show it rather than wait for the load. @default '500ms' */
  readonly softTimeout?: Duration | undefined;
  /** How long nobody loads a key again after its load failed. @default '250ms' */
  readonly loadBackoff?: Duration | undefined;
  /** How long to wait for another process's load before loading without filling. @default '3s' */
  readonly leaseWait?: Duration | undefined;
  /** How values are written. @default 'json' */
  readonly codec?: 'json' | 'msgpack' | Codec | undefined;
  /** @default 'brotli' */
  readonly compression?: CompressionName | undefined;
  /** Bodies below this many bytes are not compressed. @default 2048 */
  readonly compressAboveBytes?: number | undefined;
  /** Values that take more bytes than this in a shared tier are not stored there. */
  readonly maxValueBytes?:
    | {
        /** @default 8 MiB */
        readonly l2?: number | undefined;
        /** @default 1000 KiB, below Memcached's own limit */
        readonly l3?: number | undefined;
      }
    | undefined;
  /** Hand out a copy instead of the frozen value itself. @default false */
  readonly clone?: boolean | undefined;
  /**
   * Remember in Redis what is asked for most in each hour of the week, for `cache.warm({ hot: true })` and
   * `warming.peakHoursAhead`: true (1000 keys an hour), or how many. @default false
   */
  readonly hotKeys?: boolean | number | undefined;
  /**
   * Compare a share of the values shown with their source: true (1 in 10 000), or the share. What the
   * cache goes on to show wrongly is counted and told to `onInconsistency`. @default false
   */
  readonly probe?: boolean | number | undefined;
  /** How long responses made of a value are kept elsewhere; see `edgeHeaders`. */
  readonly edge?:
    | {
        /** By an edge, which is purged. @default the ttl */
        readonly ttl?: Duration | undefined;
        /** By browsers, which cannot be purged. @default '0ms' */
        readonly browserTtl?: Duration | undefined;
      }
    | undefined;
  /** How keys are built, for patterns: `'{userId}:{page}'`. @default '{key}', one part */
  readonly keys?: string | undefined;
  /** Tags of an entry, from its key and value. */
  readonly tags?: ((key: string, value: Value | undefined) => readonly string[]) | undefined;
}
