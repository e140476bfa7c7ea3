import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { advance, available, charge, freshEntry, lifeUs, parseRate } from './entry.js';
import { decide, openEntry } from './operation.js';
import { tokenBucketFault, tokenBucketRate } from './rate.js';
import { timeToFullUs, waitUs } from './token-bucket.js';

const HOUR_US = 3_600_000_000;

/** Rates of every shape that can be declared: prime limits, odd windows, bursts apart from limits. */
const rates = fc
  .record({
    limit: fc.integer({ min: 1, max: 20_000 }),
    windowMs: fc.integer({ min: 1, max: 86_400_000 }),
    burst: fc.integer({ min: 1, max: 20_000 }),
  })
  .filter(({ limit, windowMs, burst }) => tokenBucketFault(limit, windowMs, burst) === undefined)
  .map(({ limit, windowMs, burst }) => tokenBucketRate(limit, windowMs, burst));

const steps = fc.array(
  fc.record({
    waitUs: fc.integer({ min: 0, max: 50_000_000 }),
    cost: fc.integer({ min: 1, max: 50 }),
  }),
  { minLength: 1, maxLength: 200 },
);

describe('a token bucket', () => {
  test('never admits more than capacity + rate x time over any interval, in exact integers', () => {
    fc.assert(
      fc.property(rates, steps, (rate, timeline) => {
        let nowUs = 1_795_205_577_392_200;
        const entry = freshEntry(rate, nowUs);
        const admitted: { atUs: number; cost: number }[] = [];
        for (const step of timeline) {
          nowUs += step.waitUs;
          const cost = Math.min(step.cost, rate.burst);
          const open = openEntry(entry, rate, 'keep', nowUs);
          if (decide('check', [open], [cost], nowUs).granted === 1)
            admitted.push({ atUs: nowUs, cost });
        }
        for (let from = 0; from < admitted.length; from += 1) {
          let sum = 0n;
          for (let to = from; to < admitted.length; to += 1) {
            sum += BigInt(admitted[to]!.cost);
            const dt = BigInt(admitted[to]!.atUs - admitted[from]!.atUs);
            // sum <= C + r dt, multiplied by den.
            expect(
              sum * BigInt(rate.den) <= BigInt(rate.capacityUnits) + dt * BigInt(rate.num),
            ).toBe(true);
          }
        }
      }),
      { numRuns: 150 },
    );
  });

  test('denies only what truly cannot be paid: the wait it names is the shortest', () => {
    fc.assert(
      fc.property(
        rates,
        fc.integer({ min: 1, max: 20_000 }),
        fc.integer({ min: 0, max: 10_000_000 }),
        (rate, wanted, pauseUs) => {
          const cost = Math.min(wanted, rate.burst);
          const entry = freshEntry(rate, HOUR_US);
          charge(entry, rate.burst);
          advance(entry, HOUR_US + pauseUs);
          const wait = waitUs(entry.units, rate, cost);
          const nowUs = HOUR_US + pauseUs;
          if (wait > 0) {
            advance(entry, nowUs + wait - 1);
            expect(available(entry, nowUs + wait - 1)).toBeLessThan(cost);
          }
          advance(entry, nowUs + wait);
          expect(available(entry, nowUs + wait)).toBeGreaterThanOrEqual(cost);
        },
      ),
    );
  });

  test('refills monotonically, and how often it is looked at makes no difference', () => {
    fc.assert(
      fc.property(
        rates,
        fc.array(fc.integer({ min: 0, max: 5_000_000 }), { maxLength: 50 }),
        (rate, pauses) => {
          const often = freshEntry(rate, 0);
          const once = freshEntry(rate, 0);
          charge(often, rate.burst);
          charge(once, rate.burst);
          let nowUs = 0;
          for (const pause of pauses) {
            nowUs += pause;
            const before = often.units;
            advance(often, nowUs);
            expect(often.units).toBeGreaterThanOrEqual(before);
          }
          advance(once, nowUs);
          expect(often.units).toBe(once.units);
        },
      ),
    );
  });

  test('is full exactly when it says, and expiry at that time changes no decision', () => {
    fc.assert(
      fc.property(rates, fc.integer({ min: 1, max: 20_000 }), (rate, taken) => {
        const entry = freshEntry(rate, 0);
        charge(entry, Math.min(taken, rate.burst));
        const fullUs = timeToFullUs(entry.units, rate);
        expect(lifeUs(entry, 0)).toBe(fullUs);
        advance(entry, fullUs - 1);
        expect(entry.units).toBeLessThan(rate.capacityUnits);
        advance(entry, fullUs);
        expect(entry.units).toBe(rate.capacityUnits);
      }),
    );
  });

  test('drifts by nothing over 10^8 microsecond steps: 7 per 3 s, drained as it fills', () => {
    const rate = tokenBucketRate(7, 3000, 5);
    const level = { units: rate.capacityUnits, atUs: 0 };
    const { num, den, capacityUnits } = rate;
    let admitted = 0;
    // The decision itself, unrolled: 10^8 calls through objects would take minutes and prove no more.
    for (let nowUs = 1; nowUs <= 100_000_000; nowUs += 1) {
      level.units = Math.min(capacityUnits, level.units + num);
      if (level.units >= den) {
        level.units -= den;
        admitted += 1;
      }
    }
    const entry = freshEntry(rate, 0);
    let through = 0;
    for (let nowUs = 0; nowUs <= 100_000_000; nowUs += 500) {
      const open = openEntry(entry, rate, 'keep', nowUs);
      through += decide('check', [open], [1], nowUs).granted;
    }
    const exact = 5 + Math.floor((100_000_000 * 7) / 3_000_000);
    expect(admitted).toBe(exact);
    expect(through).toBe(exact);
  });

  test('peek changes nothing, whatever is peeked at', () => {
    fc.assert(
      fc.property(
        rates,
        fc.integer({ min: 0, max: 10_000_000 }),
        fc.integer({ min: 0, max: 100 }),
        (rate, pauseUs, cost) => {
          const peeked = freshEntry(rate, 0);
          charge(peeked, rate.burst);
          const left = structuredClone(peeked);
          const nowUs = pauseUs;
          const open = openEntry(peeked, rate, 'keep', nowUs);
          decide('peek', [open], [cost], nowUs);
          expect(open.isDirty).toBe(false);
          advance(left, nowUs);
          expect(peeked).toEqual(left);
        },
      ),
    );
  });

  test('a clock that steps back neither adds tokens nor freezes the key', () => {
    const rate = tokenBucketRate(10, 1000);
    const entry = freshEntry(rate, HOUR_US * 5);
    charge(entry, 10);
    // Within the time to full: stands still.
    expect(advance(entry, HOUR_US * 5 - 900_000)).toBe(false);
    expect(entry.units).toBe(0);
    // By an hour: anchored anew with its level, and this must be stored.
    expect(advance(entry, HOUR_US * 4)).toBe(true);
    expect(entry.units).toBe(0);
    advance(entry, HOUR_US * 4 + 100_000);
    expect(available(entry, HOUR_US * 4 + 100_000)).toBe(1);
  });

  test('the text of a rate reads back as the same rate', () => {
    fc.assert(
      fc.property(rates, (rate) => {
        const { num, den, burst, capacityUnits, timeToFullUs: full, text } = rate;
        expect(parseRate(text)).toMatchObject({
          num,
          den,
          burst,
          capacityUnits,
          timeToFullUs: full,
          text,
        });
      }),
    );
  });
});

describe('a rate that cannot be counted exactly', () => {
  test.each([
    [0, 1000, 1, /limit must be a whole number of 1 or more, received 0/],
    [-5, 1000, 5, /received -5/],
    [0.5, 1000, 1, /for less than one per window write a longer window/],
    [Number.NaN, 1000, 1, /received NaN/],
    [Number.POSITIVE_INFINITY, 1000, 1, /received Infinity/],
    [10, 0, 10, /window must be at least 1ms/],
    [7, 86_400_000, 1_000_000, /cannot be counted exactly/],
  ])('%d per %d ms with burst %d is refused', (limit, windowMs, burst, message) => {
    expect(tokenBucketFault(limit, windowMs, burst)).toMatch(message);
    expect(() => tokenBucketRate(limit, windowMs, burst)).toThrow(RangeError);
  });

  test('the tiers of the first users fit with room to spare', () => {
    for (const limit of [10_000, 1000, 100, 10]) {
      expect(tokenBucketFault(limit, 60_000, limit * 2)).toBeUndefined();
    }
    expect(tokenBucketRate(10_000, 60_000).text).toBe('1:6000:10000');
  });
});
