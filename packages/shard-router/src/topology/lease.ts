/**
 * Whether a router may skip the check of ownership (pure).
 *
 * A lease is an optimisation and no safety: with none, every call is verified and nothing is wrong. While it
 * runs, whoever switches slots waits for this router's acknowledgement, so nothing changes behind its back.
 *
 * Always holds:
 * 1. The router believes its lease to end *before* the catalog does. It counts from the moment at which it sent
 *    the renewal, the catalog from the later one at which it received it; and the router takes a margin off for
 *    clocks that run at different speeds.
 * 2. A lease is given only if, read *after* the renewal was committed, the catalog's revision is the one that
 *    this router acts by. News from before that reading are seen by it; whoever makes news after it finds the
 *    renewal and waits. (Read in the same statement it would be a race.)
 * 3. A call may skip the check only if it was routed, and ended, within one unbroken time under one revision.
 *    A process that was frozen in between finds its lease ended when it thaws, and checks.
 */

/** A lease as its router sees it; times are on the router's own monotonic clock. */
export interface Lease {
  /** Since when the revision is known to have stood unchanged. */
  readonly sinceMs: number;
  readonly endsAtMs: number;
  /** Revision of the catalog that is applied and acknowledged. */
  readonly revision: number;
}

export const NO_LEASE: Lease = {
  sinceMs: Number.POSITIVE_INFINITY,
  endsAtMs: Number.NEGATIVE_INFINITY,
  revision: -1,
};

/** Clocks of machines differ by far less than this share of the time that passes. */
const DRIFT_SHARE = 0.01;

/** What a renewal that was sent and answered leads to. */
export function renewedLease(
  previous: Lease,
  renewal: { sentAtMs: number; leaseMs: number; acknowledged: number; newest: number },
): Lease {
  // There is news that this router does not act by yet: the old lease runs out unless it acknowledges in time.
  if (renewal.newest !== renewal.acknowledged) return previous;
  const isUnbroken = previous.revision === renewal.acknowledged;
  return {
    sinceMs: isUnbroken ? previous.sinceMs : renewal.sentAtMs,
    endsAtMs: renewal.sentAtMs + renewal.leaseMs * (1 - DRIFT_SHARE),
    revision: renewal.acknowledged,
  };
}

/** Whether a call that was routed at one moment and has its answer now needs no check. */
export function isCovered(lease: Lease, routedAtMs: number, nowMs: number): boolean {
  return routedAtMs >= lease.sinceMs && nowMs < lease.endsAtMs;
}
