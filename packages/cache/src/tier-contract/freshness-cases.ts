import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { FrameKind } from '../entry/frame.js';
import { FRESHEST, standingIn } from '../entry/standing-freshness.js';
import type { Seen } from '../tiers/tier.js';
import {
  bodyOf,
  type Case,
  filled,
  frameIn,
  frameOf,
  LEASE_MS,
  leaseNow,
  TTL_MS,
  untilLeasable,
} from './staging.js';

const MARK = { freshness: '0/30000F8', ttlMs: TTL_MS } as const;

/** Freshness marks: told to every loader of their time, whatever stands in their place, and joined. */
export const freshnessCases: readonly Case[] = [
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
];

/** The mark that stands there and whose time is not over. */
function markIn(seen: Seen): string | undefined {
  return standingIn(seen.bytes, Date.now())?.freshness;
}
