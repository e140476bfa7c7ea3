import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { decodeFrame, encodeFrame, FrameKind, TOKEN_BYTES } from '../entry/frame.js';
import type { Lease, Seen, SharedTier } from '../tiers/tier.js';

/** What the cases of the contract are made of. */

export type Attack = (tier: SharedTier, address: string) => Promise<void>;

export const LEASE_MS = 20_000;
export const TTL_MS = 60_000;

/** What a tier must do, and what finds out whether it does. */
export type Case = readonly [title: string, attack: Attack];

/** Until what stands there is as good as nothing, by the clock of whoever looks. */
export async function untilLeasable(tier: SharedTier, address: string): Promise<void> {
  const deadline = Date.now() + 10_000;
  for (;;) {
    const frame = frameIn(await tier.read(address));
    if (frame === undefined || frame.untilMs < Date.now()) return;
    assert.ok(Date.now() < deadline, 'the lease never ended');
    await sleep(50);
  }
}

export async function leaseNow(tier: SharedTier, address: string): Promise<Lease> {
  const lease = await tier.lease(address, await tier.read(address), LEASE_MS);
  assert.ok(lease !== undefined, 'a lease on what was just seen was refused');
  return lease;
}

export async function filled(tier: SharedTier, address: string, body: string): Promise<void> {
  const lease = await leaseNow(tier, address);
  assert.equal(await tier.fill(address, lease, frameOf(lease, body), TTL_MS), true);
}

/** Names a state as a lease's token does, without a lease. */
export function tokenOf(name: string): Pick<Lease, 'token' | 'standing'> {
  return { token: Buffer.alloc(TOKEN_BYTES, name) };
}

export function frameOf(lease: Pick<Lease, 'token' | 'standing'>, body: string): Buffer {
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

export function frameIn(seen: Seen) {
  return seen.bytes === undefined ? undefined : decodeFrame(seen.bytes);
}

export function bodyOf(seen: Seen): string | undefined {
  const frame = frameIn(seen);
  return frame?.kind === FrameKind.Value ? frame.body.toString() : undefined;
}
