import { type ConfigurationFault, checkOptions, configurationError } from '@shardline/core';
import { type Codec, jsonCodec, msgpackCodec } from './entry/codec.js';
import { type CompressionName, canCompress } from './entry/compression.js';
import { KeyTemplate } from './invalidate/key-template.js';
import type { Loader, NamespaceOptions, Store, TierName } from './namespace-options.js';
import { type CheckedNamespace, namespaceSchema } from './namespace-schema.js';
import { type BehindPolicy, behindFaults, behindPolicyOf } from './write/behind-policy.js';

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
  const checked = checkOptions(namespaceSchema, options, subject);
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
  options: CheckedNamespace,
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
