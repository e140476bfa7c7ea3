import { ManualClock } from '@shardline/core';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { available, type Entry, freshEntry } from './bucket/entry.js';
import { decide, openEntry } from './bucket/operation.js';
import { tokenBucketRate } from './bucket/rate.js';
import { DenialCache } from './denial-cache.js';

function cacheOn(clock: ManualClock, maxEntries = 100) {
  return new DenialCache({ clock, maxEntries, maxAgeMs: 60_000 });
}

describe('the denial cache', () => {
  test('never denies what the server would admit, however others take in between', async () => {
    const steps = fc.array(
      fc.record({
        waitMs: fc.integer({ min: 0, max: 400 }),
        // How long an answer is on its way, which makes what it says older than it looks.
        lagMs: fc.integer({ min: 0, max: 50 }),
        cost: fc.integer({ min: 1, max: 6 }),
        othersTake: fc.integer({ min: 0, max: 3 }),
      }),
      { minLength: 5, maxLength: 60 },
    );
    let denials = 0;
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 1, max: 50 }), steps, async (limit, timeline) => {
        const clock = new ManualClock();
        const cache = cacheOn(clock);
        const rate = tokenBucketRate(limit, 1000, 6);
        const entry: Entry = freshEntry(rate, 0);
        const serverUs = () => Math.floor(clock.monotonicMs() * 1000);
        for (const { waitMs, lagMs, cost, othersTake } of timeline) {
          await clock.advance(waitMs);
          const others = openEntry(entry, rate, 'keep', serverUs());
          decide('check', [others], [othersTake], serverUs());
          const proof = cache.prove('k', rate, cost);
          if (proof !== undefined) {
            denials += 1;
            expect(available(entry, serverUs())).toBeLessThan(cost);
            continue;
          }
          const askedMs = clock.monotonicMs();
          await clock.advance(lagMs);
          const open = openEntry(entry, rate, 'keep', serverUs());
          const outcome = decide('check', [open], [cost], serverUs());
          await clock.advance(lagMs);
          if (outcome.granted === 0) cache.remember('k', rate, outcome.views[0]!, askedMs);
        }
      }),
      { numRuns: 60 },
    );
    expect(denials).toBeGreaterThan(50);
  });

  test('a denied cost says nothing of a smaller one, nor of another rate', () => {
    const clock = new ManualClock();
    const cache = cacheOn(clock);
    const rate = tokenBucketRate(10, 60_000);
    const view = { units: 3 * rate.den, previous: 0, current: 0, positionMs: 0 };
    cache.remember('k', rate, view, clock.monotonicMs());
    expect(cache.prove('k', rate, 5)).toBeDefined();
    expect(cache.prove('k', rate, 3)).toBeUndefined();
    expect(cache.prove('k', tokenBucketRate(20, 60_000), 5)).toBeUndefined();
    expect(cache.size).toBe(0);
  });

  test('believes nothing for longer than its age, and holds no more than its bound', async () => {
    const clock = new ManualClock();
    const cache = new DenialCache({ clock, maxEntries: 3, maxAgeMs: 1000 });
    const rate = tokenBucketRate(1, 3_600_000);
    const view = { units: 0, previous: 0, current: 0, positionMs: 0 };
    for (const key of ['a', 'b', 'c', 'd']) cache.remember(key, rate, view, clock.monotonicMs());
    expect(cache.size).toBe(3);
    expect(cache.prove('a', rate, 1)).toBeUndefined();
    expect(cache.prove('d', rate, 1)).toBeDefined();
    await clock.advance(1001);
    expect(cache.prove('d', rate, 1)).toBeUndefined();
  });
});
