import { type Duration, durationOption, integerOption } from '@shardline/core';
import * as v from 'valibot';
import type { Codec } from './entry/codec.js';
import { freshnessFault } from './entry/standing-freshness.js';
import { behindSchema } from './write/behind-policy.js';

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

/** The options of a namespace one by one; those that contradict each other are found in `policy.ts`. */
export const namespaceSchema = v.strictObject({
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

export type CheckedNamespace = v.InferOutput<typeof namespaceSchema>;
