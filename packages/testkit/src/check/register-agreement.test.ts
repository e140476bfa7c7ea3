import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Operation } from './operation.js';
import { checkRegister } from './register.js';
import { hasLinearization } from './register-oracle.js';
import { type Dice, diceOf, historyOf, runSeed, sample } from './sample-history.js';

type Times = readonly [number, number | null];

const write = (op: string, times: Times, value: string, fields = {}) =>
  sample(op, 'update', times, { key: 'k', value, ...fields });
const read = (op: string, times: Times, value: string | null, fields = {}) =>
  sample(op, 'read', times, { key: 'k', value, ...fields });
const judge = (...operations: Operation[]) => checkRegister(historyOf(operations));

/** A random history of one key, its values drawn so that about half are linearizable. */
function randomHistory(dice: Dice): Operation[] {
  const writes = dice(4);
  const span = 4 + dice(14);
  const times = (): [number, number] => {
    const from = dice(span);
    return [from, from + dice(6)];
  };
  const operations: Operation[] = [];
  for (let index = 0; index < writes; index += 1) {
    const [from, until] = times();
    const outcome = (['ok', 'ok', 'ok', 'info', 'fail'] as const)[dice(5)] ?? 'ok';
    const isLost = outcome === 'info' && dice(2) === 0;
    operations.push(write(`w${index}`, [from, isLost ? null : until], `v${index}`, { outcome }));
  }
  for (let index = dice(5); index >= 0; index -= 1) {
    const value = dice(writes + 1);
    const outcome = dice(12) === 0 ? 'info' : 'ok';
    operations.push(read(`r${index}`, times(), value === writes ? null : `v${value}`, { outcome }));
  }
  return operations;
}

/** A good history: a register, and operations around the instants at which it was used. */
function goodHistory(dice: Dice, length: number): Operation[] {
  const operations: Operation[] = [];
  let value: string | null = null;
  for (let index = 0; index < length; index += 1) {
    const instant = index * 4;
    const times: [number, number] = [instant - dice(8), instant + dice(8)];
    if (dice(2) === 0) {
      value = `v${index}`;
      operations.push(write(`w${index}`, times, value));
    } else operations.push(read(`r${index}`, times, value));
  }
  return operations;
}

describe('the register checker agrees with brute force', () => {
  const seed = runSeed();
  it('on 30 000 random histories', () => {
    const dice = diceOf(seed);
    let good = 0;
    for (let round = 0; round < 30_000; round += 1) {
      const operations = randomHistory(dice);
      const expected = hasLinearization(operations, null);
      const found = judge(...operations).valid;
      if (expected !== found)
        expect({ SHARDLINE_CHECK_SEED: seed, round, operations, found }).toEqual({
          SHARDLINE_CHECK_SEED: seed,
          expected,
        });
      good += expected ? 1 : 0;
    }
    // Neither verdict may be so rare that agreement means nothing.
    expect(good, `SHARDLINE_CHECK_SEED=${seed}`).toBeGreaterThan(3_000);
    expect(good, `SHARDLINE_CHECK_SEED=${seed}`).toBeLessThan(27_000);
  });

  const mutations: Record<string, (operations: Operation[], dice: Dice) => Operation[]> = {
    'two reads swap their values': (operations, dice) => {
      const reads = operations.filter((operation) => operation.kind === 'read');
      const [a, b] = [reads[dice(reads.length)], reads[dice(reads.length)]];
      return operations.map((each) =>
        each === a && b
          ? { ...a, value: b.value }
          : each === b && a
            ? { ...b, value: a.value }
            : each,
      );
    },
    'a write is dropped': (operations, dice) => {
      const writes = operations.filter((operation) => operation.kind === 'update');
      const dropped = writes[dice(writes.length)];
      return operations.filter((operation) => operation !== dropped);
    },
    'a return is shifted': (operations, dice) => {
      const shifted = dice(operations.length);
      return operations.map((each, index) => {
        if (index !== shifted || each.returnedNs === null) return each;
        return { ...each, returnedNs: each.invokedNs + BigInt(dice(3)) };
      });
    },
    'an invocation and its return are shifted': (operations, dice) => {
      const shifted = dice(operations.length);
      const byNs = BigInt(dice(40) - 20) * 1000n;
      return operations.map((each, index) =>
        index === shifted && each.returnedNs !== null
          ? { ...each, invokedNs: each.invokedNs + byNs, returnedNs: each.returnedNs + byNs }
          : each,
      );
    },
    'a success is taken for a failure': (operations, dice) => {
      const changed = dice(operations.length);
      return operations.map((each, index) =>
        index === changed ? { ...each, outcome: 'fail' as const } : each,
      );
    },
  };
  it.each(Object.keys(mutations))('on good histories in which %s', (name) => {
    const mutate = mutations[name] as (typeof mutations)[string];
    const counted = { broken: 0, harmless: 0 };
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 2 ** 31 }),
        fc.integer({ min: 3, max: 9 }),
        (s, length) => {
          const dice = diceOf(s);
          const good = goodHistory(dice, length);
          expect(judge(...good).violations).toEqual([]);
          const mutant = mutate(good, dice);
          const isGood = hasLinearization(mutant, null);
          expect(judge(...mutant).valid).toBe(isGood);
          counted[isGood ? 'harmless' : 'broken'] += 1;
        },
      ),
      { numRuns: 1000 },
    );
    expect(counted.broken).toBeGreaterThan(20);
  });
});

describe('the register checker at scale', () => {
  const size = Number(process.env['SHARDLINE_CHECK_SCALE'] ?? 200_000);
  it(`judges ${size} operations, and finds the one stale read among them`, () => {
    const dice = diceOf(1);
    const operations: Operation[] = [];
    const values: string[] = [];
    for (let index = 0; index < size; index += 1) {
      const key = index % 10;
      const instant = index * 2;
      const times: Times = [instant - dice(30), instant + dice(30)];
      const fields = { key: `k${key}` };
      const old = values[key];
      if (old === undefined || dice(3) === 0) {
        values[key] = `v${index}`;
        operations.push(write(`o${index}`, times, `v${index}`, fields));
      } else operations.push(read(`o${index}`, times, old, fields));
    }
    const verdict = checkRegister(historyOf(operations));
    expect(verdict.violations).toEqual([]);
    expect((verdict.counted['writes'] ?? 0) + (verdict.counted['reads'] ?? 0)).toBe(size);
    const first = operations.find((operation) => operation.key === 'k3') as Operation;
    const stale = read('stale', [size * 2 + 100, size * 2 + 101], first.value as string, {
      key: 'k3',
    });
    const spoilt = checkRegister(historyOf([...operations, stale]));
    expect(spoilt.valid).toBe(false);
    expect(spoilt.violations.every((violation) => violation.operations.includes('stale'))).toBe(
      true,
    );
  });
});
