import {
  type ConfigurationFault,
  checkOptions,
  configurationError,
  type Duration,
  durationOption,
  integerOption,
} from '@shardline/core';
import * as v from 'valibot';
import { type Codec, jsonCodec, msgpackCodec } from './entry/codec.js';
import { type CompressionName, canCompress } from './entry/compression.js';
import { freshnessFault } from './entry/standing-freshness.js';
import { KeyTemplate } from './invalidate/key-template.js';
import {
  type BehindPolicy,
  behindFaults,
  behindPolicyOf,
  behindSchema,
  type WriteBehindOptions,
} from './write/behind-policy.js';

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

/** A policy with every default filled in, durations in milliseconds. */
export interface Policy<Value = unknown> {
  readonly name: string;
  readonly partition: string | undefined;
  readonly usesL1: boolean;
  readonly usesL2: boolean;
  readonly usesL3: boolean;
  readonly load: Loader<Value> | undefined;
  readonly around: <T>(load: () => T) => T;
  readonly freshness: string | undefined;
  readonly store: Store<Value> | undefined;
  readonly write: 'aside' | 'through' | 'behind';
  readonly behind: BehindPolicy | undefined;
  readonly coherence: 'bounded' | 'strict';
  /** 0 when strict; Infinity where there is nothing to be coherent with. */
  readonly boundMs: number;
  readonly ttlMs: number;
  readonly l1TtlMs: number;
  readonly l1MaxEntries: number;
  readonly l1MaxBytes: number;
  readonly jitter: number;
  readonly staleWhileRevalidateMs: number;
  readonly staleIfErrorMs: number;
  /** How long beyond its ttl an entry is kept at all. */
  readonly staleMs: number;
  readonly negativeTtlMs: number;
  /** XFetch's beta; 0 is off. */
  readonly eagerBeta: number;
  readonly loadTimeoutMs: number;
  readonly softTimeoutMs: number;
  readonly loadBackoffMs: number;
  readonly leaseMs: number;
  readonly leaseWaitMs: number;
  readonly codec: Codec;
  readonly compression: CompressionName;
  readonly compressAboveBytes: number;
  readonly maxL2Bytes: number;
  readonly maxL3Bytes: number;
  readonly clone: boolean;
  /** How many hot keys of an hour are remembered; 0 is off. */
  readonly hotKeys: number;
  readonly edgeTtlMs: number;
  readonly browserTtlMs: number;
  /** Share of the values shown that are compared with their source. */
  readonly probeShare: number;
  readonly template: KeyTemplate;
  readonly tags: ((key: string, value: Value | undefined) => readonly string[]) | undefined;
}

const anyFunction = v.custom<(...args: never[]) => unknown>(
  (value) => typeof value === 'function',
  'must be a function',
);
const codecSchema = v.union(
  [v.picklist(['json', 'msgpack']), v.custom<Codec>(isCodec)],
  "must be 'json', 'msgpack' or a codec with id (100 to 255), name, encode and decode",
);

function isCodec(value: unknown): boolean {
  const codec = value as Partial<Codec> | null;
  return (
    typeof codec?.id === 'number' &&
    Number.isInteger(codec.id) &&
    codec.id >= 1 &&
    codec.id <= 255 &&
    typeof codec.encode === 'function' &&
    typeof codec.decode === 'function'
  );
}

function share(min: number, max: number) {
  return v.pipe(
    v.number(`must be a number from ${min} to ${max}`),
    v.minValue(min, `must be from ${min} to ${max}`),
    v.maxValue(max, `must be from ${min} to ${max}`),
  );
}

const shortWait = (fallback: Duration) =>
  v.optional(durationOption({ min: '1ms', max: '10m' }), fallback);
const staleSpan = v.optional(durationOption({ max: '3650d' }), '0ms');

const schema = v.strictObject({
  ttl: durationOption({ min: '1ms', max: '3650d' }),
  tiers: v.optional(
    v.pipe(v.array(v.picklist(['l1', 'l2', 'l3'])), v.minLength(1, 'must name at least one tier')),
  ),
  partition: v.optional(v.string()),
  load: v.optional(anyFunction),
  around: v.optional(anyFunction),
  freshness: v.optional(
    v.pipe(
      v.string(),
      v.check(
        (mark) => freshnessFault(mark) === undefined,
        ({ input }) => freshnessFault(input) ?? '',
      ),
    ),
  ),
  store: v.optional(anyFunction),
  write: v.optional(v.picklist(['aside', 'through', 'behind']), 'aside'),
  writeBehind: v.optional(behindSchema),
  coherence: v.optional(v.picklist(['bounded', 'strict']), 'bounded'),
  bound: v.optional(durationOption({ min: '50ms', max: '1h' }), '2s'),
  l1: v.optional(
    v.strictObject({
      ttl: v.optional(durationOption({ min: '1ms', max: '3650d' })),
      maxEntries: v.optional(integerOption(1, 50_000_000), 10_000),
      maxBytes: v.optional(integerOption(1024), 64 * 1024 * 1024),
    }),
    {},
  ),
  jitter: v.optional(share(0, 1), 0.1),
  staleWhileRevalidate: staleSpan,
  staleIfError: staleSpan,
  negativeTtl: staleSpan,
  eagerRefresh: v.optional(v.union([v.boolean(), share(0, 100)]), false),
  loadTimeout: shortWait('10s'),
  softTimeout: shortWait('500ms'),
  loadBackoff: v.optional(durationOption({ max: '10m' }), '250ms'),
  leaseWait: shortWait('3s'),
  codec: v.optional(codecSchema, 'json'),
  compression: v.optional(v.picklist(['none', 'brotli', 'zstd']), 'brotli'),
  compressAboveBytes: v.optional(integerOption(0), 2048),
  maxValueBytes: v.optional(
    v.strictObject({
      l2: v.optional(integerOption(1, 512 * 1024 * 1024), 8 * 1024 * 1024),
      l3: v.optional(integerOption(1, 128 * 1024 * 1024), 1000 * 1024),
    }),
    {},
  ),
  clone: v.optional(v.boolean(), false),
  edge: v.optional(
    v.strictObject({
      ttl: v.optional(durationOption({ max: '3650d' })),
      browserTtl: v.optional(durationOption({ max: '3650d' }), '0ms'),
    }),
    {},
  ),
  hotKeys: v.optional(v.union([v.boolean(), integerOption(1, 100_000)]), false),
  probe: v.optional(v.union([v.boolean(), share(0, 1)]), false),
  keys: v.optional(
    v.pipe(v.string(), v.regex(/^\{\w+\}(:\{\w+\}){0,7}$/, "must look like '{userId}:{page}'")),
    '{key}',
  ),
  tags: v.optional(anyFunction),
});

const DEFAULT_HOT_KEYS = 1000;
const DEFAULT_PROBE_SHARE = 1e-4;

/** A lease outlives the hard deadline of the load that it is for, its fill included. */
const LEASE_MARGIN_MS = 2000;

const NAME = /^[A-Za-z0-9_.-]{1,64}$/;

/**
 * Checks a namespace's options and fills in every default.
 *
 * @throws ShardlineError `CONFIG_INVALID`, naming every fault.
 */
export function resolvePolicy<Value>(
  name: string,
  options: NamespaceOptions<Value>,
  available: readonly TierName[],
): Policy<Value> {
  const subject = `cache namespace '${name}'`;
  const checked = checkOptions(schema, options, subject);
  const tiers = checked.tiers ?? available;
  const faults = contradictions(name, checked, tiers, available);
  if (faults.length > 0) throw configurationError(subject, faults);

  const isStrict = checked.coherence === 'strict';
  const isShared = tiers.includes('l2') || tiers.includes('l3');
  return {
    name,
    partition: checked.partition,
    usesL1: tiers.includes('l1') && !isStrict,
    usesL2: tiers.includes('l2'),
    usesL3: tiers.includes('l3'),
    load: options.load,
    around: options.around ?? ((load) => load()),
    freshness: checked.freshness,
    store: options.store,
    write: checked.write,
    behind:
      checked.writeBehind && options.writeBehind
        ? behindPolicyOf(checked.writeBehind, options.writeBehind)
        : undefined,
    coherence: checked.coherence,
    boundMs: isStrict ? 0 : isShared ? checked.bound : Number.POSITIVE_INFINITY,
    ttlMs: checked.ttl,
    l1TtlMs: Math.min(checked.l1.ttl ?? checked.ttl, checked.ttl),
    l1MaxEntries: checked.l1.maxEntries,
    l1MaxBytes: checked.l1.maxBytes,
    jitter: checked.jitter,
    staleWhileRevalidateMs: checked.staleWhileRevalidate,
    staleIfErrorMs: checked.staleIfError,
    staleMs: Math.max(checked.staleWhileRevalidate, checked.staleIfError),
    negativeTtlMs: checked.negativeTtl,
    eagerBeta: Number(checked.eagerRefresh),
    loadTimeoutMs: checked.loadTimeout,
    softTimeoutMs: Math.min(checked.softTimeout, checked.loadTimeout),
    loadBackoffMs: checked.loadBackoff,
    leaseMs: checked.loadTimeout + LEASE_MARGIN_MS,
    leaseWaitMs: checked.leaseWait,
    codec: codecOf(checked.codec),
    compression: checked.compression,
    compressAboveBytes: checked.compressAboveBytes,
    maxL2Bytes: checked.maxValueBytes.l2,
    maxL3Bytes: checked.maxValueBytes.l3,
    clone: checked.clone,
    edgeTtlMs: checked.edge.ttl ?? checked.ttl,
    browserTtlMs: checked.edge.browserTtl,
    hotKeys: checked.hotKeys === true ? DEFAULT_HOT_KEYS : Number(checked.hotKeys),
    probeShare: checked.probe === true ? DEFAULT_PROBE_SHARE : Number(checked.probe),
    template: new KeyTemplate(checked.keys),
    tags: options.tags,
  };
}

function codecOf(codec: 'json' | 'msgpack' | Codec): Codec {
  if (codec === 'json') return jsonCodec;
  return codec === 'msgpack' ? msgpackCodec : codec;
}

/** Faults of options that are right one by one and wrong together. */
function contradictions(
  name: string,
  options: v.InferOutput<typeof schema>,
  tiers: readonly TierName[],
  available: readonly TierName[],
): ConfigurationFault[] {
  const faults: ConfigurationFault[] = [];
  const fault = (path: string, message: string) => faults.push({ path, message });
  if (!NAME.test(name)) {
    fault('', `'${name}' must be 1 to 64 letters, digits, '_', '.' or '-'`);
  }
  for (const tier of tiers) {
    if (!available.includes(tier)) {
      fault(
        'tiers',
        `names '${tier}', but the cache has no ${tier === 'l2' ? 'redis' : 'memcached'}`,
      );
    }
  }
  if (options.coherence === 'strict' && !tiers.includes('l2') && !tiers.includes('l3')) {
    fault('coherence', "'strict' needs a shared tier: add 'l2' or 'l3' to `tiers`");
  }
  if (options.write === 'through' && options.store === undefined) {
    fault('store', "is missing: write 'through' writes to the source by it");
  }
  if (options.probe !== false && options.load === undefined) {
    fault('load', 'is missing: `probe` compares with what it reads');
  }
  faults.push(...behindFaults(options));
  if (!canCompress(options.compression)) {
    fault('compression', "'zstd' needs Node 22.15 or later; use 'brotli'");
  }
  return faults;
}
