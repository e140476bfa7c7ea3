import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { MaxSegmentTree } from './max-segment-tree.js';

const step = fc.record({
  place: fc.nat(1000),
  amount: fc.integer({ min: -5, max: 9 }),
  isSwitch: fc.boolean(),
});

describe('a tree of maxima', () => {
  it('answers like a plain list after every step', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 20 }),
        fc.array(step, { maxLength: 40 }),
        (size, steps) => {
          const tree = new MaxSegmentTree(size);
          const plain = Array.from({ length: size }, () => ({ value: 0, isOn: false }));
          for (const { place: anywhere, amount, isSwitch } of steps) {
            const place = anywhere % size;
            const cell = plain[place] as (typeof plain)[number];
            if (isSwitch && !cell.isOn) {
              tree.switchOn(place, amount);
              cell.isOn = true;
              cell.value += amount;
            } else {
              tree.addUpTo(place, amount);
              for (const each of plain.slice(0, place + 1)) each.value += amount;
            }
            const values = plain.map((each) => (each.isOn ? each.value : Number.NEGATIVE_INFINITY));
            const greatest = Math.max(...values);
            expect(tree.greatest).toBe(greatest);
            if (plain.some((each) => each.isOn)) {
              expect(tree.placeOfGreatest).toBe(values.indexOf(greatest));
            }
          }
        },
      ),
      { numRuns: 500 },
    );
  });
});
