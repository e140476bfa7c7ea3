import { isShardlineError } from '@shardline/core';
import { encodeFrame, FrameKind } from '../entry/frame.js';
import type { StampPair } from '../entry/frame-extras.js';
import { joined, lifeWith, stillStanding } from '../entry/standing-freshness.js';
import { cacheErrors } from '../errors.js';
import { ANY_TAG_STAMP } from '../invalidate/tag-stamp.js';
import type { Lease } from '../tiers/tier.js';
import type { Found } from './found.js';
import { ERA_STAMP } from './lease.js';
import type { Level, Look } from './level.js';
import { pack } from './pack.js';
import type { ReaderParts } from './reader-parts.js';

/**
 * The filling of one shared tier: lease what was seen, store under the lease, or give it back.
 *
 * What an entry depends on is captured before anything below the tier is read; a stamp read later could
 * hide an invalidation that the value does not know of.
 */

/** One level under way: what was seen, and the lease on it. */
export interface Held {
  readonly level: Level;
  readonly look: Look;
  readonly lease: Lease;
  /** The stamp of all tags from before the load, where the load is what tells the tags. */
  readonly anyTag: string | undefined;
}

export class LevelFill {
  constructor(private readonly parts: ReaderParts) {}

  /** Undefined: somebody else holds it, or it is no longer what was seen. */
  async lease(level: Level, look: Look, address: string): Promise<Held | undefined> {
    const anyTag = await this.#anyTag(level, look.seen.era);
    const lease = await level.tier.lease(address, look.seen, this.parts.policy.leaseMs);
    if (lease === undefined) return undefined;
    return { level, look, lease, anyTag };
  }

  /** Fills a level under its lease. The value goes up either way; refused, it is only not stored. */
  async fill(held: Held, key: string, found: Found): Promise<Found> {
    const { counters, clock, addresses } = this.parts;
    const nowMs = clock.now();
    const standing = stillStanding(joined(held.lease.standing, found.standing), nowMs);
    const frame = await this.#frameFor(held, { ...found, standing });
    if (frame === undefined) {
      await this.giveBack(held, key, true);
      return found;
    }
    const sentAtMs = clock.monotonicMs();
    try {
      const leftMs = found.storedAtMs + found.ttlMs + found.staleMs - nowMs;
      const lifeMs = lifeWith(standing, leftMs, nowMs);
      const { tier } = held.level;
      const accepted = await tier.fill(addresses.value(key), held.lease, frame.bytes, lifeMs);
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

  /** Gives a lease back. After a failed load with a back-off, so that nobody loads again at once. */
  async giveBack(held: Held, key: string, isIntended: boolean): Promise<void> {
    const backoffMs = isIntended ? 0 : this.parts.policy.loadBackoffMs;
    const address = this.parts.addresses.value(key);
    try {
      await held.level.tier.release(address, held.lease, backoffMs);
    } catch {
      // The lease ends by itself in time; until then others wait for it or load without filling.
    }
  }

  /** The stamp of all tags, read before the load whose tags are not known yet. */
  async #anyTag(level: Level, era: string): Promise<string | undefined> {
    if (this.parts.policy.tags === undefined) return undefined;
    const { byName } = await level.stamps.ask([ANY_TAG_STAMP], era);
    return byName.get(ANY_TAG_STAMP);
  }

  /** The frame to store in a level; undefined if the value must not or cannot be stored there. */
  async #frameFor(held: Held, found: Found) {
    const { counters } = this.parts;
    const { level, lease } = held;
    if (found.ttlMs <= 0) return undefined;
    const stamps = await this.#stampsFor(held, found);
    const packed = stamps && (await pack(this.parts, found));
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
      standing: found.standing,
      stamps,
    });
    if (bytes.length > level.tier.maxFrameBytes) {
      counters.oversizedValues += 1;
      return undefined;
    }
    return { bytes, packed };
  }

  /**
   * What the entry must carry: stamps as they stood before anything below was read. Those of tags
   * that only the value told are read now, and count only if no tag at all changed meanwhile.
   */
  async #stampsFor(
    { level, look, lease, anyTag }: Held,
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
}
