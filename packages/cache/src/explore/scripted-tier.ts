import {
  decodeFrame,
  encodeMarker,
  encodePrefix,
  type Frame,
  FrameKind,
  IDENTITY_BYTES,
  PREFIX_BYTES,
  type StandingFreshness,
  TOKEN_BYTES,
} from '../entry/frame.js';
import { joined, lifeWith, standingIn } from '../entry/standing-freshness.js';
import type { Lease, Seen, SharedTier, Tombstone } from '../tiers/tier.js';
import type { Scheduler } from './scheduler.js';

/**
 * The store of a shared tier, in memory, for all processes of a scenario. It does what Redis and Memcached
 * do, and nothing may happen to it except in a step of the scheduler.
 */
export class ScriptedStore {
  readonly entries = new Map<string, ScriptedEntry>();
  readonly stamps = new Map<string, string>();

  /** What stands there, unless its life is over. */
  at(address: string, nowMs: number): ScriptedEntry | undefined {
    const entry = this.entries.get(address);
    if (entry === undefined || nowMs < entry.endsAtMs) return entry;
    this.entries.delete(address);
    return undefined;
  }

  /** Without an end it stays; leases end in `expireLeases`. */
  put(address: string, bytes: Buffer, endsAtMs = Number.POSITIVE_INFINITY): object {
    const mark = {};
    this.entries.set(address, { bytes, mark, endsAtMs });
    return mark;
  }

  /** What leases without a payload come to when their time is up: those that carry a mark, to what tells as much. */
  expireLeases(nowMs: number): void {
    for (const [address, { bytes, mark, endsAtMs }] of this.entries) {
      const frame = decodeFrame(bytes);
      if (frame?.kind !== FrameKind.Lease || frame.payload !== undefined) continue;
      if (standingIn(bytes, nowMs) === undefined) this.entries.delete(address);
      // The same state, looked at later: its holder may still fill.
      else this.entries.set(address, { bytes: ended(bytes), mark, endsAtMs });
    }
  }
}

interface ScriptedEntry {
  readonly bytes: Buffer;
  readonly mark: object;
  readonly endsAtMs: number;
}

function ended(bytes: Buffer): Buffer {
  const { kind, payload } = decodeFrame(bytes) as Frame;
  const token = bytes.subarray(IDENTITY_BYTES - TOKEN_BYTES, IDENTITY_BYTES);
  return Buffer.concat([encodePrefix(kind, payload, token, 0), bytes.subarray(PREFIX_BYTES)]);
}

let tokens = 0;

/** Unlike every other; counted, since real ones cost a tenth of an exploration. */
function nextToken(): Buffer {
  const token = Buffer.alloc(TOKEN_BYTES);
  tokens += 1;
  token.writeUInt32BE(tokens);
  return token;
}

/** Ways to be wrong, planted to see that the explorer finds them. */
export type Mutant =
  | 'fill ignores the lease'
  | 'invalidation leaves leases alone'
  | 'invalidation is acknowledged before it is done'
  | 'lease ignores what was seen'
  | 'replace ignores what was seen'
  | 'lease forgets how fresh to read'
  | 'seizure forgets how fresh to read'
  | 'unmarked invalidation forgets how fresh to read'
  | 'last mark to arrive replaces the others';

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
    const entry = this.store.at(address, this.#nowMs);
    return { bytes: entry?.bytes, mark: entry?.mark, era: '' };
  }

  async lease(address: string, seen: Seen, leaseMs: number): Promise<Lease | undefined> {
    await this.#step('lease');
    const current = this.store.at(address, this.#nowMs);
    if (current?.mark !== seen.mark && this.mutant !== 'lease ignores what was seen')
      return undefined;
    const token = nextToken();
    const untilMs = this.#nowMs + leaseMs;
    const forgets = this.mutant === 'lease forgets how fresh to read';
    const standing = forgets ? undefined : standingIn(current?.bytes, this.#nowMs);
    const frame = current && decodeFrame(current.bytes);
    if (current === undefined || frame?.payload === undefined) {
      const mark = this.store.put(address, encodeMarker(FrameKind.Lease, token, untilMs, standing));
      return { token, mark, era: '', keepsPayload: false, standing };
    }
    const prefix = encodePrefix(FrameKind.Lease, frame.payload, token, untilMs);
    const bytes = Buffer.concat([prefix, current.bytes.subarray(PREFIX_BYTES)]);
    return { token, mark: this.store.put(address, bytes), era: '', keepsPayload: true, standing };
  }

  async seize(address: string, leaseMs: number, tombstone?: Tombstone): Promise<Lease> {
    await this.#step('seize');
    const token = nextToken();
    const forgets = this.mutant === 'seizure forgets how fresh to read';
    const standing = forgets ? undefined : this.#marksWith(address, tombstone);
    const marker = encodeMarker(FrameKind.Lease, token, this.#nowMs + leaseMs, standing);
    const mark = this.store.put(address, marker);
    return { token, mark, era: '', keepsPayload: false, standing };
  }

  async fill(address: string, lease: Lease, frame: Buffer, ttlMs: number): Promise<boolean> {
    await this.#step('fill');
    const stands = this.store.at(address, this.#nowMs)?.mark === lease.mark;
    if (!stands && this.mutant !== 'fill ignores the lease') return false;
    this.store.put(address, frame, this.#nowMs + ttlMs);
    return true;
  }

  async replace(address: string, seen: Seen, frame: Buffer): Promise<boolean> {
    await this.#step('replace');
    const current = this.store.at(address, this.#nowMs);
    if (current === undefined) return false;
    if (current.mark !== seen.mark && this.mutant !== 'replace ignores what was seen') return false;
    this.store.put(address, frame);
    return true;
  }

  async release(address: string, lease: Lease): Promise<void> {
    await this.#step('release');
    if (this.store.at(address, this.#nowMs)?.mark !== lease.mark) return;
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
      const entry = this.store.at(address, this.#nowMs);
      const isLease = entry !== undefined && decodeFrame(entry.bytes)?.kind === FrameKind.Lease;
      if (isLease && this.mutant === 'invalidation leaves leases alone') continue;
      const standing = this.#marksWith(address, tombstone);
      this.store.entries.delete(address);
      if (standing === undefined) continue;
      const frame = encodeMarker(FrameKind.Tombstone, nextToken(), 0, standing);
      this.store.put(address, frame, lifeWith(standing, 0, this.#nowMs) + this.#nowMs);
    }
  }

  /** The marks that stand there, and the one that comes. */
  #marksWith(address: string, tombstone: Tombstone | undefined): StandingFreshness | undefined {
    const { mutant } = this;
    const stands = standingIn(this.store.at(address, this.#nowMs)?.bytes, this.#nowMs);
    if (tombstone === undefined) {
      return mutant === 'unmarked invalidation forgets how fresh to read' ? undefined : stands;
    }
    const { freshness, ttlMs } = tombstone;
    const own = { freshness, untilMs: this.#nowMs + ttlMs };
    return mutant === 'last mark to arrive replaces the others' ? own : joined(stands, own);
  }

  get #nowMs(): number {
    return this.scheduler.clock.now();
  }

  /** Stamps are read in one step with what they are read for, unless they are what is attacked. */
  async readStamps(addresses: readonly string[]): Promise<readonly string[]> {
    return addresses.map((address) => {
      const stamp = this.store.stamps.get(address) ?? nextToken().toString('hex');
      this.store.stamps.set(address, stamp);
      return stamp;
    });
  }

  async bumpStamps(addresses: readonly string[]): Promise<void> {
    await this.#step('bump');
    for (const address of addresses) {
      this.store.stamps.set(address, nextToken().toString('hex'));
    }
  }

  async close(): Promise<void> {}

  #step(what: string): Promise<void> {
    return this.scheduler.step(`${this.process} ${this.name} ${what}`);
  }
}
