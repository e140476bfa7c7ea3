import { type Clock, isShardlineError, ShardlineError, sleep, withDeadline } from '@shardline/core';
import type { Coherence } from '../coherence.js';
import type { Counters } from '../counters.js';
import { decodeValue, encodeValue } from '../entry/codec.js';
import { compress, decompress } from '../entry/compression.js';
import { encodeFrame, type Frame, FrameKind, type StampPair } from '../entry/frame.js';
import { cacheErrors } from '../errors.js';
import type { Addresses } from '../keys.js';
import type { Loader, Policy } from '../policy.js';
import { freezeAndMeasure } from '../tiers/memory/freeze.js';
import { MemoryEntry, type MemoryTicket, type MemoryTier } from '../tiers/memory/memory-tier.js';
import type { Lease } from '../tiers/tier.js';
import type { Attempt, FirstLook } from './attempt.js';
import type { Found } from './found.js';
import { ERA_STAMP } from './lease.js';
import { isAbsence, type Level, type Look, lookAt } from './level.js';
import { eagerWindowMs, freshLeftMs, jitteredTtlMs, shouldRefreshEarly } from './refresh.js';

/**
 * The read path below L1, one shared tier after the other and then the source.
 *
 *     look at L2 --fresh--> done
 *        | miss or stale: lease what was seen        (leased by another: wait, or serve what it holds)
 *        v
 *     look at L3 --fresh--> fill L2 under its lease
 *        | lease
 *        v
 *     load ---> fill L3, fill L2, each under its own lease
 *
 * `#below(i)` is the whole of it: find the value in level i or below, and put it into level i on the
 * way back. Each level's lease is taken *before* anything below it is read, so every promotion is a fill
 * like a load's: if the level was invalidated in between, the lease is gone and the fill refused. A level
 * that is unavailable, or whose lease cannot be had, is passed by without being filled.
 */
export interface ReaderParts {
  readonly policy: Policy;
  readonly addresses: Addresses;
  readonly memory: MemoryTier;
  /** Nearest first. */
  readonly levels: readonly Level[];
  readonly coherence: Coherence;
  readonly counters: Counters;
  readonly clock: Clock;
  readonly random: () => number;
  /** Whether an invalidation of this key still waits for a tier: then no tier is asked. */
  readonly isBlocked: (key: string) => boolean;
}

/** The stamp that every invalidation of any tag changes, so that tags found after a load can be judged. */
export const ANY_TAG_STAMP = 'g';

const TAG_PREFIX = 't:';
const MAX_LEASE_TRIES = 4;
const FIRST_POLL_MS = 3;
const MAX_POLL_MS = 40;
const NO_LEVELS: readonly Level[] = [];

/** One level under way: what was seen, and the lease on it if there is one. */
interface Held {
  readonly level: Level;
  readonly look: Look;
  readonly lease: Lease;
  readonly anyTag: string | undefined;
}

export class Reader {
  constructor(readonly parts: ReaderParts) {}

  /** Finds a value and fills L1 with it. */
  async read(key: string, attempt: Attempt): Promise<Found> {
    const { memory, policy } = this.parts;
    const mayFill = policy.usesL1 && attempt.mayFill;
    // A look from before the attempt is answered for by the ticket from before that look.
    const ticket = mayFill ? (attempt.first?.ticket ?? memory.ticket(key)) : undefined;
    const levels = this.parts.isBlocked(key) ? NO_LEVELS : this.parts.levels;
    const found = await this.#below(levels, 0, key, attempt);
    if (ticket !== undefined) this.fillMemory(key, ticket, found);
    return found;
  }

  /**
   * The short way for what is fresh in the nearest level: one look, no sharing, nothing to give up. What
   * was seen comes back for the long way if it was not enough; undefined if the level cannot be asked.
   */
  async glance(
    key: string,
    mustAsk: boolean,
  ): Promise<{ readonly found: Found | undefined; readonly first: FirstLook } | undefined> {
    const { levels, memory, policy, isBlocked } = this.parts;
    const [level] = levels;
    if (level === undefined || isBlocked(key)) return undefined;
    const ticket = policy.usesL1 ? memory.ticket(key) : undefined;
    try {
      const look = await this.#look(level, 0, key, this.parts.addresses.value(key), mustAsk);
      if (look.reading.state !== 'fresh') return { found: undefined, first: { look, ticket } };
      const found = this.#foundOf(look);
      if (found === undefined || this.#isDueEarly(found))
        return { found: undefined, first: { look, ticket } };
      this.#countHit(level);
      if (ticket !== undefined) this.fillMemory(key, ticket, found);
      return { found, first: { look, ticket } };
    } catch (error) {
      if (isShardlineError(error, cacheErrors.CACHE_TIER_UNAVAILABLE.code)) return undefined;
      throw error;
    }
  }

  #countHit(level: Level): void {
    if (level.tier.name === 'l3') this.parts.counters.l3Hits += 1;
    else this.parts.counters.l2Hits += 1;
  }

  /** Puts a value into L1 under a ticket taken before it was read. */
  fillMemory(key: string, ticket: MemoryTicket, found: Found): void {
    const { policy, memory, clock } = this.parts;
    const nowMs = clock.now();
    if (found.isAbsent && found.ttlMs === 0) return;
    const leftMs = Math.min(policy.l1TtlMs, freshLeftMs(found, nowMs));
    const staleMs = freshLeftMs(found, nowMs) <= leftMs ? found.staleMs : 0;
    if (leftMs + staleMs <= 0) return;
    const bytes = freezeAndMeasure(found.value) + 2 * key.length;
    const monotonicMs = clock.monotonicMs();
    const freshUntilMs = monotonicMs + leftMs;
    const eagerMs = policy.eagerBeta === 0 ? 0 : eagerWindowMs(found.loadMs, policy.eagerBeta);
    const shape = policy.template.parts === 1 ? [] : policy.template.stampsOf(key).slice(1);
    const entry = new MemoryEntry(
      key,
      found.value,
      bytes,
      found.provenAtMs,
      freshUntilMs,
      freshUntilMs + staleMs,
      freshUntilMs - eagerMs,
      found.loadMs,
      ticket.sequence,
      [...shape, ...found.tagNames],
    );
    if (!memory.fill(ticket, entry)) this.parts.counters.refusedFills += 1;
  }

  async #below(
    levels: readonly Level[],
    index: number,
    key: string,
    attempt: Attempt,
  ): Promise<Found> {
    const level = levels[index];
    if (level === undefined) return this.#load(key, attempt);
    const result = await this.#lookAndLease(level, index, key, attempt);
    if (result === undefined) return this.#below(levels, index + 1, key, attempt);
    if ('found' in result) return result.found;
    attempt.holdsLease = true;
    try {
      const found = await this.#below(levels, index + 1, key, attempt);
      return await this.#fill(result.held, key, found);
    } catch (error) {
      const isNoFailure =
        attempt.signal.aborted || isShardlineError(error, cacheErrors.CACHE_NO_LOADER.code);
      await this.#giveBack(result.held, key, isNoFailure);
      throw error;
    }
  }

  /**
   * Looks until there is a value or a lease. Undefined: go on without this level.
   */
  async #lookAndLease(
    level: Level,
    index: number,
    key: string,
    attempt: Attempt,
  ): Promise<{ found: Found } | { held: Held } | undefined> {
    const address = this.parts.addresses.value(key);
    let pollMs = FIRST_POLL_MS;
    for (let tries = 0; tries < MAX_LEASE_TRIES; ) {
      try {
        const look =
          takeFirst(attempt, index) ??
          (await this.#look(level, index, key, address, attempt.mustAsk));
        const found = this.#use(level, look, key, attempt);
        if (found !== undefined) return { found };
        if (look.reading.state !== 'leased') {
          if (!attempt.mayFill) return undefined;
          const held = await this.#lease(level, look, address);
          if (held !== undefined) return { held };
          const fresh = look.reading.state === 'fresh';
          // A refresh ahead of time that somebody else makes already: the value still stands.
          if (fresh) return { found: this.#foundOf(look) as Found };
          tries += 1;
          continue;
        }
      } catch (error) {
        if (isShardlineError(error, cacheErrors.CACHE_TIER_UNAVAILABLE.code)) return undefined;
        throw error;
      }
      if (this.parts.clock.monotonicMs() >= attempt.patientUntilMs) return undefined;
      await this.#pause(pollMs, attempt);
      pollMs = Math.min(MAX_POLL_MS, pollMs * 2);
    }
    return undefined;
  }

  #pause(pollMs: number, attempt: Attempt): Promise<void> {
    const { clock, random } = this.parts;
    const delayMs = pollMs * (0.75 + random() / 2);
    return sleep(delayMs, { clock, signal: attempt.signal, doing: 'Waiting for another load' });
  }

  #look(
    level: Level,
    index: number,
    key: string,
    address: string,
    mustAsk: boolean,
  ): Promise<Look> {
    const { policy, clock, counters } = this.parts;
    return lookAt(level, {
      address,
      required: policy.template.stampsOf(key),
      // What is promoted gets fresh stamps above, so it must be judged by fresh ones here.
      mustAsk: mustAsk || policy.coherence === 'strict' || index > 0,
      wallMs: () => clock.now(),
      monotonicMs: () => clock.monotonicMs(),
      counters,
    });
  }

  /** What can be answered from a look; undefined if the value must come from below. */
  #use(level: Level, look: Look, key: string, attempt: Attempt): Found | undefined {
    const { reading } = look;
    const frame = frameOf(look);
    if (reading.state === 'miss') {
      attempt.learnFreshness(reading.freshness);
      return undefined;
    }
    const found = frame && this.#foundOf(look);
    if (found === undefined) {
      if (reading.state === 'backoff') throw attempt.backoffError(key);
      return undefined;
    }
    attempt.learnFreshness(found.freshness);
    const isDueEarly = attempt.mayFill && this.#isDueEarly(found, attempt.isEager);
    if (reading.state === 'fresh' && !isDueEarly) {
      this.#countHit(level);
      return found;
    }
    attempt.offerStale(found, reading.state === 'fresh');
    const othersWork = reading.state === 'leased' || reading.state === 'backoff';
    return othersWork && attempt.isStaleAllowed(found, reading.state) ? found : undefined;
  }

  #isDueEarly(found: Found, isEager = false): boolean {
    const { policy, clock, random } = this.parts;
    if (policy.eagerBeta === 0) return false;
    const leftMs = freshLeftMs(found, clock.now());
    if (leftMs > eagerWindowMs(found.loadMs, policy.eagerBeta)) return false;
    return isEager || shouldRefreshEarly(leftMs, found.loadMs, policy.eagerBeta, random());
  }

  async #lease(level: Level, look: Look, address: string): Promise<Held | undefined> {
    const anyTag = await this.#anyTag(level, look.seen.era);
    const lease = await level.tier.lease(address, look.seen, this.parts.policy.leaseMs);
    if (lease === undefined) return undefined;
    return { level, look, lease, anyTag };
  }

  /** The stamp of all tags, read before the load whose tags are not known yet. */
  async #anyTag(level: Level, era: string): Promise<string | undefined> {
    if (this.parts.policy.tags === undefined) return undefined;
    const { byName } = await level.stamps.ask([ANY_TAG_STAMP], era);
    return byName.get(ANY_TAG_STAMP);
  }

  /** The value of a look, decoded; undefined (and counted) if its bytes are corrupt. */
  #foundOf(look: Look): Found | undefined {
    const frame = frameOf(look);
    if (frame === undefined) return undefined;
    const isAbsent = isAbsence(frame);
    let value: unknown;
    if (!isAbsent) {
      const raw = decompress(frame.body, frame.compression, frame.rawBytes);
      const decoded = raw && decodeValue(this.parts.policy.codec, frame.codec, raw);
      if (decoded === undefined) {
        this.parts.counters.corruptFrames += 1;
        return undefined;
      }
      value = decoded.value;
    }
    return {
      value,
      isAbsent,
      provenAtMs: look.goodAsOfMs,
      storedAtMs: frame.storedAtMs,
      ttlMs: frame.ttlMs,
      staleMs: frame.staleMs,
      loadMs: frame.loadMs,
      tagNames: tagNamesOf(frame.stamps),
      freshness: frame.freshness,
      packed: frame,
    };
  }

  async #load(key: string, attempt: Attempt): Promise<Found> {
    const { policy, clock, counters, random } = this.parts;
    const load = attempt.load ?? (policy.load as Loader<unknown> | undefined);
    if (load === undefined) throw noLoader(policy.name, key);
    const knownFailure = attempt.recentFailure(key);
    if (knownFailure !== undefined) throw knownFailure.error;
    if (!attempt.holdsLease && this.parts.levels.length > 0) counters.unleasedLoads += 1;
    counters.loads += 1;
    const startedAtMs = clock.monotonicMs();
    const value = await this.#callLoader(load, key, attempt);
    const loadMs = clock.monotonicMs() - startedAtMs;
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
      freshness: attempt.freshness,
      packed: undefined,
    };
  }

  async #callLoader(load: Loader<unknown>, key: string, attempt: Attempt): Promise<unknown> {
    const { policy, clock, counters } = this.parts;
    const { freshness, signal } = attempt;
    try {
      return await withDeadline(
        {
          timeoutMs: policy.loadTimeoutMs,
          clock,
          signal,
          doing: `Loading '${policy.name}:${key}'`,
        },
        async (stop) => policy.around(() => load(key, { signal: stop, freshness })),
      );
    } catch (error) {
      if (signal.aborted) throw error;
      counters.loadFailures += 1;
      const failure = isShardlineError(error, 'DEADLINE_EXCEEDED')
        ? loadTimeout(policy, key, error)
        : error;
      attempt.rememberFailure(key, failure);
      throw failure;
    }
  }

  /** Fills a level under its lease. The value goes up either way; refused, it is only not stored. */
  async #fill(held: Held, key: string, found: Found): Promise<Found> {
    const { counters, clock, addresses } = this.parts;
    const frame = await this.#frameFor(held, found);
    if (frame === undefined) {
      await this.#giveBack(held, key, true);
      return found;
    }
    const sentAtMs = clock.monotonicMs();
    try {
      const leftMs = found.storedAtMs + found.ttlMs + found.staleMs - clock.now();
      const { tier } = held.level;
      const accepted = await tier.fill(addresses.value(key), held.lease, frame.bytes, leftMs);
      if (!accepted) {
        counters.refusedFills += 1;
        return { ...found, packed: frame.packed };
      }
      // That the lease still stood proves that nothing was invalidated up to now.
      return { ...found, packed: frame.packed, provenAtMs: sentAtMs };
    } catch (error) {
      if (isShardlineError(error, cacheErrors.CACHE_TIER_UNAVAILABLE.code)) return found;
      throw error;
    }
  }

  /** The frame to store in a level; undefined if the value must not or cannot be stored there. */
  async #frameFor({ level, look, lease, anyTag }: Held, found: Found) {
    const { counters } = this.parts;
    if (found.ttlMs <= 0) return undefined;
    const stamps = await this.#stampsFor(level, look, lease, anyTag, found);
    const packed = stamps && (await this.pack(found));
    if (stamps === undefined || packed === undefined) return undefined;
    if (packed.body.length > level.maxValueBytes) {
      counters.oversizedValues += 1;
      return undefined;
    }
    const bytes = encodeFrame(lease.token, {
      kind: found.isAbsent ? FrameKind.Absent : FrameKind.Value,
      ...packed,
      storedAtMs: found.storedAtMs,
      ttlMs: found.ttlMs,
      staleMs: found.staleMs,
      loadMs: found.loadMs,
      freshness: found.freshness,
      stamps,
    });
    if (bytes.length > level.tier.maxFrameBytes) {
      counters.oversizedValues += 1;
      return undefined;
    }
    return { bytes, packed };
  }

  /** The body to store, written and packed unless it came from a tier as it is. */
  async pack(found: Pick<Found, 'packed' | 'isAbsent' | 'value'>) {
    const { policy, counters } = this.parts;
    if (found.packed !== undefined) return found.packed;
    if (found.isAbsent) {
      return { codec: 0, compression: 0, rawBytes: 0, body: Buffer.alloc(0) };
    }
    try {
      const raw = encodeValue(policy.codec, found.value, `namespace '${policy.name}'`);
      const { compression, body } = await compress(
        raw,
        policy.compression,
        policy.compressAboveBytes,
      );
      return { codec: policy.codec.id, compression, rawBytes: raw.length, body };
    } catch (error) {
      if (!isShardlineError(error, cacheErrors.CACHE_VALUE_INVALID.code)) throw error;
      counters.unserialisableValues += 1;
      return undefined;
    }
  }

  /**
   * What the entry must carry: stamps as they stood before anything below was read. Those of tags
   * that only the value told are read now, and count only if no tag at all changed meanwhile.
   */
  async #stampsFor(
    level: Level,
    look: Look,
    lease: Lease,
    anyTag: string | undefined,
    found: Found,
  ): Promise<StampPair[] | undefined> {
    const stamps: StampPair[] = lease.era === '' ? [] : [{ name: ERA_STAMP, value: lease.era }];
    for (const [name, value] of look.required.byName) stamps.push({ name, value });
    if (found.tagNames.length === 0) return stamps;
    const names = [...found.tagNames, ANY_TAG_STAMP];
    const { byName } = await level.stamps.ask(names, lease.era);
    if (anyTag === undefined || byName.get(ANY_TAG_STAMP) !== anyTag) return undefined;
    for (const name of found.tagNames) stamps.push({ name, value: byName.get(name) as string });
    return stamps;
  }

  /** Gives a lease back. After a failed load with a back-off, so that nobody loads again at once. */
  async #giveBack(held: Held, key: string, isIntended: boolean): Promise<void> {
    const backoffMs = isIntended ? 0 : this.parts.policy.loadBackoffMs;
    const address = this.parts.addresses.value(key);
    try {
      await held.level.tier.release(address, held.lease, backoffMs);
    } catch {
      // The lease ends by itself in time; until then others wait for it or load without filling.
    }
  }
}

/** The stamp of a tag. */
export function tagStamp(tag: string): string {
  return TAG_PREFIX + tag;
}

const NO_NAMES: readonly string[] = [];

/** Names of the tags among an entry's stamps: the others follow from the key's shape. */
function tagNamesOf(stamps: readonly StampPair[]): readonly string[] {
  let names: string[] | undefined;
  for (const { name } of stamps) {
    if (!name.startsWith(TAG_PREFIX)) continue;
    names ??= [];
    names.push(name);
  }
  return names ?? NO_NAMES;
}

/** A look made before the attempt began; it is used once. */
function takeFirst(attempt: Attempt, index: number): Look | undefined {
  if (index > 0) return undefined;
  const { first } = attempt;
  attempt.first = undefined;
  return first?.look;
}

function frameOf(look: Look): Frame | undefined {
  const { reading } = look;
  if (reading.state === 'fresh' || reading.state === 'stale') return reading.frame;
  return reading.state === 'miss' ? undefined : reading.held;
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
