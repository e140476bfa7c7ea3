import { describe, expect, test } from 'vitest';
import { isCovered, NO_LEASE, renewedLease } from './lease.js';

const first = renewedLease(NO_LEASE, {
  sentAtMs: 1000,
  leaseMs: 10_000,
  acknowledged: 5,
  newest: 5,
});

describe('a lease', () => {
  test('covers calls that were routed and ended within it', () => {
    expect(isCovered(first, 1000, 1001)).toBe(true);
    expect(isCovered(NO_LEASE, 1000, 1001)).toBe(false);
  });

  test('ends for the router before it ends for the catalog', () => {
    // The catalog counts ten seconds from some moment after 1000 ms.
    expect(isCovered(first, 1000, 10_899)).toBe(true);
    expect(isCovered(first, 1000, 10_900)).toBe(false);
  });

  test('does not cover a call that was routed before it began', () => {
    expect(isCovered(first, 999, 2000)).toBe(false);
  });

  test('is not extended while there is news to apply', () => {
    const renewal = { sentAtMs: 9000, leaseMs: 10_000, acknowledged: 5, newest: 6 };
    expect(renewedLease(first, renewal)).toBe(first);
  });

  test('goes on unbroken while the revision stands, even over a gap', () => {
    const late = renewedLease(first, {
      sentAtMs: 50_000,
      leaseMs: 10_000,
      acknowledged: 5,
      newest: 5,
    });
    expect(isCovered(late, 2000, 50_001)).toBe(true);
  });

  test('begins anew with a new revision', () => {
    const next = renewedLease(first, {
      sentAtMs: 9000,
      leaseMs: 10_000,
      acknowledged: 6,
      newest: 6,
    });
    expect(isCovered(next, 8999, 9001)).toBe(false);
    expect(isCovered(next, 9000, 9001)).toBe(true);
  });
});
