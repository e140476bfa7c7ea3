import { charge, type Entry, refund } from './entry.js';
import type { TokenBucketRate } from './rate.js';
import { wholeTokens } from './token-bucket.js';

/** What a process asks for when it wants tokens to spend on its own: the twin of `lua/lease.lua`. */
export interface LeaseRequest {
  /** Name of the lease to be given; never used twice. */
  readonly id: string;
  /** Tokens wanted; 0 only returns. */
  readonly want: number;
  readonly lengthUs: number;
  /** The lease that ends with this request, or ''. */
  readonly returnId: string;
  /** Tokens of it that were not spent. */
  readonly unused: number;
}

/** What was handed out. */
export interface LeaseGrant {
  /** Tokens, from 0 to what was wanted; -n when blocked for another n microseconds. */
  readonly granted: number;
  /** Level that remains, in units. */
  readonly units: number;
  /** Leases that are out on this key, the new one included. */
  readonly holders: number;
  readonly nowUs: number;
}

/**
 * Takes one lease back and gives out another. What a lease had spent is gone; what it had not comes
 * back, and only while the lease is still on record: one that has ended already gave its place to the refill.
 */
export function decideLease(entry: Entry, request: LeaseRequest, nowUs: number): LeaseGrant {
  const rate = entry.rate as TokenBucketRate;
  const index = entry.leases.findIndex((lease) => lease.id === request.returnId);
  if (index >= 0) {
    const [lease] = entry.leases.splice(index, 1);
    refund(entry, Math.min(request.unused, lease?.tokens ?? 0));
  }
  const result = (granted: number) => ({
    granted,
    units: entry.units,
    holders: entry.leases.length,
    nowUs,
  });
  if (entry.block !== undefined) return result(nowUs - entry.block.untilUs);
  const granted = Math.max(0, Math.min(request.want, wholeTokens(entry.units, rate)));
  if (granted > 0) {
    charge(entry, granted);
    entry.leases.push({
      id: request.id,
      tokens: granted,
      lengthUs: request.lengthUs,
      untilUs: nowUs + request.lengthUs,
    });
  }
  return result(granted);
}
