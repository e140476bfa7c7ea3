import { describe, expect, it } from 'vitest';
import { Link } from './link.js';
import { seededRandom } from './seeded-random.js';

/** Takes all it may, sleeping as told, and says how long the bytes took. */
function msToPass(link: Link, bytes: number, timerLatenessMs = 0): number {
  let nowMs = 0;
  for (let left = bytes; left > 0; ) {
    const grant = link.grant(nowMs, left);
    if ('waitMs' in grant) {
      expect(grant.waitMs).toBeGreaterThan(0);
      nowMs += grant.waitMs + timerLatenessMs;
    } else {
      expect(grant.bytes).toBeGreaterThan(0);
      left -= grant.bytes;
    }
  }
  return nowMs;
}

describe('bandwidth of a link', () => {
  it('is without limit unless set', () => {
    expect(new Link(seededRandom(1)).grant(0, 10 ** 9)).toEqual({ bytes: 10 ** 9 });
  });

  it.each([1, 7, 1000, 1_000_000])(
    'takes a second for a second of bytes at %i a second',
    (rate) => {
      const link = new Link(seededRandom(1));
      link.bytesPerSecond = rate;
      const tookMs = msToPass(link, rate * 5);
      expect(tookMs).toBeGreaterThanOrEqual(4000 - 20); // the last byte's own time is not waited for
      expect(tookMs).toBeLessThanOrEqual(5000 + 20);
    },
  );

  it('makes up for timers that fire late', () => {
    const link = new Link(seededRandom(1));
    link.bytesPerSecond = 100_000;
    expect(msToPass(link, 500_000, 3)).toBeLessThan(5100);
  });

  it('does not save up bandwidth while idle beyond one portion', () => {
    const link = new Link(seededRandom(1));
    link.bytesPerSecond = 1000;
    let burst = 0;
    for (;;) {
      const grant = link.grant(1_000_000, 10_000);
      if ('waitMs' in grant) break;
      burst += grant.bytes;
    }
    expect(burst).toBeLessThanOrEqual(40);
  });
});

describe('latency of a link', () => {
  it('is added to the time of arrival', () => {
    const link = new Link(seededRandom(1));
    link.latencyMs = 50;
    expect(link.dueAt(1000, 0)).toBe(1050);
  });

  it('keeps order when it shrinks or jitters', () => {
    const seed = Math.floor(Math.random() * 2 ** 32);
    const link = new Link(seededRandom(seed));
    link.latencyMs = 10;
    link.jitterMs = 100;
    let previous = 0;
    const added = new Set<number>();
    for (let nowMs = 0; nowMs < 1000; nowMs += 1) {
      const due = link.dueAt(nowMs, previous);
      expect(due, `seed ${seed}`).toBeGreaterThanOrEqual(Math.max(previous, nowMs + 10));
      expect(due, `seed ${seed}`).toBeLessThanOrEqual(Math.max(previous, nowMs + 110));
      previous = due;
      added.add(due - nowMs);
    }
    expect(added.size).toBeGreaterThan(100);
  });

  it('jitters alike for the same seed and differently for another', () => {
    const row = (seed: number) => {
      const link = new Link(seededRandom(seed));
      link.jitterMs = 100;
      return Array.from({ length: 20 }, () => link.dueAt(0, 0));
    };
    expect(row(7)).toEqual(row(7));
    expect(row(7)).not.toEqual(row(8));
  });
});
