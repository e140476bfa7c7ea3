import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { slidingWindowFault, slidingWindowRate } from './rate.js';
import {
  giveBack,
  position,
  roll,
  roomInWindow,
  windowResetMs,
  windowWaitMs,
} from './sliding-window.js';

describe('a sliding window', () => {
  test('the wait it names is the shortest after which the cost fits in', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 50 }),
        fc.integer({ min: 1, max: 200 }),
        fc.nat(60),
        fc.nat(60),
        fc.nat(199),
        fc.integer({ min: 1, max: 50 }),
        (limit, windowMs, previous, current, at, wanted) => {
          const rate = slidingWindowRate(limit, windowMs);
          const cost = Math.min(wanted, limit);
          const nowMs = windowMs * 1000 + (at % windowMs);
          const counts = { startMs: windowMs * 1000, previous, current };
          const wait = windowWaitMs(previous, current, position(counts, nowMs), rate, cost);
          const roomAfter = (ms: number) => {
            const later = { ...counts };
            roll(later, rate, nowMs + ms);
            return roomInWindow(later.previous, later.current, position(later, nowMs + ms), rate);
          };
          expect(roomAfter(wait)).toBeGreaterThanOrEqual(cost);
          for (let ms = 0; ms < wait; ms += 1) expect(roomAfter(ms)).toBeLessThan(cost);
        },
      ),
    );
  });

  test('admits at most the limit in one fixed window, and weighs the one before', () => {
    const rate = slidingWindowRate(100, 1000);
    expect(roomInWindow(0, 100, 0, rate)).toBe(0);
    expect(roomInWindow(100, 0, 250, rate)).toBe(25);
    expect(roomInWindow(100, 0, 999, rate)).toBe(99);
  });

  test('empties when it says', () => {
    expect(windowResetMs(5, 0, 300, 1000)).toBe(700);
    expect(windowResetMs(5, 1, 300, 1000)).toBe(1700);
    expect(windowResetMs(0, 0, 300, 1000)).toBe(0);
  });

  test('gives back from the current window first', () => {
    const counts = { startMs: 0, previous: 3, current: 2 };
    giveBack(counts, 4);
    expect(counts).toEqual({ startMs: 0, previous: 1, current: 0 });
    giveBack(counts, 9);
    expect(counts.previous).toBe(0);
  });

  test('after a clock that stepped far back it goes on from there, keeping its counts', () => {
    const rate = slidingWindowRate(5, 1000);
    const counts = { startMs: 3_600_000, previous: 1, current: 5 };
    expect(roll(counts, rate, 3_599_500)).toBe(false);
    expect(counts.startMs).toBe(3_600_000);
    expect(roll(counts, rate, 1_000_500)).toBe(true);
    expect(counts).toEqual({ startMs: 1_000_000, previous: 1, current: 5 });
  });

  test('limits beyond exact sums are refused', () => {
    expect(slidingWindowFault(1_000_000, 86_400_000)).toBeUndefined();
    expect(slidingWindowFault(100_000_000, 86_400_000)).toMatch(/exactly/);
    expect(slidingWindowFault(1.5, 1000)).toMatch(/whole number/);
  });
});
