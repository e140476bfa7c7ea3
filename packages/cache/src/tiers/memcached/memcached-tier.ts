import { randomBytes } from 'node:crypto';
import { type Clock, sleep } from '@shardline/core';
import {
  decodeFrame,
  encodeMarker,
  encodePrefix,
  FrameKind,
  PREFIX_BYTES,
  type StandingFreshness,
} from '../../entry/frame.js';
import { joined, lifeWith, standingIn } from '../../entry/standing-freshness.js';
import { newToken } from '../../entry/token.js';
import { memcachedAddress } from '../../keys.js';
import type { Lease, Seen, SharedTier, Tombstone } from '../tier.js';
import { tierUnavailable } from '../tier-unavailable.js';
import { Opcode, type Reply, type Request, type SafeMemjs, Status } from './safe-memjs.js';

/**
 * One node of L3: leases by Memcached's own compare-and-set.
 *
 * A miss is leased by `add` of a stub; its CAS number is the lease. A refresh is leased by a
 * compare-and-set on what was seen, with the old payload under it. A fill is a compare-and-set on the
 * lease. An invalidation deletes, or sets a tombstone, by a compare-and-set as well (`#supersede`): either way the
 * number is gone, and the late fill gets "not found" or "exists". Memcached keeps nothing over a restart, so there is no era.
 *
 * Memcached counts in seconds, rounded up here, so the ends of leases are judged by the wall clock of
 * whoever looks; a clock that is wrong wastes a load and fills nothing stale.
 */
interface Mark {
  readonly cas: Buffer;
  /** The frame under the lease, for giving it back. */
  readonly bytes: Buffer | undefined;
}

/** Beyond this many seconds Memcached takes an expiration for a moment in Unix time. */
const LONGEST_RELATIVE_S = 30 * 86_400;
/** Memcached's own limit for an item is 1 MiB, with its header and key. */
const MAX_FRAME_BYTES = 1024 * 1024 - 1024;
const STAMP_TRIES = 3;
/** So many others would have to change one entry, each between a read of it and the write that follows. */
const SUPERSEDE_TRIES = 12;
const NO_CAS = Buffer.alloc(0);

export class MemcachedTier implements SharedTier {
  readonly name = 'l3';
  readonly maxFrameBytes = MAX_FRAME_BYTES;
  readonly isAvailable = true;

  constructor(
    private readonly node: SafeMemjs,
    private readonly clock: Clock,
  ) {}

  async read(address: string): Promise<Seen> {
    const reply = await this.#send({ opcode: Opcode.Get, key: memcachedAddress(address) });
    if (reply.status === Status.NotFound) return { bytes: undefined, mark: undefined, era: '' };
    expect(reply, [Status.Ok]);
    const mark: Mark = { cas: reply.cas, bytes: reply.value };
    return { bytes: reply.value, mark, era: '' };
  }

  async lease(address: string, seen: Seen, leaseMs: number): Promise<Lease | undefined> {
    const token = newToken();
    const untilMs = this.clock.now() + leaseMs;
    const mark = seen.mark as Mark | undefined;
    if (mark === undefined) {
      const stub = encodeMarker(FrameKind.Lease, token, untilMs);
      const reply = await this.#store(Opcode.Add, address, stub, leaseMs, undefined);
      return reply && leaseOf(token, reply.cas, undefined);
    }
    const nowMs = this.clock.now();
    const standing = standingIn(mark.bytes, nowMs);
    const frame = decodeFrame(mark.bytes as Buffer);
    if (frame?.payload === undefined) {
      const stub = encodeMarker(FrameKind.Lease, token, untilMs, standing);
      const lifeMs = lifeWith(standing, leaseMs, nowMs);
      const reply = await this.#store(Opcode.Set, address, stub, lifeMs, mark.cas);
      return reply && leaseOf(token, reply.cas, undefined, standing);
    }
    const prefix = encodePrefix(FrameKind.Lease, frame.payload, token, untilMs);
    const bytes = withPrefix(prefix, mark.bytes as Buffer);
    const leftMs = frame.storedAtMs + frame.ttlMs + frame.staleMs - nowMs;
    const lifeMs = lifeWith(standing, Math.max(leftMs, leaseMs), nowMs);
    const reply = await this.#store(Opcode.Set, address, bytes, lifeMs, mark.cas);
    return reply && leaseOf(token, reply.cas, bytes, standing);
  }

  async seize(address: string, leaseMs: number, tombstone?: Tombstone): Promise<Lease> {
    const token = newToken();
    const { carried, cas } = await this.#supersede(address, tombstone, leaseMs, (standing) =>
      encodeMarker(FrameKind.Lease, token, this.clock.now() + leaseMs, standing),
    );
    return leaseOf(token, cas, undefined, carried);
  }

  async fill(address: string, lease: Lease, frame: Buffer, ttlMs: number): Promise<boolean> {
    const { cas } = lease.mark as Mark;
    return (await this.#store(Opcode.Set, address, frame, ttlMs, cas)) !== undefined;
  }

  async replace(address: string, seen: Seen, frame: Buffer, ttlMs: number): Promise<boolean> {
    const mark = seen.mark as Mark | undefined;
    if (mark === undefined) return false;
    return (await this.#store(Opcode.Set, address, frame, ttlMs, mark.cas)) !== undefined;
  }

  async release(address: string, lease: Lease, backoffMs: number): Promise<void> {
    const { cas, bytes } = lease.mark as Mark;
    const untilMs = this.clock.now() + backoffMs;
    if (bytes !== undefined) {
      const held = decodeFrame(bytes)?.payload ?? FrameKind.Value;
      const kind = backoffMs > 0 ? FrameKind.Failed : held;
      const prefix = encodePrefix(kind, backoffMs > 0 ? held : undefined, lease.token, untilMs);
      const frame = decodeFrame(bytes);
      const endMs = frame === undefined ? 0 : frame.storedAtMs + frame.ttlMs + frame.staleMs;
      const nowMs = this.clock.now();
      const lifeMs = lifeWith(lease.standing, Math.max(endMs - nowMs, backoffMs, 1), nowMs);
      await this.#store(Opcode.Set, address, withPrefix(prefix, bytes), lifeMs, cas);
    } else if (backoffMs > 0 || lease.standing !== undefined) {
      const failed = encodeMarker(FrameKind.Failed, lease.token, untilMs, lease.standing);
      const lifeMs = lifeWith(lease.standing, backoffMs, this.clock.now());
      await this.#store(Opcode.Set, address, failed, lifeMs, cas);
    } else {
      const request = { opcode: Opcode.Delete, key: memcachedAddress(address), cas };
      expect(await this.#send(request), [Status.Ok, Status.NotFound, Status.Exists]);
    }
  }

  async invalidate(addresses: readonly string[], tombstone?: Tombstone): Promise<void> {
    await Promise.all(addresses.map((address) => this.#invalidateOne(address, tombstone)));
  }

  async #invalidateOne(address: string, tombstone: Tombstone | undefined): Promise<void> {
    const token = newToken();
    await this.#supersede(
      address,
      tombstone,
      0,
      (standing) => standing && encodeMarker(FrameKind.Tombstone, token, 0, standing),
    );
  }

  /**
   * Puts a frame, or nothing, in the place of whatever stands there, with the marks of both. Each try replaces exactly
   * what it has seen, so that no mark is lost that arrives in between; a tombstone that says as much as the one to be
   * put there will do, since no lease or value from before it is left.
   */
  async #supersede(
    address: string,
    tombstone: Tombstone | undefined,
    lifeMs: number,
    frameWith: (standing: StandingFreshness | undefined) => Buffer | undefined,
  ): Promise<{ readonly carried: StandingFreshness | undefined; readonly cas: Buffer }> {
    const { clock } = this;
    const own = tombstone && {
      freshness: tombstone.freshness,
      untilMs: clock.now() + tombstone.ttlMs,
    };
    for (let tries = 1; tries <= SUPERSEDE_TRIES; tries += 1) {
      const { bytes, mark } = await this.read(address);
      const nowMs = clock.now();
      const stands = standingIn(bytes, nowMs);
      const carried = joined(stands, own);
      const isTold = lifeMs === 0 && isTombstoneOf(bytes, stands, carried);
      const cas = isTold
        ? NO_CAS
        : await this.#replace(
            address,
            mark as Mark | undefined,
            frameWith(carried),
            lifeWith(carried, lifeMs, nowMs),
          );
      if (cas !== undefined) return { carried, cas };
      // Who tries at the same time as others steps aside for a moment of his own.
      await sleep(Math.random() * 2 * tries, { clock });
    }
    throw tierUnavailable('l3', `an entry was changed ${SUPERSEDE_TRIES} times in a moment`);
  }

  /** The new state's number; undefined if something else stands there by now. */
  async #replace(
    address: string,
    seen: Mark | undefined,
    frame: Buffer | undefined,
    lifeMs: number,
  ): Promise<Buffer | undefined> {
    if (frame !== undefined) {
      const opcode = seen === undefined ? Opcode.Add : Opcode.Set;
      return (await this.#store(opcode, address, frame, lifeMs, seen?.cas))?.cas;
    }
    if (seen === undefined) return NO_CAS;
    const request = { opcode: Opcode.Delete, key: memcachedAddress(address), cas: seen.cas };
    const reply = await this.#send(request);
    expect(reply, [Status.Ok, Status.NotFound, Status.Exists]);
    return reply.status === Status.Exists ? undefined : NO_CAS;
  }

  async readStamps(addresses: readonly string[]): Promise<readonly string[]> {
    return Promise.all(addresses.map((address) => this.#readStamp(address)));
  }

  async #readStamp(address: string): Promise<string> {
    const key = memcachedAddress(address);
    for (let tries = 0; tries < STAMP_TRIES; tries += 1) {
      const reply = await this.#send({ opcode: Opcode.Get, key });
      if (reply.status === Status.Ok) return reply.value.toString();
      expect(reply, [Status.NotFound]);
      const made = Buffer.from(newStamp());
      const added = await this.#send({ opcode: Opcode.Add, key, value: made, expiration: 0 });
      if (added.status === Status.Ok) return made.toString();
      expect(added, [Status.Exists, Status.NotStored]);
    }
    throw tierUnavailable('l3', 'a stamp would not stay: Memcached is short of memory');
  }

  async bumpStamps(addresses: readonly string[]): Promise<void> {
    await Promise.all(
      addresses.map(async (address) => {
        const value = Buffer.from(newStamp());
        const key = memcachedAddress(address);
        const reply = await this.#send({ opcode: Opcode.Set, key, value, expiration: 0 });
        expect(reply, [Status.Ok]);
      }),
    );
  }

  async close(): Promise<void> {
    this.node.close();
  }

  /** The reply of a store that was done; undefined if something else stands there. */
  async #store(
    opcode: number,
    address: string,
    value: Buffer,
    lifeMs: number,
    cas: Buffer | undefined,
  ): Promise<Reply | undefined> {
    const expiration = this.#expiration(lifeMs);
    const reply = await this.#send({
      opcode,
      key: memcachedAddress(address),
      value,
      expiration,
      cas,
    });
    if (reply.status === Status.Ok) return reply;
    expect(reply, [Status.NotFound, Status.Exists, Status.NotStored, Status.TooLarge]);
    return undefined;
  }

  #expiration(lifeMs: number): number {
    const seconds = Math.max(1, Math.ceil(lifeMs / 1000));
    if (seconds <= LONGEST_RELATIVE_S) return seconds;
    return Math.min(0xffffffff, Math.floor(this.clock.now() / 1000) + seconds);
  }

  #send(request: Request): Promise<Reply> {
    return this.node.send(request);
  }
}

function leaseOf(
  token: Buffer,
  cas: Buffer,
  bytes: Buffer | undefined,
  standing?: StandingFreshness,
): Lease {
  const mark = { cas, bytes } satisfies Mark;
  return { token, mark, era: '', keepsPayload: bytes !== undefined, standing };
}

/** Whether a tombstone stands there that tells what it would have to tell, as long as it would have to. */
function isTombstoneOf(
  bytes: Buffer | undefined,
  stands: StandingFreshness | undefined,
  wanted: StandingFreshness | undefined,
): boolean {
  if (bytes === undefined || decodeFrame(bytes)?.kind !== FrameKind.Tombstone) return false;
  return stands?.freshness === wanted?.freshness && stands?.untilMs === wanted?.untilMs;
}

function withPrefix(prefix: Buffer, frame: Buffer): Buffer {
  return Buffer.concat([prefix, frame.subarray(PREFIX_BYTES)]);
}

function newStamp(): string {
  return randomBytes(12).toString('base64url');
}

function expect(reply: Reply, allowed: readonly number[]): void {
  if (allowed.includes(reply.status)) return;
  throw tierUnavailable('l3', `Memcached answered with status ${reply.status}`);
}
