import { ShardlineError, withDeadline } from '@shardline/core';
import { encodeFrame, FrameKind, type StampPair } from '../entry/frame.js';
import { cacheErrors } from '../errors.js';
import type { InvalidationReport, Invalidator } from '../invalidate/invalidator.js';
import { tagStamp } from '../invalidate/tag-stamp.js';
import type { SetOptions } from '../namespace.js';
import type { Found, PackedBody } from '../read/found.js';
import { ERA_STAMP } from '../read/lease.js';
import type { Level } from '../read/level.js';
import { fillMemory } from '../read/memory-fill.js';
import { pack } from '../read/pack.js';
import { jitteredTtlMs } from '../read/refresh.js';
import type { NamespaceRuntime } from '../runtime.js';
import type { Lease } from '../tiers/tier.js';

/**
 * `set`, aside and through: an invalidation and a fill in one.
 *
 *     own L1 -> seize L3 -> seize L2 -> [write to the source] -> fill L3, fill L2 -> bus -> own L1
 *
 * Seizing puts a lease where the old value or another's lease stood: from then on nobody else can fill.
 * Two writers of one key may overlap in any way. If B seized after A, A's fill is refused; but whether A's
 * or B's write reached the source last, nobody here can know. So whoever is refused, or did not reach a
 * tier, invalidates: an overlap ends with no value rather than with a wrong one.
 */
interface Seized {
  readonly level: Level;
  readonly lease: Lease;
  readonly stamps: readonly StampPair[];
}

export async function writeValue(
  runtime: NamespaceRuntime,
  invalidator: Invalidator,
  key: string,
  value: unknown,
  options: SetOptions,
): Promise<InvalidationReport> {
  const { policy, memory } = runtime;
  const found = foundFor(runtime, key, value, options);
  // Before anything is touched: a value that cannot be written must leave everything as it was.
  const packed = await packOrThrow(runtime, found);

  runtime.dropLocally([key], []);
  const before = memory.ticket(key);
  const seized = await seizeAll(runtime, key, found);
  if (policy.write === 'through') await store(runtime, invalidator, key, value, options);

  const wasUndisturbed = memory.ticket(key).epoch === before.epoch;
  // Whatever this process's readers loaded in between may be from before the write.
  runtime.dropLocally([key], []);
  const ticket = memory.ticket(key);
  // An invalidation heard meanwhile may be later than this value: then it has the last word.
  const stored =
    wasUndisturbed && seized !== undefined && (await fillAll(runtime, key, found, packed, seized));
  if (!stored) return invalidator.run([{ target: runtime, keys: [key], stamps: [] }]);

  try {
    await runtime.bus?.publish({ namespace: runtime.name, keys: [key] });
  } catch {
    // Others' L1 still has the old value: queued with all its steps, as any invalidation.
    return invalidator.run([{ target: runtime, keys: [key], stamps: [] }]);
  }
  if (policy.usesL1) fillMemory(runtime.reader.parts, key, ticket, found);
  return { acknowledged: true, waitingFor: [] };
}

function foundFor(
  { policy, clock, random }: NamespaceRuntime,
  key: string,
  value: unknown,
  options: SetOptions,
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
    ttlMs: jitteredTtlMs(policy.ttlMs, policy.jitter, random()),
    staleMs: policy.staleMs,
    loadMs: 0,
    tagNames: [...new Set(tags.map(tagStamp))],
    freshness: undefined,
    packed: undefined,
  };
}

async function packOrThrow(
  runtime: NamespaceRuntime,
  found: Found,
): Promise<PackedBody | undefined> {
  if (runtime.levels.length === 0) return undefined;
  const packed = await pack(runtime.reader.parts, found);
  if (packed !== undefined) return packed;
  throw new ShardlineError(
    cacheErrors.CACHE_VALUE_INVALID,
    `A value for namespace '${runtime.name}' cannot be written as ${runtime.policy.codec.name}.`,
  );
}

/** Leases on every tier, L3 first; undefined if one could not be reached. */
async function seizeAll(
  { levels, policy, addresses }: NamespaceRuntime,
  key: string,
  found: Found,
): Promise<Seized[] | undefined> {
  const names = [...policy.template.stampsOf(key), ...found.tagNames];
  const seized: Seized[] = [];
  try {
    for (const level of levels.toReversed()) {
      const { byName } = await level.stamps.ask(names, '');
      const lease = await level.tier.seize(addresses.value(key), policy.leaseMs);
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
  { signal }: SetOptions,
): Promise<void> {
  const { policy, clock } = runtime;
  const doing = `Writing '${policy.name}:${key}' to its source`;
  try {
    await withDeadline({ timeoutMs: policy.loadTimeoutMs, clock, signal, doing }, async (stop) =>
      policy.store?.(key, value, { signal: stop }),
    );
  } catch (cause) {
    // It may have been written all the same, so nothing that was cached before can stay.
    await invalidator.run([{ target: runtime, keys: [key], stamps: [] }]).catch(() => {});
    throw new ShardlineError(cacheErrors.CACHE_STORE_FAILED, `${doing} failed.`, { cause });
  }
}

/** Fills every tier; false if one refused or could not be reached, or cannot take the value. */
async function fillAll(
  { policy, addresses, counters }: NamespaceRuntime,
  key: string,
  found: Found,
  packed: PackedBody | undefined,
  seized: readonly Seized[],
): Promise<boolean> {
  for (const { level, lease, stamps } of seized) {
    if (packed === undefined) return false;
    if (packed.body.length > level.maxValueBytes) {
      counters.oversizedValues += 1;
      if (!(await takeBack(level, addresses.value(key)))) return false;
      continue;
    }
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
      freshness: found.freshness,
      stamps,
    });
    try {
      const lifeMs = found.ttlMs + policy.staleMs;
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
