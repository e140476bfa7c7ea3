import {
  answerWithin,
  type DeadlineOptions,
  isShardlineError,
  withDeadline,
} from '@shardline/core';
import type { ReportedChange } from '../call-options.js';
import { encodeFrame, FrameKind, type StandingFreshness } from '../entry/frame.js';
import type { StampPair } from '../entry/frame-extras.js';
import { joined, lifeWith, standingIn, stillStanding } from '../entry/standing-freshness.js';
import { newToken } from '../entry/token.js';
import { cacheErrors } from '../errors.js';
import type { InvalidationReport, Invalidator } from '../invalidate/invalidator.js';
import { tagStamp } from '../invalidate/tag-stamp.js';
import type { Found } from '../read/found.js';
import { ERA_STAMP } from '../read/lease.js';
import { type Level, type Look, lookAt } from '../read/level.js';
import { pack } from '../read/pack.js';
import type { NamespaceRuntime } from '../runtime.js';
import type { Lease } from '../tiers/tier.js';
import { identityOf, type OwnValue } from './own-updates.js';
import { abandonWrites, settleWrite, staleKeys, type WriteOptions, writeOf } from './write.js';

/**
 * `update`: a change of the source by the caller's own work, and what it returns put into the cache.
 *
 *     look at the nearest tier -> [work] -> invalidate the tiers below, and ask what is to be stored
 *                              -> replace there exactly what was seen -> bus -> own L1
 *
 * What was there may be shown until the work is done: nothing of it is acknowledged yet. It is replaced only if it is
 * still the very thing that was seen *before* the work began. Two writers of one row commit one after the other, and
 * each changes the tier before it is acknowledged; so if somebody's change was later than ours, either it finds ours
 * in the place of what it saw and invalidates, or ours finds its and invalidates. A load that began before is under
 * a lease, which is gone when what was seen was from before it, and is what is replaced when it was not.
 *
 * Of two that overlap in one process it may be known which is later: `own-updates.ts`.
 *
 * Nothing is no such thing: it may have been filled, invalidated and have become nothing again in between. Where nothing
 * was seen the place is seized, so that readers wait for this value instead of loading it.
 *
 * A process that dies between its change and the end has acknowledged nothing, and leaves what was cached for its ttl;
 * whoever must not have that writes an outbox with the change.
 */
const MAX_REPLACEMENTS = 8;

interface Place {
  readonly level: Level;
  readonly look: Look;
  /** Held where nothing was seen. */
  readonly lease: Lease | undefined;
}

/** Options of one update. */
export interface UpdateOptions extends WriteOptions {
  readonly signal?: AbortSignal | undefined;
  /** Longest run of the work. */
  readonly timeoutMs?: number | undefined;
}

/** Runs a change of the source and stores what it leads to in place of what was cached before it. */
export async function updateValue<Result, Value>(
  runtime: NamespaceRuntime,
  invalidator: Invalidator,
  key: string,
  { work, storedOf, isLater }: ReportedChange<Result, Value>,
  options: UpdateOptions,
): Promise<{ readonly result: Result; readonly report: InvalidationReport }> {
  const { policy, memory, ownUpdates } = runtime;
  const watch = memory.watches.begin(key);
  const own = ownUpdates.begin(key);
  try {
    const place = await placeOf(runtime, key, options.tags ?? []);
    const result = await change(runtime, invalidator, key, work, options);
    // Beside the tiers below: they are invalidated whatever the answer.
    const offered = answerWithin(limitsOf(runtime, key, options), async () => storedOf(result));
    offered.catch(() => {}); // Told below, once nothing old is left.
    const isValueLater = (value: unknown, other: unknown) =>
      isLater?.(value as Value, other as Value);
    const offer = { key, place, offered, isLater: isValueLater, options };
    const store = () => storeAt(runtime, offer);
    // Where a place was seized nothing tells what has become of it since.
    const by = place?.lease === undefined && place !== undefined ? 'update' : 'others';
    // Tags that only the value tells were not among the stamps taken before: the next reader loads it.
    const report =
      policy.tags === undefined
        ? await settleWrite(runtime, invalidator, { watch, by, store, mayRemember: () => true })
        : await invalidator.run([staleKeys(runtime, [key])]);
    await offered;
    return { result, report };
  } finally {
    ownUpdates.end(own);
    memory.watches.end(watch);
  }
}

async function change<Result>(
  runtime: NamespaceRuntime,
  invalidator: Invalidator,
  key: string,
  work: ReportedChange<Result, unknown>['work'],
  options: UpdateOptions,
): Promise<Result> {
  try {
    return await withDeadline(limitsOf(runtime, key, options), async (stop) =>
      work({ signal: stop }),
    );
  } catch (error) {
    await abandonWrites(runtime, invalidator, [key]);
    throw error;
  }
}

function limitsOf(
  { policy, clock }: NamespaceRuntime,
  key: string,
  { signal, timeoutMs }: UpdateOptions,
): DeadlineOptions {
  const doing = `Updating '${policy.name}:${key}'`;
  return { timeoutMs: timeoutMs ?? policy.loadTimeoutMs, clock, signal, doing };
}

/** What stands in the nearest tier before the work; undefined if it cannot be asked, or has no such tier. */
async function placeOf(
  runtime: NamespaceRuntime,
  key: string,
  tags: readonly string[],
): Promise<Place | undefined> {
  const { policy, clock, counters, addresses } = runtime;
  const [level] = runtime.levels;
  if (level === undefined) return undefined;
  const address = addresses.value(key);
  try {
    const look = await lookAt(level, {
      address,
      required: [...policy.template.stampsOf(key), ...tags.map(tagStamp)],
      // An older stamp makes the entry look older than it is, and nothing worse.
      mustAsk: false,
      clock,
      counters,
    });
    if (look.seen.bytes !== undefined) return { level, look, lease: undefined };
    const lease = await level.tier.seize(address, policy.leaseMs, tombstoneOf(runtime));
    return { level, look, lease };
  } catch (error) {
    // The whole key is invalidated after the work, with what could not be reached queued.
    if (isShardlineError(error, cacheErrors.CACHE_TIER_UNAVAILABLE.code)) return undefined;
    throw error;
  }
}

/** What an update has to store, and where. */
interface Offer {
  readonly key: string;
  readonly place: Place | undefined;
  readonly offered: Promise<unknown>;
  readonly isLater: (value: unknown, other: unknown) => boolean | undefined;
  readonly options: UpdateOptions;
}

/** Invalidates the tiers below and replaces what was seen in the nearest; nothing if that is not to be. */
async function storeAt(
  runtime: NamespaceRuntime,
  offer: Offer,
): Promise<Found | 'later' | undefined> {
  const { key, place, offered, options } = offer;
  if (place === undefined && runtime.levels.length > 0) return undefined;
  try {
    const [value] = await Promise.all([offered, invalidateBelow(runtime, key)]);
    if (value === undefined) return undefined;
    const write = writeOf(runtime, key, value, options);
    if (place === undefined) return write;
    if (place.lease !== undefined) {
      return (await putAt(runtime, key, place, write)) === undefined ? undefined : write;
    }
    return await replaceInOrder(runtime, offer, place, write);
  } catch {
    return undefined;
  }
}

/** Replaces what was seen, or what this process itself has put there since, if that is of an earlier change. */
async function replaceInOrder(
  runtime: NamespaceRuntime,
  { key, isLater }: Offer,
  place: Place,
  write: Found,
): Promise<Found | 'later' | undefined> {
  const { ownUpdates } = runtime;
  const saw = identityOf(place.look.seen.bytes as Buffer);
  let last: OwnValue | undefined;
  for (let tries = 0; tries < MAX_REPLACEMENTS; tries += 1) {
    const before = last;
    last = ownUpdates.inPlaceOf(key, saw);
    // The first try is at what was seen; another only if more has been put there by this process meanwhile.
    if (tries > 0 && last === before) return undefined;
    const isLaterThanLast = last === undefined || isLater(write.value, last.value);
    if (isLaterThanLast === undefined) return undefined;
    if (!isLaterThanLast) return 'later';
    const at = last === undefined ? place : await placeAt(runtime, key, place, last);
    const put = at && (await putAt(runtime, key, at, write));
    if (put === undefined) continue;
    ownUpdates.replaced(key, last?.identity ?? saw, { identity: put, value: write.value });
    return write;
  }
  return undefined;
}

/** The place with what this process has put there; undefined if that stands there no more. */
async function placeAt(
  { addresses, clock }: NamespaceRuntime,
  key: string,
  place: Place,
  { identity }: OwnValue,
): Promise<Place | undefined> {
  const seen = await place.level.tier.read(addresses.value(key));
  if (seen.bytes === undefined || identityOf(seen.bytes) !== identity) return undefined;
  // The stamps stay those of before the work; the mark is what stands there now.
  const standing = joined(place.look.standing, standingIn(seen.bytes, clock.now()));
  return { ...place, look: { ...place.look, seen, standing } };
}

/** First, as ever: what is in the nearest tier may vanish, and the next reader would find the old value below. */
async function invalidateBelow(runtime: NamespaceRuntime, key: string): Promise<void> {
  const address = runtime.addresses.value(key);
  for (const below of runtime.levels.slice(1).toReversed()) {
    await below.tier.invalidate([address], tombstoneOf(runtime));
  }
}

/** Puts the value in the place of what was seen or under the lease; the identity of what stands there then. */
async function putAt(
  runtime: NamespaceRuntime,
  key: string,
  place: Place,
  write: Found,
): Promise<string | undefined> {
  const { addresses, policy, clock } = runtime;
  const { level, look, lease } = place;
  const standing = standingOf(runtime, place);
  const frame = await frameFor(runtime, place, { ...write, standing });
  if (frame === undefined) return undefined;
  const address = addresses.value(key);
  const lifeMs = lifeWith(standing, write.ttlMs + policy.staleMs, clock.now());
  const isPut =
    lease === undefined
      ? await level.tier.replace(address, look.seen, frame, lifeMs)
      : await level.tier.fill(address, lease, frame, lifeMs);
  return isPut ? identityOf(frame) : undefined;
}

/** The mark of this change, and what stood where its value goes. */
function standingOf(
  { clock, freshness, tombstoneMs }: NamespaceRuntime,
  { look, lease }: Place,
): StandingFreshness | undefined {
  const nowMs = clock.now();
  const own = freshness === undefined ? undefined : { freshness, untilMs: nowMs + tombstoneMs };
  const stood = lease === undefined ? look.standing : lease.standing;
  return stillStanding(joined(stood, own), nowMs);
}

function tombstoneOf({ freshness, tombstoneMs }: NamespaceRuntime) {
  return freshness === undefined ? undefined : { freshness, ttlMs: tombstoneMs };
}

async function frameFor(
  { counters, reader }: NamespaceRuntime,
  { level, look, lease }: Place,
  write: Found,
): Promise<Buffer | undefined> {
  const packed = await pack(reader.parts, write);
  if (packed === undefined) return undefined;
  if (packed.body.length > level.maxValueBytes) {
    counters.oversizedValues += 1;
    return undefined;
  }
  const { era } = look.seen;
  const stamps: StampPair[] = era === '' ? [] : [{ name: ERA_STAMP, value: era }];
  for (const [name, value] of look.required.byName) stamps.push({ name, value });
  const bytes = encodeFrame(lease?.token ?? newToken(), {
    kind: FrameKind.Value,
    ...packed,
    storedAtMs: write.storedAtMs,
    ttlMs: write.ttlMs,
    staleMs: write.staleMs,
    loadMs: write.loadMs,
    standing: write.standing,
    stamps,
  });
  if (bytes.length <= level.tier.maxFrameBytes) return bytes;
  counters.oversizedValues += 1;
  return undefined;
}
