import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { decodeFrame, encodeFrame, FrameKind } from '../entry/frame.js';
import { FRESHEST, standingIn } from '../entry/standing-freshness.js';
import type { Lease, Seen, SharedTier } from '../tiers/tier.js';

/**
 * What every shared tier must do, as cases for any test runner. Ours run on Redis, on a Redis Cluster and
 * on Memcached; run them on a tier of your own before you give it to a cache.
 *
 * @example
 * ```ts
 * import { test } from 'node:test';
 * import type { SharedTier } from '@shardline/cache';
 * import { tierContract } from '@shardline/cache/tier-contract';
 *
 * declare function openMyTier(): SharedTier;
 *
 * for (const { title, run } of tierContract(() => openMyTier())) test(title, run);
 * ```
 */
export function tierContract(open: () => SharedTier): readonly TierCase[] {
  return CASES.map(([title, attack]) => ({
    title,
    run: () => attack(open(), `contract:${randomBytes(9).toString('base64url')}`),
  }));
}

/** One thing that a tier must do. */
export interface TierCase {
  readonly title: string;
  /** Rejects if the tier does not. */
  run(): Promise<void>;
}

type Attack = (tier: SharedTier, address: string) => Promise<void>;

const LEASE_MS = 20_000;
const TTL_MS = 60_000;
const MARK = { freshness: '0/30000F8', ttlMs: TTL_MS } as const;

const CASES: readonly (readonly [string, Attack])[] = [
  [
    'finds nothing under a new address',
    async (tier, address) => {
      assert.equal((await tier.read(address)).bytes, undefined);
    },
  ],
  [
    'leases one absence to one of many who saw it',
    async (tier, address) => {
      const seen = await Promise.all(Array.from({ length: 20 }, () => tier.read(address)));
      const leases = await Promise.all(seen.map((one) => tier.lease(address, one, LEASE_MS)));
      assert.equal(leases.filter((lease) => lease !== undefined).length, 1);
    },
  ],
  [
    'gives back what was filled under the lease',
    async (tier, address) => {
      const lease = await leaseNow(tier, address);
      assert.equal(await tier.fill(address, lease, frameOf(lease, 'first'), TTL_MS), true);
      assert.equal(bodyOf(await tier.read(address)), 'first');
    },
  ],
  [
    'fills once for one lease',
    async (tier, address) => {
      const lease = await leaseNow(tier, address);
      assert.equal(await tier.fill(address, lease, frameOf(lease, 'first'), TTL_MS), true);
      assert.equal(await tier.fill(address, lease, frameOf(lease, 'again'), TTL_MS), false);
      assert.equal(bodyOf(await tier.read(address)), 'first');
    },
  ],
  [
    'refuses a fill whose lease was invalidated, and stays empty',
    async (tier, address) => {
      const lease = await leaseNow(tier, address);
      await tier.invalidate([address]);
      assert.equal(await tier.fill(address, lease, frameOf(lease, 'stale'), TTL_MS), false);
      assert.equal(bodyOf(await tier.read(address)), undefined);
    },
  ],
  [
    'refuses a fill whose lease was invalidated, also after another lease was taken',
    async (tier, address) => {
      const late = await leaseNow(tier, address);
      await tier.invalidate([address]);
      const next = await leaseNow(tier, address);
      assert.equal(await tier.fill(address, late, frameOf(late, 'stale'), TTL_MS), false);
      assert.equal(await tier.fill(address, next, frameOf(next, 'new'), TTL_MS), true);
      assert.equal(await tier.fill(address, late, frameOf(late, 'stale'), TTL_MS), false);
      assert.equal(bodyOf(await tier.read(address)), 'new');
    },
  ],
  [
    'refuses a fill after the address was seized',
    async (tier, address) => {
      const reader = await leaseNow(tier, address);
      const writer = await tier.seize(address, LEASE_MS);
      assert.equal(await tier.fill(address, reader, frameOf(reader, 'stale'), TTL_MS), false);
      assert.equal(await tier.fill(address, writer, frameOf(writer, 'written'), TTL_MS), true);
      assert.equal(bodyOf(await tier.read(address)), 'written');
    },
  ],
  [
    'leases only what was seen',
    async (tier, address) => {
      const before = await tier.read(address);
      await filled(tier, address, 'first');
      assert.equal(await tier.lease(address, before, LEASE_MS), undefined);
      const first = await tier.read(address);
      await tier.invalidate([address]);
      await filled(tier, address, 'second');
      assert.equal(await tier.lease(address, first, LEASE_MS), undefined);
      assert.equal(bodyOf(await tier.read(address)), 'second');
    },
  ],
  [
    'keeps the payload under a lease for refresh, and says who holds it',
    async (tier, address) => {
      await filled(tier, address, 'old');
      const lease = await leaseNow(tier, address);
      assert.equal(lease.keepsPayload, true);
      const frame = frameIn(await tier.read(address));
      assert.equal(frame?.kind, FrameKind.Lease);
      assert.equal(frame?.body.toString(), 'old');
      assert.ok(frame !== undefined && frame.untilMs > Date.now());
      assert.equal(await tier.fill(address, lease, frameOf(lease, 'new'), TTL_MS), true);
      assert.equal(bodyOf(await tier.read(address)), 'new');
    },
  ],
  [
    'leases a payload for refresh to one of many',
    async (tier, address) => {
      await filled(tier, address, 'old');
      const seen = await Promise.all(Array.from({ length: 20 }, () => tier.read(address)));
      const leases = await Promise.all(seen.map((one) => tier.lease(address, one, LEASE_MS)));
      assert.equal(leases.filter((lease) => lease !== undefined).length, 1);
    },
  ],
  [
    'invalidates a payload under a lease with its lease',
    async (tier, address) => {
      await filled(tier, address, 'old');
      const lease = await leaseNow(tier, address);
      await tier.invalidate([address]);
      assert.equal(frameIn(await tier.read(address))?.payload, undefined);
      assert.equal(await tier.fill(address, lease, frameOf(lease, 'stale'), TTL_MS), false);
    },
  ],
  [
    'takes a lease back, and the next asker gets one',
    async (tier, address) => {
      await tier.release(address, await leaseNow(tier, address), 0);
      await sleep(5);
      await leaseNow(tier, address);
    },
  ],
  [
    'restores the payload when a lease for refresh is given back',
    async (tier, address) => {
      await filled(tier, address, 'old');
      await tier.release(address, await leaseNow(tier, address), 0);
      const frame = frameIn(await tier.read(address));
      assert.equal(frame?.kind, FrameKind.Value);
      assert.equal(frame?.body.toString(), 'old');
      await leaseNow(tier, address);
    },
  ],
  [
    'says that a load failed, with and without a payload under it',
    async (tier, address) => {
      await tier.release(address, await leaseNow(tier, address), LEASE_MS);
      assert.equal(frameIn(await tier.read(address))?.kind, FrameKind.Failed);
      await tier.invalidate([address]);
      await filled(tier, address, 'old');
      await tier.release(address, await leaseNow(tier, address), LEASE_MS);
      const failed = frameIn(await tier.read(address));
      assert.equal(failed?.kind, FrameKind.Failed);
      assert.equal(failed?.body.toString(), 'old');
    },
  ],
  [
    'does not let a lease that is gone be given back over what came after it',
    async (tier, address) => {
      const late = await leaseNow(tier, address);
      await tier.invalidate([address]);
      await filled(tier, address, 'new');
      await tier.release(address, late, LEASE_MS);
      await tier.release(address, late, 0);
      assert.equal(bodyOf(await tier.read(address)), 'new');
    },
  ],
  [
    'ends a lease whose holder is gone',
    async (tier, address) => {
      const seen = await tier.read(address);
      const dead = await tier.lease(address, seen, 200);
      assert.ok(dead);
      const deadline = Date.now() + 10_000;
      for (;;) {
        const now = await tier.read(address);
        if (now.bytes === undefined || (frameIn(now)?.untilMs ?? 0) < Date.now()) {
          if ((await tier.lease(address, now, LEASE_MS)) !== undefined) break;
        }
        assert.ok(Date.now() < deadline, 'the lease never ended');
        await sleep(50);
      }
      assert.equal(await tier.fill(address, dead, frameOf(dead, 'stale'), TTL_MS), false);
    },
  ],
  [
    'leaves a tombstone that tells how fresh to read, and lets it be leased',
    async (tier, address) => {
      await filled(tier, address, 'old');
      await tier.invalidate([address], { freshness: '0/30000F8', ttlMs: TTL_MS });
      const frame = frameIn(await tier.read(address));
      assert.equal(frame?.kind, FrameKind.Tombstone);
      assert.equal(frame?.standing?.freshness, '0/30000F8');
      const lease = await leaseNow(tier, address);
      assert.equal(await tier.fill(address, lease, frameOf(lease, 'new'), TTL_MS), true);
    },
  ],
  [
    'tells how fresh to read to the next loader too, if the first does not fill',
    async (tier, address) => {
      const freshness = '0/30000F8';
      await tier.invalidate([address], { freshness, ttlMs: TTL_MS });
      const first = await leaseNow(tier, address);
      await tier.release(address, first, 0);
      await untilLeasable(tier, address);
      assert.equal(
        frameIn(await tier.read(address))?.standing?.freshness,
        freshness,
        'after a release',
      );
      const dead = await tier.lease(address, await tier.read(address), 200);
      assert.ok(dead);
      await untilLeasable(tier, address);
      const seen = await tier.read(address);
      assert.equal(frameIn(seen)?.standing?.freshness, freshness, 'after a lease that has ended');
      const last = await tier.lease(address, seen, LEASE_MS);
      assert.ok(last);
      assert.equal(await tier.fill(address, dead, frameOf(dead, 'stale'), TTL_MS), false);
      assert.equal(await tier.fill(address, last, frameOf(last, 'new'), TTL_MS), true);
    },
  ],
  [
    'keeps a mark over an invalidation without one, whatever carries it',
    async (tier, address) => {
      const told = () => tier.read(address).then(markIn);
      await tier.invalidate([address], MARK);
      await tier.invalidate([address]);
      assert.equal(await told(), MARK.freshness, 'a tombstone');
      const late = await leaseNow(tier, address);
      await tier.invalidate([address]);
      assert.equal(await told(), MARK.freshness, 'a lease');
      assert.equal(await tier.fill(address, late, frameOf(late, 'stale'), TTL_MS), false);
      await tier.release(address, await leaseNow(tier, address), LEASE_MS);
      await tier.invalidate([address]);
      assert.equal(await told(), MARK.freshness, 'a failure');
      await filled(tier, address, 'loaded');
      await tier.invalidate([address]);
      assert.equal(await told(), MARK.freshness, 'a value');
      await filled(tier, address, 'loaded again');
      const refresh = await leaseNow(tier, address);
      await tier.invalidate([address]);
      assert.equal(await told(), MARK.freshness, 'a lease with a value under it');
      assert.equal(await tier.fill(address, refresh, frameOf(refresh, 'stale'), TTL_MS), false);
      assert.equal(bodyOf(await tier.read(address)), undefined);
    },
  ],
  [
    'gives its mark to the lease of a writer, and its own to what stands there',
    async (tier, address) => {
      await tier.invalidate([address], MARK);
      const over = await tier.seize(address, LEASE_MS);
      assert.equal(over.standing?.freshness, MARK.freshness);
      assert.equal(markIn(await tier.read(address)), MARK.freshness);
      await tier.seize(address, LEASE_MS, { freshness: 'another', ttlMs: TTL_MS });
      assert.equal(markIn(await tier.read(address)), FRESHEST);
      assert.equal(await tier.fill(address, over, frameOf(over, 'stale'), TTL_MS), false);
      const other = `${address}:other`;
      const writer = await tier.seize(other, LEASE_MS, MARK);
      assert.equal(await tier.fill(other, writer, frameOf(writer, 'written'), TTL_MS), true);
      await tier.invalidate([other]);
      assert.equal(markIn(await tier.read(other)), MARK.freshness);
    },
  ],
  [
    'joins unlike marks, in whichever order they arrive and however many at once',
    async (tier, address) => {
      const marks = ['0/1', '0/2', '0/2', '0/3'];
      await tier.invalidate([address], MARK);
      await tier.invalidate([address], MARK);
      assert.equal(markIn(await tier.read(address)), MARK.freshness, 'the same one twice');
      for (let round = 0; round < 20; round += 1) {
        const one = `${address}:${round}`;
        await Promise.all([
          ...marks.map((freshness) => tier.invalidate([one], { freshness, ttlMs: TTL_MS })),
          tier.invalidate([one]),
        ]);
        assert.equal(markIn(await tier.read(one)), FRESHEST);
      }
    },
  ],
  [
    'lets a mark go when its time is over',
    async (tier, address) => {
      await tier.invalidate([address], { freshness: 'short', ttlMs: 1200 });
      await filled(tier, address, 'loaded');
      await sleep(1300);
      await tier.invalidate([address], { freshness: 'next', ttlMs: TTL_MS });
      assert.equal(markIn(await tier.read(address)), 'next');
      const gone = `${address}:gone`;
      await tier.invalidate([gone], { freshness: 'short', ttlMs: 1 });
      await sleep(10);
      await tier.invalidate([gone]);
      assert.equal(markIn(await tier.read(gone)), undefined);
    },
  ],
  [
    'lets bytes that are no entry be leased and replaced',
    async (tier, address) => {
      const lease = await leaseNow(tier, address);
      assert.equal(await tier.fill(address, lease, Buffer.from('not an entry'), TTL_MS), true);
      const next = await leaseNow(tier, address);
      assert.equal(await tier.fill(address, next, frameOf(next, 'new'), TTL_MS), true);
      assert.equal(bodyOf(await tier.read(address)), 'new');
    },
  ],
  [
    'invalidates many at once',
    async (tier, address) => {
      const addresses = Array.from({ length: 50 }, (_, index) => `${address}:${index}`);
      await Promise.all(addresses.map((one) => filled(tier, one, 'old')));
      await tier.invalidate(addresses);
      for (const one of addresses) assert.equal(bodyOf(await tier.read(one)), undefined);
    },
  ],
  [
    'keeps a stamp, agrees on a new one, and changes it when bumped',
    async (tier, address) => {
      const reads = await Promise.all(Array.from({ length: 10 }, () => tier.readStamps([address])));
      const stamps = new Set(reads.flat());
      assert.equal(stamps.size, 1);
      await tier.bumpStamps([address]);
      const [after] = await tier.readStamps([address]);
      assert.ok(after !== undefined && !stamps.has(after));
      assert.deepEqual(await tier.readStamps([address]), [after]);
    },
  ],
];

/** Until what stands there is as good as nothing, by the clock of whoever looks. */
async function untilLeasable(tier: SharedTier, address: string): Promise<void> {
  const deadline = Date.now() + 10_000;
  for (;;) {
    const frame = frameIn(await tier.read(address));
    if (frame === undefined || frame.untilMs < Date.now()) return;
    assert.ok(Date.now() < deadline, 'the lease never ended');
    await sleep(50);
  }
}

async function leaseNow(tier: SharedTier, address: string): Promise<Lease> {
  const lease = await tier.lease(address, await tier.read(address), LEASE_MS);
  assert.ok(lease !== undefined, 'a lease on what was just seen was refused');
  return lease;
}

async function filled(tier: SharedTier, address: string, body: string): Promise<void> {
  const lease = await leaseNow(tier, address);
  assert.equal(await tier.fill(address, lease, frameOf(lease, body), TTL_MS), true);
}

function frameOf(lease: Lease, body: string): Buffer {
  return encodeFrame(lease.token, {
    kind: FrameKind.Value,
    codec: 1,
    compression: 0,
    storedAtMs: Date.now(),
    ttlMs: TTL_MS,
    staleMs: 0,
    loadMs: 1,
    rawBytes: body.length,
    standing: lease.standing,
    stamps: [],
    body: Buffer.from(body),
  });
}

function frameIn(seen: Seen) {
  return seen.bytes === undefined ? undefined : decodeFrame(seen.bytes);
}

/** The mark that stands there and whose time is not over. */
function markIn(seen: Seen): string | undefined {
  return standingIn(seen.bytes, Date.now())?.freshness;
}

function bodyOf(seen: Seen): string | undefined {
  const frame = frameIn(seen);
  return frame?.kind === FrameKind.Value ? frame.body.toString() : undefined;
}
