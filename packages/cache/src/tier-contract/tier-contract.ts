import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { FrameKind } from '../entry/frame.js';
import type { SharedTier } from '../tiers/tier.js';
import { freshnessCases } from './freshness-cases.js';
import {
  bodyOf,
  type Case,
  filled,
  frameIn,
  frameOf,
  LEASE_MS,
  leaseNow,
  TTL_MS,
  tokenOf,
} from './staging.js';

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

const CASES: readonly Case[] = [
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
    'replaces exactly what was seen: a value, a lease, a tombstone',
    async (tier, address) => {
      await filled(tier, address, 'old');
      const value = await tier.read(address);
      assert.equal(await tier.replace(address, value, frameOf(tokenOf('a'), 'new'), TTL_MS), true);
      assert.equal(bodyOf(await tier.read(address)), 'new');
      const lease = await leaseNow(tier, address);
      const leased = await tier.read(address);
      assert.equal(
        await tier.replace(address, leased, frameOf(tokenOf('b'), 'newer'), TTL_MS),
        true,
      );
      assert.equal(await tier.fill(address, lease, frameOf(lease, 'stale'), TTL_MS), false);
      await tier.invalidate([address], { freshness: 'f1', ttlMs: TTL_MS });
      const tombstone = await tier.read(address);
      assert.equal(
        await tier.replace(address, tombstone, frameOf(tokenOf('c'), 'newest'), TTL_MS),
        true,
      );
      assert.equal(bodyOf(await tier.read(address)), 'newest');
    },
  ],
  [
    'replaces nothing that has changed since it was seen, and nothing where nothing was',
    async (tier, address) => {
      const nothing = await tier.read(address);
      assert.equal(
        await tier.replace(address, nothing, frameOf(tokenOf('a'), 'stale'), TTL_MS),
        false,
      );
      await filled(tier, address, 'old');
      const seen = await tier.read(address);
      const lease = await leaseNow(tier, address);
      assert.equal(
        await tier.replace(address, seen, frameOf(tokenOf('b'), 'stale'), TTL_MS),
        false,
      );
      assert.equal(await tier.fill(address, lease, frameOf(lease, 'new'), TTL_MS), true);
      assert.equal(
        await tier.replace(address, seen, frameOf(tokenOf('c'), 'stale'), TTL_MS),
        false,
      );
      assert.equal(bodyOf(await tier.read(address)), 'new');
      const filledAgain = await tier.read(address);
      await tier.invalidate([address]);
      assert.equal(
        await tier.replace(address, filledAgain, frameOf(tokenOf('d'), 'stale'), TTL_MS),
        false,
      );
      assert.equal(bodyOf(await tier.read(address)), undefined);
    },
  ],
  [
    'lets one of many replace what all have seen',
    async (tier, address) => {
      await filled(tier, address, 'old');
      const seen = await tier.read(address);
      const outcomes = await Promise.all(
        Array.from({ length: 20 }, (_, at) =>
          tier.replace(address, seen, frameOf(tokenOf(`${at}`), `${at}`), TTL_MS),
        ),
      );
      assert.equal(outcomes.filter((isReplaced) => isReplaced).length, 1);
      assert.equal(bodyOf(await tier.read(address)), `${outcomes.indexOf(true)}`);
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
  ...freshnessCases,
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
