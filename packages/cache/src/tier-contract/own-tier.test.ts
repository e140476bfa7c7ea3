import { randomBytes } from 'node:crypto';
import { describe, it } from 'vitest';
import type { Lease, Seen, SharedTier, Tombstone } from '../index.js';
import {
  decodeFrame,
  encodeMarker,
  encodePrefix,
  FrameKind,
  joined,
  lifeWith,
  PREFIX_BYTES,
  type StandingFreshness,
  standingIn,
  tierContract,
} from './index.js';

interface Entry {
  readonly bytes: Buffer;
  readonly mark: object;
  readonly endsAtMs: number;
}

/** A tier of somebody's own, made of nothing but what the two doors of the package give. */
class MapTier implements SharedTier {
  readonly name = 'l2';
  readonly maxFrameBytes = 1_000_000;
  readonly isAvailable = true;
  readonly #entries = new Map<string, Entry>();
  readonly #stamps = new Map<string, string>();

  async read(address: string): Promise<Seen> {
    const entry = this.#at(address);
    return { bytes: entry?.bytes, mark: entry?.mark, era: '' };
  }

  async lease(address: string, seen: Seen, leaseMs: number): Promise<Lease | undefined> {
    const current = this.#at(address);
    if (current?.mark !== seen.mark) return undefined;
    const token = randomBytes(16);
    const nowMs = Date.now();
    const standing = standingIn(current?.bytes, nowMs);
    const frame = current && decodeFrame(current.bytes);
    if (current === undefined || frame?.payload === undefined) {
      const stub = encodeMarker(FrameKind.Lease, token, nowMs + leaseMs, standing);
      const mark = this.#put(address, stub, lifeWith(standing, leaseMs, nowMs));
      return { token, mark, era: '', keepsPayload: false, standing };
    }
    const prefix = encodePrefix(FrameKind.Lease, frame.payload, token, nowMs + leaseMs);
    const bytes = Buffer.concat([prefix, current.bytes.subarray(PREFIX_BYTES)]);
    const mark = this.#put(address, bytes, Math.max(leaseMs, current.endsAtMs - nowMs));
    return { token, mark, era: '', keepsPayload: true, standing };
  }

  async seize(address: string, leaseMs: number, tombstone?: Tombstone): Promise<Lease> {
    const token = randomBytes(16);
    const nowMs = Date.now();
    const standing = this.#marksWith(address, tombstone);
    const stub = encodeMarker(FrameKind.Lease, token, nowMs + leaseMs, standing);
    const mark = this.#put(address, stub, lifeWith(standing, leaseMs, nowMs));
    return { token, mark, era: '', keepsPayload: false, standing };
  }

  async fill(address: string, lease: Lease, frame: Buffer, ttlMs: number): Promise<boolean> {
    if (this.#at(address)?.mark !== lease.mark) return false;
    this.#put(address, frame, ttlMs);
    return true;
  }

  async replace(address: string, seen: Seen, frame: Buffer, ttlMs: number): Promise<boolean> {
    const current = this.#at(address);
    if (current === undefined || current.mark !== seen.mark) return false;
    this.#put(address, frame, ttlMs);
    return true;
  }

  async release(address: string, lease: Lease, backoffMs: number): Promise<void> {
    const current = this.#at(address);
    if (current === undefined || current.mark !== lease.mark) return;
    const nowMs = Date.now();
    const { token, standing, keepsPayload } = lease;
    if (keepsPayload) {
      const held = decodeFrame(current.bytes)?.payload ?? FrameKind.Value;
      const hasFailed = backoffMs > 0;
      const prefix = encodePrefix(
        hasFailed ? FrameKind.Failed : held,
        hasFailed ? held : undefined,
        token,
        nowMs + backoffMs,
      );
      const bytes = Buffer.concat([prefix, current.bytes.subarray(PREFIX_BYTES)]);
      this.#put(address, bytes, Math.max(backoffMs, current.endsAtMs - nowMs));
      return;
    }
    const failed = encodeMarker(FrameKind.Failed, token, nowMs + backoffMs, standing);
    this.#put(address, failed, lifeWith(standing, backoffMs, nowMs));
  }

  async invalidate(addresses: readonly string[], tombstone?: Tombstone): Promise<void> {
    for (const address of addresses) {
      const standing = this.#marksWith(address, tombstone);
      this.#entries.delete(address);
      if (standing === undefined) continue;
      const frame = encodeMarker(FrameKind.Tombstone, randomBytes(16), 0, standing);
      this.#put(address, frame, lifeWith(standing, 0, Date.now()));
    }
  }

  async readStamps(addresses: readonly string[]): Promise<readonly string[]> {
    return addresses.map((address) => {
      const stamp = this.#stamps.get(address) ?? randomBytes(9).toString('hex');
      this.#stamps.set(address, stamp);
      return stamp;
    });
  }

  async bumpStamps(addresses: readonly string[]): Promise<void> {
    for (const address of addresses) this.#stamps.set(address, randomBytes(9).toString('hex'));
  }

  async close(): Promise<void> {}

  #at(address: string): Entry | undefined {
    const entry = this.#entries.get(address);
    return entry !== undefined && Date.now() < entry.endsAtMs ? entry : undefined;
  }

  #put(address: string, bytes: Buffer, lifeMs: number): object {
    const mark = {};
    this.#entries.set(address, { bytes, mark, endsAtMs: Date.now() + lifeMs });
    return mark;
  }

  #marksWith(address: string, tombstone: Tombstone | undefined): StandingFreshness | undefined {
    const nowMs = Date.now();
    const own = tombstone && {
      freshness: tombstone.freshness,
      untilMs: nowMs + tombstone.ttlMs,
    };
    return joined(standingIn(this.#at(address)?.bytes, nowMs), own);
  }
}

describe('a tier of your own', () => {
  const tier = new MapTier();
  for (const { title, run } of tierContract(() => tier)) it(title, run);
});
