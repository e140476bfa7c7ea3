import { describe, expect, it } from 'vitest';
import { checkBucketIntervals } from './bucket-intervals.js';
import type { BucketPolicy } from './bucket-policy.js';
import type { Operation } from './operation.js';
import { type Dice, diceOf, historyOf, rulesOf, runSeed, sample } from './sample-history.js';

/** Three tokens, one more every 10 microseconds. */
const POLICY: BucketPolicy = { capacity: 3, refillTokens: 100, refillIntervalMs: 1 };

type Times = readonly [number, number | null];
const admit = (op: string, times: Times, fields = {}) =>
  sample(op, 'admit', times, { key: 'alice', allowed: true, ...fields });
const judge = (operations: Operation[], policy = POLICY) =>
  checkBucketIntervals(historyOf(operations), policy);

describe('a limit known only by intervals is accepted when', () => {
  it('bursts and refills keep to it', () => {
    const verdict = judge([
      admit('1', [0, 1]),
      admit('2', [0, 1]),
      admit('3', [0, 1]),
      admit('4', [8, 10]),
      admit('5', [0, 3], { allowed: false }),
    ]);
    expect(verdict).toMatchObject({ valid: true, counted: { subjects: 1, admitted: 4 } });
  });

  it('admissions are wide enough to have happened elsewhere', () => {
    expect(judge(['1', '2', '3', '4'].map((op) => admit(op, [0, 10]))).valid).toBe(true);
  });

  it('an admission was never heard of', () => {
    const lost = admit('4', [0, null], { allowed: undefined });
    expect(judge([...['1', '2', '3'].map((op) => admit(op, [0, 1])), lost]).valid).toBe(true);
  });

  it('subjects are apart', () => {
    expect(judge(['a', 'b', 'c', 'd'].map((key) => admit(key, [0, 1], { key }))).valid).toBe(true);
  });

  it('nothing was admitted', () => {
    expect(judge([]).counted).toEqual({ subjects: 0, admitted: 0, violations: 0 });
  });
});

describe('a limit known only by intervals is rejected when', () => {
  const bad: Record<string, { operations: Operation[]; named: string[] }> = {
    'a window holds one too many': {
      operations: ['1', '2', '3', '4'].map((op) => admit(op, [0, 9])),
      named: ['1', '2', '3', '4'],
    },
    'one admission costs more than the bucket holds': {
      operations: [admit('1', [0, 9], { cost: 4 })],
      named: ['1'],
    },
    'the burst is in the middle of a calm run': {
      operations: [
        admit('0', [0, 1]),
        ...['1', '2', '3', '4'].map((op, index) => admit(op, [500 + index, 505])),
        admit('9', [900, 901]),
      ],
      named: ['1', '2', '3', '4'],
    },
    'a wide admission hides none of the narrow ones': {
      operations: [
        admit('0', [0, 900]),
        ...['1', '2', '3', '4'].map((op) => admit(op, [500, 501])),
      ],
      named: ['1', '2', '3', '4'],
    },
    'two processes each keep the whole limit': {
      operations: ['a', 'b'].flatMap((name) =>
        [0, 1, 2].map((index) => admit(`${name}${index}`, [index, index + 2])),
      ),
      named: ['a0', 'a1', 'a2', 'b0', 'b1', 'b2'],
    },
  };
  it.each(Object.keys(bad))('%s', (name) => {
    const { operations, named } = bad[name] as (typeof bad)[string];
    const verdict = judge(operations);
    expect(verdict.valid).toBe(false);
    expect(rulesOf(verdict)).toEqual(['over-admitted']);
    expect(verdict.violations[0]?.operations).toEqual(named);
  });

  it('and says over which window', () => {
    const operations = ['1', '2', '3', '4'].map((op) => admit(op, [100, 105]));
    expect(judge(operations).violations[0]?.message).toBe(
      'subject alice: within 5 us, from the invocation of op 1 (admit), 4 tokens were asked for and ' +
        'admitted; the limit is 3.500',
    );
  });
});

it('looks at nothing but admissions, in any order', () => {
  const burst = ['1', '2', '3', '4'].map((op) => admit(op, [100, 105]));
  const rest = [admit('8', [900, 901]), sample('c', 'call', [0, 1]), admit('9', [0, 1])];
  const verdict = judge([...rest, ...burst]);
  expect(verdict.violations[0]?.operations).toEqual(['1', '2', '3', '4']);
  expect(verdict.violations[0]?.message).toContain('the limit is 3.500');
});

it('names no more than twenty operations', () => {
  const burst = Array.from({ length: 40 }, (_, index) => admit(`${index}`, [0, 1]));
  const [violation] = judge(burst).violations;
  expect(violation?.operations).toHaveLength(20);
  expect(violation?.message).toContain('40 tokens');
});

it('refuses a run that is too long to be summed exactly', () => {
  const policy = { capacity: 3, refillTokens: 1_000_003, refillIntervalMs: 1_000_000 };
  const costly = admit('2', [0, 1], { cost: 9_007_199_254 });
  expect(() => judge([admit('1', [0, 1]), costly], policy)).toThrow(/judge a shorter part/);
  const late = admit('2', [10_000_000_000, 10_000_000_001]);
  expect(() => judge([admit('1', [0, 1]), late], policy)).toThrow(/judge a shorter part/);
});

/** The slow truth: every window from an invocation to a return. */
function exceeds(operations: readonly Operation[], policy: BucketPolicy): boolean {
  const perUs = Math.round(policy.refillIntervalMs * 1000);
  return operations.some(({ invokedNs: fromNs }) =>
    operations.some(({ returnedNs: untilNs }) => {
      if (untilNs === null || untilNs < fromNs) return false;
      const cost = operations
        .filter((each) => each.invokedNs >= fromNs && (each.returnedNs as bigint) <= untilNs)
        .reduce((total, each) => total + (each.cost ?? 1), 0);
      const windowUs = Number(untilNs - fromNs) / 1000;
      return (cost - policy.capacity) * perUs > policy.refillTokens * windowUs;
    }),
  );
}

function randomRun(dice: Dice): { operations: Operation[]; policy: BucketPolicy } {
  const policy = {
    capacity: dice(7),
    refillTokens: 1 + dice(4),
    refillIntervalMs: (1 + dice(12)) / 1000,
  };
  const span = 1 + dice(60);
  const operations = Array.from({ length: 1 + dice(14) }, (_, index) => {
    const from = dice(span);
    return admit(`${index}`, [from, from + dice(10)], { cost: dice(4) });
  });
  return { operations, policy };
}

describe('the interval checker agrees with brute force', () => {
  const seed = runSeed();
  it('over every window of 10 000 random runs', () => {
    const dice = diceOf(seed);
    let over = 0;
    for (let round = 0; round < 10_000; round += 1) {
      const { operations, policy } = randomRun(dice);
      const expected = exceeds(operations, policy);
      const found = !judge(operations, policy).valid;
      if (expected !== found)
        expect({ SHARDLINE_CHECK_SEED: seed, round, operations, policy, found }).toEqual({
          SHARDLINE_CHECK_SEED: seed,
          expected,
        });
      over += expected ? 1 : 0;
    }
    expect(over, `SHARDLINE_CHECK_SEED=${seed}`).toBeGreaterThan(1_000);
    expect(over, `SHARDLINE_CHECK_SEED=${seed}`).toBeLessThan(9_000);
  });

  it('never accuses an honest bucket, whatever the stamps around its decisions', () => {
    const dice = diceOf(seed + 1);
    for (let round = 0; round < 2_000; round += 1) {
      let level = 3000;
      let lastNs = 0;
      const operations: Operation[] = [];
      for (let index = 0; index < 15; index += 1) {
        const nowNs = lastNs + dice(20_000);
        level = Math.min(3000, level + (nowNs - lastNs) / 10);
        lastNs = nowNs;
        const allowed = level >= 1000;
        if (allowed) level -= 1000;
        const times: Times = [(nowNs - dice(3000)) / 1000, (nowNs + dice(3000)) / 1000];
        operations.push(admit(`${index}`, times, { allowed }));
      }
      expect(judge(operations).violations).toEqual([]);
    }
  });

  it('judges 200 000 admissions of one subject', () => {
    const operations = Array.from({ length: 200_000 }, (_, index) =>
      admit(`${index}`, [index * 10 - (index % 7), index * 10 + (index % 5)]),
    );
    expect(judge(operations)).toMatchObject({ valid: true, counted: { admitted: 200_000 } });
    const burst = ['a', 'b', 'c', 'd', 'e'].map((op) => admit(op, [1_000_000, 1_000_001]));
    expect(judge([...operations, ...burst]).valid).toBe(false);
  });
});
