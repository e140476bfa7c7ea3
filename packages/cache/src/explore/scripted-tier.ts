import { randomBytes } from 'node:crypto';
import {
  decodeFrame,
  encodeMarker,
  encodePrefix,
  type Frame,
  FrameKind,
  IDENTITY_BYTES,
  PREFIX_BYTES,
  TOKEN_BYTES,
} from '../entry/frame.js';
import { standingFreshness } from '../entry/standing-freshness.js';
import type { Lease, Seen, SharedTier, Tombstone } from '../tiers/tier.js';
import type { Scheduler } from './scheduler.js';

/**
 * The store of a shared tier, in memory, for all processes of a scenario. It does what Redis and Memcached
 * do, and nothing may happen to it except in a step of the scheduler.
 */
export class ScriptedStore {
  readonly entries = new Map<string, { bytes: Buffer; mark: object }>();
  readonly stamps = new Map<string, string>();

  put(address: string, bytes: Buffer): object {
    const mark = {};
    this.entries.set(address, { bytes, mark });
    return mark;
  }

  /** What leases without a payload come to when their time is up: those over a tombstone, to what tells as much. */
  expireLeases(): void {
    for (const [address, { bytes, mark }] of this.entries) {
      const frame = decodeFrame(bytes);
      if (frame?.kind !== FrameKind.Lease || frame.payload !== undefined) continue;
      const standing = standingFreshness(bytes);
      if (standing === undefined) this.entries.delete(address);
      // The same state, looked at later: its holder may still fill.
      else this.entries.set(address, { bytes: ended(bytes), mark });
    }
  }
}

function ended(bytes: Buffer): Buffer {
  const { kind, payload } = decodeFrame(bytes) as Frame;
  const token = bytes.subarray(IDENTITY_BYTES - TOKEN_BYTES, IDENTITY_BYTES);
  return Buffer.concat([encodePrefix(kind, payload, token, 0), bytes.subarray(PREFIX_BYTES)]);
}

/** Ways to be wrong, planted to see that the explorer finds them. */
export type Mutant =
  | 'fill ignores the lease'
  | 'invalidation leaves leases alone'
  | 'invalidation is acknowledged before it is done'
  | 'lease ignores what was seen'
  | 'replace ignores what was seen'
  | 'lease forgets how fresh to read';

/** One process's connection to a scripted store. */
export class ScriptedTier implements SharedTier {
  readonly maxFrameBytes = 1_000_000;
  readonly isAvailable = true;

  constructor(
    readonly name: string,
    private readonly store: ScriptedStore,
    private readonly scheduler: Scheduler,
    private readonly process: string,
    private readonly mutant?: Mutant,
  ) {}

  async read(address: string): Promise<Seen> {
    await this.#step('read');
    const entry = this.store.entries.get(address);
    return { bytes: entry?.bytes, mark: entry?.mark, era: '' };
  }

  async lease(address: string, seen: Seen, leaseMs: number): Promise<Lease | undefined> {
    await this.#step('lease');
    const current = this.store.entries.get(address);
    if (current?.mark !== seen.mark && this.mutant !== 'lease ignores what was seen')
      return undefined;
    const token = randomBytes(16);
    const untilMs = this.scheduler.clock.now() + leaseMs;
    const frame = current && decodeFrame(current.bytes);
    if (current === undefined || frame?.payload === undefined) {
      const forgets = this.mutant === 'lease forgets how fresh to read';
      const standing = forgets ? undefined : standingFreshness(current?.bytes);
      const mark = this.store.put(address, encodeMarker(FrameKind.Lease, token, untilMs, standing));
      return { token, mark, era: '', keepsPayload: false, standing };
    }
    const prefix = encodePrefix(FrameKind.Lease, frame.payload, token, untilMs);
    const bytes = Buffer.concat([prefix, current.bytes.subarray(PREFIX_BYTES)]);
    return { token, mark: this.store.put(address, bytes), era: '', keepsPayload: true };
  }

  async seize(address: string, leaseMs: number): Promise<Lease> {
    await this.#step('seize');
    const token = randomBytes(16);
    const untilMs = this.scheduler.clock.now() + leaseMs;
    const mark = this.store.put(address, encodeMarker(FrameKind.Lease, token, untilMs));
    return { token, mark, era: '', keepsPayload: false };
  }

  async fill(address: string, lease: Lease, frame: Buffer): Promise<boolean> {
    await this.#step('fill');
    const stands = this.store.entries.get(address)?.mark === lease.mark;
    if (!stands && this.mutant !== 'fill ignores the lease') return false;
    this.store.put(address, frame);
    return true;
  }

  async replace(address: string, seen: Seen, frame: Buffer): Promise<boolean> {
    await this.#step('replace');
    const current = this.store.entries.get(address);
    if (current === undefined) return false;
    if (current.mark !== seen.mark && this.mutant !== 'replace ignores what was seen') return false;
    this.store.put(address, frame);
    return true;
  }

  async release(address: string, lease: Lease): Promise<void> {
    await this.#step('release');
    if (this.store.entries.get(address)?.mark !== lease.mark) return;
    if (lease.standing === undefined) this.store.entries.delete(address);
    else this.store.put(address, encodeMarker(FrameKind.Failed, lease.token, 0, lease.standing));
  }

  async invalidate(addresses: readonly string[], tombstone?: Tombstone): Promise<void> {
    if (this.mutant === 'invalidation is acknowledged before it is done') {
      void this.#step('invalidate late').then(() => this.#remove(addresses, tombstone));
      return;
    }
    await this.#step('invalidate');
    this.#remove(addresses, tombstone);
  }

  #remove(addresses: readonly string[], tombstone: Tombstone | undefined): void {
    for (const address of addresses) {
      const entry = this.store.entries.get(address);
      const isLease = entry !== undefined && decodeFrame(entry.bytes)?.kind === FrameKind.Lease;
      if (isLease && this.mutant === 'invalidation leaves leases alone') continue;
      this.store.entries.delete(address);
      if (tombstone === undefined) continue;
      const token = randomBytes(16);
      const { freshness, ttlMs } = tombstone;
      const standing = { freshness, untilMs: this.scheduler.clock.now() + ttlMs };
      this.store.put(address, encodeMarker(FrameKind.Tombstone, token, 0, standing));
    }
  }

  /** Stamps are read in one step with what they are read for, unless they are what is attacked. */
  async readStamps(addresses: readonly string[]): Promise<readonly string[]> {
    return addresses.map((address) => {
      const stamp = this.store.stamps.get(address) ?? randomBytes(6).toString('hex');
      this.store.stamps.set(address, stamp);
      return stamp;
    });
  }

  async bumpStamps(addresses: readonly string[]): Promise<void> {
    await this.#step('bump');
    for (const address of addresses) {
      this.store.stamps.set(address, randomBytes(6).toString('hex'));
    }
  }

  async close(): Promise<void> {}

  #step(what: string): Promise<void> {
    return this.scheduler.step(`${this.process} ${this.name} ${what}`);
  }
}
