/**
 * What a tier shared between processes must do. Redis and Memcached do it here; yours may too, and
 * `tierContract` (in `@shardline/cache/tier-contract`) attacks it.
 *
 * The whole of "no stale fill" rests on five sentences, each about one tier and one address:
 *
 * 1. A lease is granted against exactly what the asker has seen, atomically, to one asker.
 * 2. A fill succeeds only while its own lease is what stands there.
 * 3. After `invalidate` has resolved, no value filled under an earlier lease is there, now or later.
 * 4. What cannot be done in time rejects, and then it may or may not have been done.
 * 5. A freshness mark that was left there is told to every loader until its time is over: whatever replaces what
 *    carries it carries it on, and unlike marks are joined (`entry/standing-freshness.ts`).
 *
 * So a value in a tier was read from its source after the last acknowledged invalidation of that tier,
 * whatever other tiers do, and a promotion from a lower tier is a fill like any other.
 */

import type { StandingFreshness } from '../entry/frame.js';

/** What was found under an address, and what the tier needs to replace exactly that. */
export interface Seen {
  /** The frame as it stands, or undefined if there is nothing. */
  readonly bytes: Buffer | undefined;
  /** The tier's own mark of this state: bytes, a CAS number. */
  readonly mark: unknown;
  /**
   * Which run of the store this is: entries of another run are not to be believed, since a store that
   * came back from a snapshot or a lagging replica has forgotten invalidations. Empty where a store
   * keeps nothing over a restart.
   */
  readonly era: string;
}

/** The right to fill one address. */
export interface Lease {
  readonly token: Buffer;
  readonly mark: unknown;
  readonly era: string;
  /** Whether the payload of before is still there, under the lease. */
  readonly keepsPayload: boolean;
  /** How fresh its holder must read, and whoever comes after him: `release` carries it on, and a fill must, too. */
  readonly standing?: StandingFreshness | undefined;
}

/** What invalidation leaves behind when a loader must know how fresh to read. */
export interface Tombstone {
  readonly freshness: string;
  readonly ttlMs: number;
}

/** A tier shared between processes. Every call ends within the tier's own deadline. */
export interface SharedTier {
  readonly name: string;
  /** Frames larger than this are not offered to the tier. */
  readonly maxFrameBytes: number;

  read(address: string): Promise<Seen>;

  /** Leases what was seen; undefined if something else stands there by now. */
  lease(address: string, seen: Seen, leaseMs: number): Promise<Lease | undefined>;

  /**
   * Leases whatever stands there: an invalidation and a lease in one. With a mark, whoever loads if the holder
   * does not fill is told of it, together with what stood there.
   */
  seize(address: string, leaseMs: number, tombstone?: Tombstone): Promise<Lease>;

  /** Stores the frame if the lease still stands. */
  fill(address: string, lease: Lease, frame: Buffer, ttlMs: number): Promise<boolean>;

  /** Stores the frame in place of exactly what was seen, whatever that is; false if anything else, or nothing, stands there. */
  replace(address: string, seen: Seen, frame: Buffer, ttlMs: number): Promise<boolean>;

  /**
   * Gives a lease back. With a back-off, readers are told until then that a load has failed; a
   * payload under the lease stays for those who may serve it stale.
   */
  release(address: string, lease: Lease, backoffMs: number): Promise<void>;

  /** Takes away what stands there, but for a mark whose time is not over. */
  invalidate(addresses: readonly string[], tombstone?: Tombstone): Promise<void>;

  /** Current stamps; one that is missing is made anew, so that a lost stamp invalidates. */
  readStamps(addresses: readonly string[]): Promise<readonly string[]>;

  /** Gives each a value that it never had. */
  bumpStamps(addresses: readonly string[]): Promise<void>;

  /**
   * Addresses that begin so, in no order and perhaps twice; for tools, since it goes over everything. What is moved
   * between two nodes of the store meanwhile may be missed. The signal ends it.
   */
  scan?(prefix: string, signal?: AbortSignal): AsyncIterable<string>;

  /** Whether calls are let through at the moment. */
  readonly isAvailable: boolean;

  close(): Promise<void>;
}
