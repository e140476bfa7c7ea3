import type { SlidingWindowRate } from './rate.js';

/**
 * The sliding window from two counters: requests in the current fixed window, and in the one before
 * it, weighed by the share of it that the sliding window still covers (Cloudflare's way). It takes the
 * previous window's requests to have been spread evenly, so unlike the bucket it is an approximation
 * of what its name says; the sums themselves are exact.
 *
 * All comparisons are multiplied by the window's length: previous * (W - position) + current * W is
 * compared with limit * W.
 */
export interface WindowCounts {
  /** Start of the current window in milliseconds of server time, a multiple of its length. */
  startMs: number;
  previous: number;
  current: number;
}

/**
 * Moves the counters on to the window that the present falls into.
 *
 * @returns whether they were anchored anew after a clock that stepped far back.
 */
export function roll(counts: WindowCounts, rate: SlidingWindowRate, nowMs: number): boolean {
  const startMs = nowMs - (nowMs % rate.windowMs);
  if (startMs < counts.startMs) {
    if (counts.startMs - startMs <= rate.windowMs) return false;
    counts.startMs = startMs;
    return true;
  }
  if (startMs === counts.startMs) return false;
  counts.previous = startMs - counts.startMs === rate.windowMs ? counts.current : 0;
  counts.current = 0;
  counts.startMs = startMs;
  return false;
}

/** Milliseconds of the current window that have gone by; 0 while the clock is behind its start. */
export function position(counts: WindowCounts, nowMs: number): number {
  return Math.max(0, nowMs - counts.startMs);
}

/** Whole requests that fit in now; below zero is a debt. */
export function roomInWindow(
  previous: number,
  current: number,
  positionMs: number,
  rate: SlidingWindowRate,
): number {
  const { limit, windowMs } = rate;
  return Math.floor((limit * windowMs - previous * (windowMs - positionMs)) / windowMs) - current;
}

/** Milliseconds until a cost fits in, if nobody else comes; 0 if it does now. */
export function windowWaitMs(
  previous: number,
  current: number,
  positionMs: number,
  rate: SlidingWindowRate,
  cost: number,
): number {
  const { limit, windowMs } = rate;
  if (roomInWindow(previous, current, positionMs, rate) >= cost) return 0;
  const room = limit - current - cost;
  if (room >= 0) return Math.max(1, weightFallsMs(previous, room, windowMs) - positionMs);
  // Not before the next window, in which today's count weighs as the previous one.
  return windowMs - positionMs + weightFallsMs(current, Math.max(0, limit - cost), windowMs);
}

/** Position in a window at which the previous one's weight has fallen to the room there is. */
function weightFallsMs(previous: number, room: number, windowMs: number): number {
  if (previous <= room) return 0;
  return windowMs - Math.floor((room * windowMs) / previous);
}

/** Milliseconds until the window is empty, if nobody else comes. */
export function windowResetMs(previous: number, current: number, positionMs: number, W: number) {
  if (current > 0) return 2 * W - positionMs;
  return previous > 0 ? W - positionMs : 0;
}

/** Gives requests back: from the current window first, then from the one before. */
export function giveBack(counts: WindowCounts, amount: number): void {
  const fromCurrent = Math.min(counts.current, amount);
  counts.current -= fromCurrent;
  counts.previous -= Math.min(counts.previous, amount - fromCurrent);
}
