import { describe, expect, it } from 'vitest';
import type { Operation } from './operation.js';
import { mayComeNext } from './register-oracle.js';
import { type Dice, diceOf, historyOf, rulesOf, runSeed, sample } from './sample-history.js';
import { checkWriteOrder } from './write-order.js';

type Times = readonly [number, number | null];

const write = (op: string, times: Times, version: number | undefined, fields = {}) =>
  sample(op, 'update', times, { key: 'k', value: `v.${op}`, version, ...fields });
const read = (op: string, times: Times, of: string, version: number) =>
  sample(op, 'read', times, { key: 'k', value: `v.${of}`, version });
const judge = (...operations: Operation[]) => checkWriteOrder(historyOf(operations));

describe('an order of writes is accepted when', () => {
  it('versions rise with time', () => {
    const verdict = judge(
      sample('i', 'insert', [0, 1], { key: 'k', value: 'a', version: 1 }),
      write('u', [2, 3], 2),
      sample('d', 'delete', [4, 5], { key: 'k', value: 'b', version: 3 }),
    );
    expect(verdict).toMatchObject({ valid: true, counted: { keys: 1, numberedWrites: 3 } });
  });

  it('writes that overlap take versions in either order', () => {
    expect(judge(write('a', [0, 5], 2), write('b', [1, 6], 1)).valid).toBe(true);
    expect(judge(write('a', [0, 5], 2), write('b', [5, 6], 1)).valid).toBe(true);
  });

  it('an unknown write explains a gap, even one that ended its call long before', () => {
    expect(
      judge(
        write('a', [0, 1], 1),
        write('b', [2, 3], undefined, { outcome: 'info' }),
        write('c', [8, 9], 3),
      ).valid,
    ).toBe(true);
  });

  it('unknown writes are listed in any order', () => {
    const late = write('late', [5, 6], undefined, { outcome: 'info' });
    const early = write('early', [2, 3], undefined, { outcome: 'info' });
    const known = [write('a', [0, 1], 1), write('b', [4, 4], 3), write('c', [8, 9], 5)];
    expect(judge(late, early, ...known).violations).toEqual([]);
  });

  it('an unknown write took no version', () => {
    expect(
      judge(write('a', [0, 1], 1), write('b', [2, null], undefined), write('c', [8, 9], 2)).valid,
    ).toBe(true);
  });

  it('other kinds, and reads that say nothing of versions, are in the history', () => {
    const verdict = judge(
      sample('c', 'call', [0, 1]),
      write('a', [0, 1], 1),
      write('b', [2, 3], undefined, { outcome: 'info' }),
      write('f', [2, 3], 7, { outcome: 'fail' }),
      sample('r1', 'read', [4, 5], { key: 'k', value: 'v.b' }),
      sample('r2', 'read', [4, 5], { key: 'k', value: null, version: 0 }),
      sample('r3', 'read', [4, 5], { key: 'k', value: 'stranger', version: 9 }),
      sample('r4', 'read', [4, 5], { key: 'k', value: 'v.b', version: 9, outcome: 'info' }),
      sample('r5', 'session-read', [4, 5], { key: 'k', value: 'v.b', version: 9 }),
      read('r6', [4, 5], 'a', 1),
    );
    expect(verdict).toMatchObject({ valid: true, counted: { numberedWrites: 1 } });
  });

  it('an unknown write ended with a version after all', () => {
    expect(
      judge(
        write('a', [0, 1], 1),
        write('b', [2, 3], 2, { outcome: 'info' }),
        write('c', [4, 5], 3),
      ).counted,
    ).toMatchObject({ numberedWrites: 3, violations: 0 });
  });

  it('a key was at some version before the run', () => {
    const history = historyOf([write('a', [0, 1], 8)]);
    expect(checkWriteOrder(history, { initialVersion: () => 7 }).valid).toBe(true);
  });
});

describe('an order of writes is rejected when', () => {
  const lost = { outcome: 'info' } as const;
  const bad: Record<string, { operations: Operation[]; rule: string; named: string[] }> = {
    'two writes made one version': {
      operations: [write('a', [0, 9], 1), write('b', [0, 9], 1)],
      rule: 'lost-update',
      named: ['a', 'b'],
    },
    'an unknown write is read with the version of another': {
      operations: [
        write('a', [0, 1], 1),
        write('b', [0, null], undefined),
        read('r', [2, 3], 'b', 1),
      ],
      rule: 'lost-update',
      named: ['a', 'b'],
    },
    'the later write has the lower version': {
      operations: [write('a', [0, 1], 2), write('b', [2, 3], 1)],
      rule: 'version-against-time',
      named: ['a', 'b'],
    },
    'a write far below ended before it began': {
      operations: [write('a', [0, 1], 3), write('b', [0, 9], 2), write('c', [2, 9], 1)],
      rule: 'version-against-time',
      named: ['a', 'c'],
    },
    'a version is missing and nobody can have made it': {
      operations: [write('a', [0, 1], 1), write('b', [2, 3], 3)],
      rule: 'version-gap',
      named: ['b'],
    },
    'the first version is missing': {
      operations: [write('a', [0, 1], 2)],
      rule: 'version-gap',
      named: ['a'],
    },
    'a failed write is the only one that could have made it': {
      operations: [
        write('a', [0, 1], 1),
        write('b', [2, 3], undefined, { outcome: 'fail' }),
        write('c', [4, 5], 3),
      ],
      rule: 'version-gap',
      named: ['c'],
    },
    'the unknown write began after the gap was passed': {
      operations: [
        write('a', [0, 1], 1),
        write('c', [2, 3], 3),
        write('b', [4, 5], undefined, lost),
      ],
      rule: 'version-gap',
      named: ['c'],
    },
    'there are more gaps than unknown writes': {
      operations: [
        write('a', [0, 1], 1),
        write('b', [2, 3], undefined, lost),
        write('c', [4, 5], 3),
        write('d', [6, 7], 5),
      ],
      rule: 'version-gap',
      named: ['d'],
    },
    'the unknown write is known to have made another version': {
      operations: [
        write('a', [0, 1], 1),
        write('b', [2, null], undefined),
        write('c', [4, 5], 3),
        read('r', [6, 7], 'b', 4),
      ],
      rule: 'version-gap',
      named: ['c'],
    },
    'a value is read with another version': {
      operations: [write('a', [0, 1], 1), read('r', [2, 3], 'a', 2)],
      rule: 'version-mismatch',
      named: ['a', 'r'],
    },
  };
  it.each(Object.keys(bad))('%s', (name) => {
    const { operations, rule, named } = bad[name] as (typeof bad)[string];
    const verdict = judge(...operations);
    expect(verdict.valid).toBe(false);
    expect(rulesOf(verdict)).toEqual([rule]);
    expect([...(verdict.violations[0]?.operations ?? [])].sort()).toEqual([...named].sort());
    for (const op of named) expect(verdict.violations[0]?.message).toContain(`op ${op} (`);
  });

  it('gaps and disorder are reported for each write by itself', () => {
    const verdict = judge(
      write('a', [0, 1], 4),
      write('b', [0, 1], 5),
      write('c', [6, 7], 3),
      write('d', [6, 7], 1),
    );
    expect(verdict.violations.map(({ rule, operations }) => [rule, ...operations])).toEqual([
      ['version-against-time', 'a', 'd'],
      ['version-against-time', 'b', 'd'],
      ['version-gap', 'c'],
    ]);
  });

  it('the latest beginning so far is not the first', () => {
    const verdict = judge(
      write('a', [0, 9], 1),
      write('b', [6, 9], 2),
      write('c', [0, 4], 3),
      write('d', [0, 9], 4),
    );
    expect(verdict.violations.map(({ rule, operations }) => [rule, ...operations])).toEqual([
      ['version-against-time', 'c', 'b'],
    ]);
  });

  it('a version from before the run is made again', () => {
    const history = historyOf([write('a', [0, 1], 7)]);
    expect(rulesOf(checkWriteOrder(history, { initialVersion: () => 7 }))).toEqual(['lost-update']);
  });

  it('a version is absurdly high, without counting up to it', () => {
    expect(rulesOf(judge(write('a', [0, 1], Number.MAX_SAFE_INTEGER)))).toEqual(['version-gap']);
  });
});

it('refuses an acknowledged write without a version', () => {
  expect(() => judge(write('a', [0, 1], undefined))).toThrow(/a .*has no version/);
});

/** The slow truth: tries every order of the writes, counting versions. */
function hasOrder(operations: readonly Operation[]): boolean {
  const writes = operations.filter((operation) => operation.outcome !== 'fail');
  const search = (done: number, version: number): boolean => {
    const open = writes.filter((_write, index) => !(done & (1 << index)));
    if (open.every((each) => each.outcome === 'info' && each.version === undefined)) return true;
    return writes.some(
      (each, index) =>
        !(done & (1 << index)) &&
        (each.version === undefined || each.version === version + 1) &&
        mayComeNext(each, writes, done) &&
        search(done | (1 << index), version + 1),
    );
  };
  return search(0, 0);
}

function randomWrites(dice: Dice): Operation[] {
  const count = 1 + dice(6);
  const versions = Array.from({ length: count }, (_, index) => index + 1);
  return versions.map((version, index) => {
    const instant = index * 3 + dice(4);
    const times: Times = [instant - dice(6), instant + dice(6)];
    const isUnknown = dice(3) === 0;
    const swapped = dice(5) === 0 ? 1 + dice(count) : version;
    const isKnown = !isUnknown || dice(3) === 0;
    return write(`w${index}`, times, isKnown ? swapped : undefined, {
      outcome: isUnknown ? 'info' : dice(8) === 0 ? 'fail' : 'ok',
    });
  });
}

describe('the write-order checker agrees with brute force', () => {
  const seed = runSeed();
  it('on 20 000 random histories', () => {
    const dice = diceOf(seed);
    let good = 0;
    for (let round = 0; round < 20_000; round += 1) {
      const operations = randomWrites(dice);
      const expected = hasOrder(operations);
      const found = judge(...operations).valid;
      if (expected !== found)
        expect({ SHARDLINE_CHECK_SEED: seed, round, operations, found }).toEqual({
          SHARDLINE_CHECK_SEED: seed,
          expected,
        });
      good += expected ? 1 : 0;
    }
    expect(good, `SHARDLINE_CHECK_SEED=${seed}`).toBeGreaterThan(2_000);
    expect(good, `SHARDLINE_CHECK_SEED=${seed}`).toBeLessThan(18_000);
  });
});
