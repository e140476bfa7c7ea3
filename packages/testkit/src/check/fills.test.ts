import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { checkFills, type FillsOptions } from './fills.js';
import type { Operation } from './operation.js';
import { type Dice, diceOf, historyOf, rulesOf, sample } from './sample-history.js';

type Times = readonly [number, number | null];

const write = (op: string, times: Times, version: number | undefined, fields = {}) =>
  sample(op, 'update', times, { key: 'k', version, ...fields });
const invalidate = (op: string, times: Times, fields = {}) =>
  sample(op, 'invalidate', times, { key: 'k', ...fields });
const get = (op: string, times: Times, version: number | undefined, fields = {}) =>
  sample(op, 'cache-read', times, { key: 'k', version, ...fields });

const STRICT: FillsOptions = { coherence: 'strict' };
/** Ten microseconds, in the milliseconds that a bound is exported in. */
const BOUNDED: FillsOptions = { coherence: 'bounded', boundMs: 0.01 };
const judge = (operations: Operation[], options: FillsOptions = STRICT) =>
  checkFills(historyOf(operations), options);

describe('cache reads are accepted when', () => {
  it('they return what was written before the invalidation', () => {
    const verdict = judge([
      write('w', [0, 1], 2),
      invalidate('i', [2, 3]),
      get('g', [4, 5], 2),
      get('h', [4, 5], 3),
    ]);
    expect(verdict).toMatchObject({
      valid: true,
      counted: { invalidations: 1, reads: 2, misses: 0, judged: 2 },
    });
  });

  it('they are stale but began before the invalidation was acknowledged', () => {
    expect(
      judge([
        write('w', [0, 1], 2),
        invalidate('i', [2, 5]),
        get('g', [4, 9], 1),
        get('h', [5, 9], 1),
      ]).valid,
    ).toBe(true);
  });

  it('no invalidation was acknowledged', () => {
    expect(judge([write('w', [0, 1], 2), get('g', [4, 5], 1)]).valid).toBe(true);
    const lost = invalidate('i', [2, 3], { outcome: 'info' });
    expect(judge([write('w', [0, 1], 2), lost, get('g', [4, 5], 1)]).valid).toBe(true);
  });

  it('the write was acknowledged only after the invalidation was invoked', () => {
    expect(judge([write('w', [0, 3], 2), invalidate('i', [2, 4]), get('g', [5, 6], 1)]).valid).toBe(
      true,
    );
  });

  it('the write is unknown or failed', () => {
    const operations = [
      write('w1', [0, 1], 2, { outcome: 'info' }),
      write('w2', [0, 1], undefined, { outcome: 'fail' }),
      invalidate('i', [2, 3]),
      get('g', [4, 5], 1),
    ];
    expect(judge(operations).valid).toBe(true);
  });

  it('they are a miss: no tier claimed anything', () => {
    expect(
      judge([write('w', [0, 1], 2), invalidate('i', [2, 3]), get('g', [4, 5], undefined)]),
    ).toMatchObject({ valid: true, counted: { misses: 1, judged: 0 } });
  });

  it('they are stale within the bound', () => {
    const operations = [write('w', [0, 1], 2), invalidate('i', [2, 3]), get('g', [13, 14], 1)];
    expect(judge(operations, BOUNDED).valid).toBe(true);
    expect(judge(operations, STRICT).valid).toBe(false);
  });
});

describe('cache reads are rejected when', () => {
  const bad: Record<string, { operations: Operation[]; options?: FillsOptions; named: string[] }> =
    {
      'a fill from before survived the invalidation': {
        operations: [write('w', [0, 1], 2), invalidate('i', [2, 3]), get('g', [4, 5], 1)],
        named: ['g', 'i'],
      },
      'an absence from before survived it': {
        operations: [
          write('w', [0, 1], 1),
          invalidate('i', [2, 3]),
          get('g', [4, 5], undefined, { value: null }),
        ],
        named: ['g', 'i'],
      },
      'a tier still holds the old entry': {
        operations: [
          write('w', [0, 1], 2),
          invalidate('i', [2, 3]),
          get('g', [4, 5], 1, { tier: 'L2' }),
        ],
        named: ['g', 'i'],
      },
      'it is stale after the bound': {
        operations: [write('w', [0, 1], 2), invalidate('i', [2, 3]), get('g', [13.001, 14], 1)],
        options: BOUNDED,
        named: ['g', 'i'],
      },
      'a later invalidation with a lower floor hides an earlier one': {
        operations: [
          write('w', [0, 1], 9),
          invalidate('i', [2, 3]),
          invalidate('j', [4, 5], { key: 'k', version: 3 }),
          get('g', [6, 7], 8),
        ],
        named: ['g', 'i'],
      },
      'the invalidation named its floor itself': {
        operations: [invalidate('i', [2, 3], { version: 5 }), get('g', [4, 5], 4)],
        named: ['g', 'i'],
      },
      'the invalidation covered several keys': {
        operations: [
          write('w', [0, 1], 2),
          sample('i', 'invalidate', [2, 3], { keys: ['a', 'k'] }),
          get('g', [4, 5], 1),
        ],
        named: ['g', 'i'],
      },
      'it read a value from between two invalidations': {
        operations: [
          write('w1', [0, 1], 2),
          invalidate('i', [2, 3]),
          write('w2', [4, 5], 3),
          invalidate('j', [6, 7]),
          get('g', [8, 9], 2),
        ],
        named: ['g', 'j'],
      },
    };
  it.each(Object.keys(bad))('%s', (name) => {
    const { operations, options, named } = bad[name] as (typeof bad)[string];
    const verdict = judge(operations, options);
    expect(verdict.valid).toBe(false);
    expect(rulesOf(verdict)).toEqual(['stale-read']);
    expect(verdict.violations[0]?.operations).toEqual(named);
  });

  it('and says from which tier, how late, and below what', () => {
    const operations = [
      write('w', [0, 1], 2),
      invalidate('i', [2, 3]),
      get('g', [1003, 1005], 1, { tier: 'L2' }),
    ];
    expect(judge(operations).violations[0]?.message).toBe(
      'key k: op g (cache-read) returned version 1 from L2, 1.000 ms after op i (invalidate) was ' +
        'acknowledged, which covers everything below version 2',
    );
  });
});

it('refuses an invalidation without a key and a hit without a version', () => {
  expect(() => judge([sample('i', 'invalidate', [0, 1])])).toThrow(/i .*has no key/);
  expect(() => judge([get('g', [0, 1], undefined, { value: 'x' })])).toThrow(/g .*has no version/);
});

/** The slow truth, straight from the promise. */
function hasStaleRead(operations: readonly Operation[], boundNs: bigint): boolean {
  const ended = (each: Operation) => each.returnedNs as bigint;
  return operations.some(
    (read) =>
      read.kind === 'cache-read' &&
      operations.some(
        (invalidation) =>
          invalidation.kind === 'invalidate' &&
          ended(invalidation) + boundNs < read.invokedNs &&
          operations.some(
            (each) =>
              each.kind === 'update' &&
              ended(each) < invalidation.invokedNs &&
              (each.version as number) > (read.version as number),
          ),
      ),
  );
}

function randomRun(dice: Dice): Operation[] {
  const operations: Operation[] = [];
  for (let index = 0; index < 12; index += 1) {
    const from = index * 4 + dice(6);
    const times: Times = [from, from + dice(8)];
    const kind = dice(3);
    if (kind === 0) operations.push(write(`w${index}`, times, index));
    else if (kind === 1) operations.push(invalidate(`i${index}`, times));
    else operations.push(get(`g${index}`, times, Math.max(0, index - dice(9))));
  }
  return operations;
}

describe('the fill checker agrees with the promise spelled out', () => {
  it.each([
    ['strict', STRICT, 0n],
    ['bounded', BOUNDED, 10_000n],
  ] as const)('%s', (_name, options, boundNs) => {
    let broken = 0;
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 2 ** 31 }), (seed) => {
        const operations = randomRun(diceOf(seed));
        const isBad = hasStaleRead(operations, boundNs);
        expect(judge(operations, options).valid).toBe(!isBad);
        broken += isBad ? 1 : 0;
      }),
      { numRuns: 3000 },
    );
    expect(broken).toBeGreaterThan(100);
    expect(broken).toBeLessThan(2_900);
  });
});
