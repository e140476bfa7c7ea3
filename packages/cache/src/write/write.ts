import { ShardlineError, withDeadline } from '@shardline/core';
import { encodeFrame, FrameKind } from '../entry/frame.js';
import type { StampPair } from '../entry/frame-extras.js';
import { joined, lifeWith, stillStanding } from '../entry/standing-freshness.js';
import { cacheErrors } from '../errors.js';
import type {
  InvalidationReport,
  InvalidationTask,
  Invalidator,
} from '../invalidate/invalidator.js';
import { tagStamp } from '../invalidate/tag-stamp.js';
import type { Found } from '../read/found.js';
import { ERA_STAMP } from '../read/lease.js';
import type { Level } from '../read/level.js';
import { fillMemory } from '../read/memory-fill.js';
import { pack } from '../read/pack.js';
import { jitteredTtlMs } from '../read/refresh.js';
import type { NamespaceRuntime } from '../runtime.js';
import type { Disturber, KeyWatch } from '../tiers/memory/key-watch.js';
import type { Lease } from '../tiers/tier.js';

/**
 * `set`: an invalidation and a fill in one.
 *
 *     own L1 -> seize L3 -> seize L2 -> [write to the source] -> fill L3, fill L2 -> bus -> own L1
 *
 * Seizing puts a lease where the old value or another's lease stood: from then on nobody else can fill.
 * Two writers of one key may overlap in any way. If B seized after A, A's fill is refused; but whether A's
 * or B's write reached the source last, nobody here can know. So whoever is refused, or did not reach a
 * tier, invalidates: an overlap ends with no value rather than with a wrong one.
 *
 * The three steps stand apart because write-behind takes many keys through them together.
 */
interface Seized {
  readonly level: Level;
  readonly lease: Lease;
  readonly stamps: readonly StampPair[];
}

/** What one write brings besides its value. */
export interface WriteOptions {
  readonly tags?: readonly string[] | undefined;
  readonly ttlMs?: number | undefined;
}

/** A write whose leases are taken and whose value is not known to be in the source yet. */
export interface BegunWrite {
  readonly key: string;
  /** To be ended with the write, whatever became of it. */
  readonly watch: KeyWatch;
  /** Undefined if a tier could not be reached. */
  readonly seized: readonly Seized[] | undefined;
}

const ACKNOWLEDGED: InvalidationReport = { acknowledged: true, waitingFor: [] };

/** Writes a value that the caller vouches for or that the namespace's `store` takes. */
export async function writeValue(
  runtime: NamespaceRuntime,
  invalidator: Invalidator,
  key: string,
  value: unknown,
  options: WriteOptions & { readonly signal?: AbortSignal | undefined },
): Promise<InvalidationReport> {
  const { policy } = runtime;
  // Before anything is touched: a value that cannot be written must leave everything as it was.
  const write = await packOrThrow(runtime, writeOf(runtime, key, value, options));
  const begun = await beginWrite(runtime, key, write.tagNames);
  try {
    if (policy.write === 'through') await store(runtime, invalidator, key, value, options);
    return await finishWrite(runtime, invalidator, begun, write);
  } finally {
    runtime.memory.watches.end(begun.watch);
  }
}

/** Takes the old value away everywhere and leases its places. */
export async function beginWrite(
  runtime: NamespaceRuntime,
  key: string,
  tagNames: readonly string[],
): Promise<BegunWrite> {
  runtime.dropLocally([key], []);
  const watch = runtime.memory.watches.begin(key);
  return { key, watch, seized: await seizeAll(runtime, key, tagNames) };
}

/**
 * Fills what was leased, or invalidates where that cannot be done.
 *
 * @param mayRemember asked last: whether the value is still the newest that this process has written.
 */
export function finishWrite(
  runtime: NamespaceRuntime,
  invalidator: Invalidator,
  { key, watch, seized }: BegunWrite,
  write: Found,
  mayRemember: () => boolean = () => true,
): Promise<InvalidationReport> {
  const store = async () => {
    const isStored = seized !== undefined && (await fillAll(runtime, key, write, seized));
    return isStored ? write : undefined;
  };
  const by = 'others';
  return settleWrite(runtime, invalidator, { watch, by, store, mayRemember });
}

/** A write that has reached its source, and how it is to reach the tiers. */
export interface SettledWrite {
  readonly watch: KeyWatch;
  /** As what other writes of the key in this process see it; an update that can find out their order looks past updates. */
  readonly by: Disturber;
  /**
   * Puts it into every tier that is to have it; nothing if one refused, and the key is to be invalidated; `'later'` if
   * this process has put a later value there.
   */
  readonly store: () => Promise<Found | 'later' | undefined>;
  readonly mayRemember: () => boolean;
}

/** Tiers, bus, own L1: what a write ends with. */
export async function settleWrite(
  runtime: NamespaceRuntime,
  invalidator: Invalidator,
  { watch, by, store, mayRemember }: SettledWrite,
): Promise<InvalidationReport> {
  const { policy, memory } = runtime;
  const { key } = watch;
  const isDisturbed = by === 'update' ? watch.isDisturbedByOthers : watch.isDisturbed;
  // Whatever this process's readers loaded in between may be from before the write.
  runtime.dropKey(key, by);
  watch.renew();
  const ticket = { ...memory.ticket(key), watch };
  // An invalidation heard meanwhile may be later than this value: then it has the last word.
  const write = isDisturbed ? undefined : await store();
  if (write === undefined) return invalidator.run([staleKeys(runtime, [key])]);

  try {
    await runtime.bus?.publish({ namespace: runtime.name, keys: [key] });
  } catch {
    // Others' L1 still has the old value: queued with all its steps, as any invalidation.
    return invalidator.run([staleKeys(runtime, [key])]);
  }
  invalidator.purgeEdge(staleKeys(runtime, [key]));
  if (!mayRemember() || !policy.usesL1) return ACKNOWLEDGED;
  const isFilled = write !== 'later' && fillMemory(runtime.reader.parts, key, ticket, write);
  // Another update has dropped it in between, and a reader or an earlier update may have filled it since.
  if (!isFilled && by === 'update') runtime.dropKey(key, by);
  return ACKNOWLEDGED;
}

/** Keys that a write has made stale. */
export function staleKeys(runtime: NamespaceRuntime, keys: readonly string[]): InvalidationTask {
  return { target: runtime, keys, stamps: [] };
}

/**
 * After a write to the source that failed: it may have been done all the same, so nothing that was
 * cached before can stay.
 */
export async function abandonWrites(
  runtime: NamespaceRuntime,
  invalidator: Invalidator,
  keys: readonly string[],
): Promise<void> {
  await invalidator.run([staleKeys(runtime, keys)]).catch(() => {
    // Queued, and the caller is told of the failure itself.
  });
}

/** The value of a write as it goes into the tiers. */
export function writeOf(
  { policy, clock, random }: NamespaceRuntime,
  key: string,
  value: unknown,
  options: WriteOptions,
): Found {
  if (value === undefined) {
    throw new ShardlineError(
      cacheErrors.CACHE_VALUE_INVALID,
      `'${policy.name}:${key}' cannot be set to undefined.`,
      { remedy: 'Use `invalidate` to remove it; null, 0, false and the empty text are values.' },
    );
  }
  const tags = [...(policy.tags?.(key, value) ?? []), ...(options.tags ?? [])];
  return {
    value,
    isAbsent: false,
    provenAtMs: clock.monotonicMs(),
    storedAtMs: clock.now(),
    // Who asks for a time of his own gets it whole.
    ttlMs: options.ttlMs ?? jitteredTtlMs(policy.ttlMs, policy.jitter, random()),
    staleMs: policy.staleMs,
    loadMs: 0,
    tagNames: [...new Set(tags.map(tagStamp))],
    standing: undefined,
    packed: undefined,
  };
}

async function packOrThrow(runtime: NamespaceRuntime, write: Found): Promise<Found> {
  if (runtime.levels.length === 0) return write;
  const packed = await pack(runtime.reader.parts, write);
  if (packed !== undefined) return { ...write, packed };
  throw new ShardlineError(
    cacheErrors.CACHE_VALUE_INVALID,
    `A value for namespace '${runtime.name}' cannot be written as ${runtime.policy.codec.name}.`,
  );
}

/**
 * Leases on every tier, L3 first; undefined if one could not be reached. If the writer dies, whoever loads after it
 * must read what it may have written: so its leases carry the namespace's mark.
 */
async function seizeAll(
  { levels, policy, addresses, freshness, tombstoneMs }: NamespaceRuntime,
  key: string,
  tagNames: readonly string[],
): Promise<Seized[] | undefined> {
  const names = [...policy.template.stampsOf(key), ...tagNames];
  const tombstone = freshness === undefined ? undefined : { freshness, ttlMs: tombstoneMs };
  const seized: Seized[] = [];
  try {
    for (const level of levels.toReversed()) {
      const { byName } = await level.stamps.ask(names, '');
      const lease = await level.tier.seize(addresses.value(key), policy.leaseMs, tombstone);
      const stamps = names.map((name) => ({ name, value: byName.get(name) as string }));
      if (lease.era !== '') stamps.push({ name: ERA_STAMP, value: lease.era });
      seized.push({ level, lease, stamps });
    }
    return seized;
  } catch {
    // The whole key is invalidated below, with what could not be reached queued.
    return undefined;
  }
}

async function store(
  runtime: NamespaceRuntime,
  invalidator: Invalidator,
  key: string,
  value: unknown,
  { signal }: { readonly signal?: AbortSignal | undefined },
): Promise<void> {
  const { policy, clock } = runtime;
  const doing = `Writing '${policy.name}:${key}' to its source`;
  try {
    await withDeadline({ timeoutMs: policy.loadTimeoutMs, clock, signal, doing }, async (stop) =>
      policy.store?.(key, value, { signal: stop }),
    );
  } catch (cause) {
    await abandonWrites(runtime, invalidator, [key]);
    throw new ShardlineError(cacheErrors.CACHE_STORE_FAILED, `${doing} failed.`, { cause });
  }
}

/** Fills every tier; false if one refused or could not be reached, or cannot take the value. */
async function fillAll(
  { policy, addresses, counters, reader, clock, freshness, tombstoneMs }: NamespaceRuntime,
  key: string,
  found: Found,
  seized: readonly Seized[],
): Promise<boolean> {
  if (seized.length === 0) return true;
  const packed = await pack(reader.parts, found);
  if (packed === undefined) return false;
  for (const { level, lease, stamps } of seized) {
    if (packed.body.length > level.maxValueBytes) {
      counters.oversizedValues += 1;
      if (!(await takeBack(level, addresses.value(key)))) return false;
      continue;
    }
    const nowMs = clock.now();
    // The source has taken the value only now; replicas are given their time from here.
    const own = freshness === undefined ? undefined : { freshness, untilMs: nowMs + tombstoneMs };
    const standing = stillStanding(joined(lease.standing, own), nowMs);
    const frame = encodeFrame(lease.token, {
      kind: FrameKind.Value,
      codec: packed.codec,
      compression: packed.compression,
      rawBytes: packed.rawBytes,
      body: packed.body,
      storedAtMs: found.storedAtMs,
      ttlMs: found.ttlMs,
      staleMs: found.staleMs,
      loadMs: found.loadMs,
      standing,
      stamps,
    });
    try {
      const lifeMs = lifeWith(standing, found.ttlMs + policy.staleMs, nowMs);
      if (!(await level.tier.fill(addresses.value(key), lease, frame, lifeMs))) return false;
    } catch {
      return false;
    }
  }
  return true;
}

/** Leaves a tier empty that cannot take the value. */
async function takeBack(level: Level, address: string): Promise<boolean> {
  try {
    await level.tier.invalidate([address]);
    return true;
  } catch {
    return false;
  }
}
