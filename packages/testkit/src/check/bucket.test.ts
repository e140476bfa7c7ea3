import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { checkBucket } from './bucket.js';
import type { BucketPolicy } from './bucket-policy.js';
import type { Operation } from './operation.js';
import { type Dice, diceOf, historyOf, rulesOf, runSeed, sample } from './sample-history.js';

/** Three tokens, one more every 10 microseconds. */
const POLICY: BucketPolicy = { capacity: 3, refillTokens: 100, refillIntervalMs: 1 };

/** A decision at a server time; on the host it took place at the same moment, give or take one. */
const check = (op: string, serverTimeUs: number, allowed: boolean, fields = {}) =>
  sample(op, 'admit', [serverTimeUs * 1, serverTimeUs + 1], {
    key: 'alice',
    serverTimeUs,
    allowed,
    ...fields,
  });
const unknown = (op: string, fromUs: number, fields = {}) =>
  sample(op, 'admit', [fromUs, null], { key: 'alice', ...fields });
const judge = (operations: Operation[], policy = POLICY) =>
  checkBucket(historyOf(operations), policy);

describe('a limit is accepted when', () => {
  it('a burst empties the full bucket, the next is denied, and time refills it', () => {
    const verdict = judge([
      check('1', 0, true, { level: 2 }),
      check('2', 0, true, { level: 1 }),
      check('3', 1, true, { level: 0 }),
      check('4', 2, false, { level: 0 }),
      check('5', 9, false, { level: 0 }),
      check('6', 10, true, { level: 0 }),
      check('7', 100, true, { level: 2 }),
    ]);
    expect(verdict).toMatchObject({
      valid: true,
      violations: [],
      counted: { subjects: 1, admitted: 5, denied: 2, unknown: 0 },
    });
  });

  it('checks cost more than one, and a cost above the capacity is always denied', () => {
    expect(
      judge([
        check('1', 0, true, { cost: 3, level: 0 }),
        check('2', 500, false, { cost: 4, level: 3 }),
        check('3', 510, true, { cost: 3 }),
      ]).violations,
    ).toEqual([]);
  });

  it('checks of one microsecond are decided together, in an order nobody recorded', () => {
    expect(
      judge([
        check('1', 0, false, { cost: 3, level: 2 }),
        check('2', 0, true, { level: 2 }),
        check('3', 0, true, { level: 1 }),
        check('4', 0, true, { level: 0 }),
      ]).violations,
    ).toEqual([]);
  });

  it('a check of unknown outcome may have taken a token', () => {
    const operations = [
      check('1', 0, true),
      check('2', 1, true),
      unknown('3', 1),
      check('4', 4, false, { level: 0 }),
    ];
    expect(judge(operations)).toMatchObject({ valid: true, counted: { unknown: 1 } });
    expect(rulesOf(judge(operations.filter((each) => each.op !== '3')))).toEqual([
      'denial-unjustified',
      'level-wrong',
    ]);
  });

  it('a failed check took nothing', () => {
    expect(judge([check('1', 0, true, { outcome: 'fail' }), check('2', 1, true)]).valid).toBe(true);
  });

  it('subjects have a bucket each', () => {
    const operations = ['a', 'b', 'c', 'd', 'e', 'f'].map((key) => check(key, 0, true, { key }));
    expect(judge(operations)).toMatchObject({ valid: true, counted: { subjects: 6, admitted: 6 } });
  });

  it('the rate is a fraction that no decimal can hold', () => {
    const thirds: BucketPolicy = { capacity: 1, refillTokens: 1, refillIntervalMs: 0.003 };
    const admitted = Array.from({ length: 1000 }, (_, index) => check(`${index}`, index * 3, true));
    expect(judge(admitted, thirds).violations).toEqual([]);
    const early = admitted.with(999, check('999', 999 * 3 - 1, true));
    expect(rulesOf(judge(early, thirds))).toEqual(['over-admitted']);
  });
});

describe('a limit is rejected when', () => {
  const bad: Record<string, { operations: Operation[]; rules: string[]; named: string[] }> = {
    'one more than the burst is admitted': {
      operations: ['1', '2', '3', '4'].map((op, index) => check(op, index, true)),
      rules: ['over-admitted'],
      named: ['1', '2', '3', '4'],
    },
    'one more is admitted at the very same microsecond': {
      operations: ['1', '2', '3', '4'].map((op) => check(op, 5, true)),
      rules: ['over-admitted'],
      named: ['1', '2', '3', '4'],
    },
    'a token is spent a microsecond before it came': {
      operations: [check('1', 0, true, { cost: 3 }), check('2', 9, true)],
      rules: ['over-admitted'],
      named: ['1', '2'],
    },
    'a burst comes late in a quiet run': {
      operations: [
        check('0', 0, true),
        ...['1', '2', '3', '4'].map((op) => check(op, 1_000_000, true)),
      ],
      rules: ['over-admitted'],
      named: ['1', '2', '3', '4'],
    },
    'the refill drifts by one part in a hundred': {
      operations: Array.from({ length: 400 }, (_, index) =>
        check(`${index}`, Math.floor(index * 9.9), true),
      ),
      rules: ['over-admitted'],
      named: Array.from({ length: 20 }, (_, index) => `${index}`),
    },
    'a denial comes while there are tokens': {
      operations: [check('1', 0, true), check('2', 1, false)],
      rules: ['denial-unjustified'],
      named: ['2'],
    },
    'a denial costs something': {
      operations: [
        check('1', 0, true, { cost: 3 }),
        check('2', 5, false),
        check('3', 10, false, { level: 0 }),
      ],
      rules: ['denial-unjustified', 'level-wrong'],
      named: ['3'],
    },
    'the bucket does not start full': {
      operations: [check('1', 0, true), check('2', 0, true), check('3', 0, false)],
      rules: ['denial-unjustified'],
      named: ['3'],
    },
    'a reported level is too high': {
      operations: [check('1', 0, true, { level: 3 })],
      rules: ['level-wrong'],
      named: ['1'],
    },
    'a reported level is too low': {
      operations: [check('1', 0, true, { level: 1 })],
      rules: ['level-wrong'],
      named: ['1'],
    },
    'a bucket refills beyond its capacity': {
      operations: [check('1', 0, true), check('2', 1000, true, { level: 3 })],
      rules: ['level-wrong'],
      named: ['2'],
    },
    'an unknown check is blamed that began only later': {
      operations: [check('1', 0, true), check('2', 1, true), check('3', 4, false), unknown('4', 6)],
      rules: ['denial-unjustified'],
      named: ['3'],
    },
    'the server time goes back': {
      operations: [
        check('1', 50, true),
        sample('2', 'admit', [100, 101], { key: 'alice', serverTimeUs: 20, allowed: true }),
      ],
      rules: ['server-time-went-back'],
      named: ['1', '2'],
    },
  };
  it.each(Object.keys(bad))('%s', (name) => {
    const { operations, rules, named } = bad[name] as (typeof bad)[string];
    const verdict = judge(operations);
    expect(verdict.valid).toBe(false);
    expect(rulesOf(verdict)).toEqual(rules);
    expect(verdict.violations[0]?.operations).toEqual(named);
    expect(verdict.violations[0]?.message).toContain('subject alice: ');
  });

  it('and says over which interval, and how much was allowed', () => {
    const operations = ['1', '2', '3', '4'].map((op, index) => check(op, index * 2, true));
    expect(judge(operations).violations[0]?.message).toBe(
      'subject alice: from op 1 (admit) to op 4 (admit), 6 us, 4 tokens were admitted; ' +
        'the limit is 3.600',
    );
  });
});

it('explains levels by what they can have been, and looks at nothing but checks', () => {
  const message = (...operations: Operation[]) => judge(operations).violations[0]?.message;
  expect(message(sample('c', 'call', [0, 1]), check('1', 0, true, { level: 3 }))).toBe(
    'subject alice: op 1 (admit) reported 3 tokens left at 0 us; there were 2',
  );
  const burst = ['1', '2', '3'].map((op) => check(op, 0, true));
  expect(message(...burst, check('4', 1, false, { level: 1 }))).toBe(
    'subject alice: op 4 (admit) reported 1 tokens left at 1 us; there were 0',
  );
  expect(message(check('1', 0, true), check('2', 0, true, { level: 3 }))).toBe(
    'subject alice: op 2 (admit) reported 3 tokens left at 0 us; there were 1 to 2',
  );
  const over = judge([...burst, check('4', 5, true), check('5', 6, false, { level: 0 })]);
  expect(rulesOf(over)).toEqual(['level-wrong', 'over-admitted']);
  expect(over.violations[1]?.message).toContain('there were -1');
});

it('rounds a level down, also below nothing', () => {
  const burst = ['1', '2', '3'].map((op) => check(op, 0, true));
  const denied = (timeUs: number) => check('5', timeUs, false, { level: 7 });
  const message = (...operations: Operation[]) => judge(operations).violations.at(-1)?.message;
  expect(message(...burst, check('4', 0, true), denied(4))).toContain('there were -1');
  expect(message(...burst, denied(4))).toContain('there were 0');
  expect(message(...burst, denied(10))).toContain('there were 1');
});

it('measures an interval from its first check', () => {
  const operations = ['1', '2', '3', '4'].map((op, index) => check(op, 100 + index * 2, true));
  expect(judge(operations).violations[0]?.message).toContain('6 us, 4 tokens were admitted');
});

it('takes an unknown check into account from the stamp at which it began', () => {
  const last = check('3', 4, false);
  const operations = [check('1', 0, true), check('2', 1, true), last];
  expect(judge([...operations, unknown('u', 5)]).valid).toBe(true);
  expect(judge([...operations, unknown('u', 5.001)]).valid).toBe(false);
  expect(judge([...operations, unknown('u', 9), unknown('v', 2)]).valid).toBe(true);
});

describe('a history that cannot be judged is refused', () => {
  it('when a decision lacks its server time or its answer', () => {
    expect(() => judge([sample('1', 'admit', [0, 1], { key: 'a', allowed: true })])).toThrow(
      /serverTimeUs/,
    );
    expect(() => judge([sample('1', 'admit', [0, 1], { key: 'a', serverTimeUs: 1 })])).toThrow(
      /allowed/,
    );
  });

  it('when the policy is not in whole tokens, naming every fault', () => {
    const policy = { capacity: 1.5, refillTokens: -1, refillIntervalMs: 0 };
    expect(() => judge([], policy)).toThrow(
      /capacity is 1.5, refillTokens is -1, refillIntervalMs is 0/,
    );
  });
});

interface Run {
  readonly operations: Operation[];
  readonly policy: BucketPolicy;
}

/** A bucket served honestly. Costs, times and the order at one microsecond are random. */
function honestRun(dice: Dice, length: number): Run {
  const perUs = 1 + dice(12);
  const tokens = 1 + dice(4);
  const policy = { capacity: dice(6), refillTokens: tokens, refillIntervalMs: perUs / 1000 };
  const operations: Operation[] = [];
  let level = policy.capacity * perUs;
  let timeUs = 0;
  for (let index = 0; index < length; index += 1) {
    const passedUs = dice(3) === 0 ? dice(30) : dice(3);
    timeUs += passedUs;
    level = Math.min(policy.capacity * perUs, level + passedUs * tokens);
    const cost = dice(4);
    const allowed = cost * perUs <= level;
    if (allowed) level -= cost * perUs;
    const fields = { cost, level: Math.floor(level / perUs) };
    operations.push(check(`${index}`, timeUs, allowed, fields));
  }
  return { operations, policy };
}

/** The slow truth: every interval by itself. */
function exceeds({ operations, policy }: Run): boolean {
  const perUs = policy.refillIntervalMs * 1000;
  const admitted = operations.filter((each) => each.allowed);
  return admitted.some((first) =>
    admitted.some((last) => {
      const [fromUs, untilUs] = [first.serverTimeUs as number, last.serverTimeUs as number];
      if (untilUs < fromUs) return false;
      const cost = admitted
        .filter((each) => (each.serverTimeUs as number) >= fromUs)
        .filter((each) => (each.serverTimeUs as number) <= untilUs)
        .reduce((total, each) => total + (each.cost ?? 1), 0);
      return (cost - policy.capacity) * perUs > policy.refillTokens * (untilUs - fromUs);
    }),
  );
}

describe('the bucket checker agrees with brute force', () => {
  const seed = runSeed();
  it('over every interval of 5 000 random runs', () => {
    const dice = diceOf(seed);
    let over = 0;
    for (let round = 0; round < 5_000; round += 1) {
      const honest = honestRun(dice, 3 + dice(12));
      const run = {
        ...honest,
        operations: honest.operations.map((each) =>
          each.allowed || dice(3) > 0 ? each : { ...each, allowed: true },
        ),
      };
      const expected = exceeds(run);
      const found = rulesOf(judge(run.operations, run.policy)).includes('over-admitted');
      if (expected !== found)
        expect({ SHARDLINE_CHECK_SEED: seed, round, run, found }).toEqual({
          SHARDLINE_CHECK_SEED: seed,
          expected,
        });
      over += expected ? 1 : 0;
    }
    expect(over, `SHARDLINE_CHECK_SEED=${seed}`).toBeGreaterThan(500);
    expect(over, `SHARDLINE_CHECK_SEED=${seed}`).toBeLessThan(4_500);
  });

  it('accepts every honest run and rejects it when its record is changed', () => {
    const counted = { admission: 0, level: 0, doubled: 0 };
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 2 ** 31 }), (s) => {
        const dice = diceOf(s);
        const { operations, policy } = honestRun(dice, 20);
        expect(judge(operations, policy).violations).toEqual([]);
        const index = dice(operations.length);
        const changed = operations[index] as Operation;
        const level = (changed.level as number) + policy.capacity + 1;
        expect(judge(operations.with(index, { ...changed, level }), policy).valid).toBe(false);
        counted.level += 1;
        if (changed.allowed) {
          const denied = operations.with(index, { ...changed, allowed: false, level: undefined });
          const isAlone = operations.every(
            (each) => each === changed || each.serverTimeUs !== changed.serverTimeUs,
          );
          if (isAlone) expect(rulesOf(judge(denied, policy))).toContain('denial-unjustified');
          counted.admission += isAlone ? 1 : 0;
        } else {
          const admitted = operations.with(index, { ...changed, allowed: true });
          expect(rulesOf(judge(admitted, policy))).toContain('over-admitted');
          counted.admission += 1;
        }
        const burst = Array.from({ length: policy.capacity + 1 }, (_, copy) => ({
          ...changed,
          op: `${changed.op}.${copy}`,
          allowed: true,
          cost: 1,
        }));
        expect(rulesOf(judge([...operations, ...burst], policy))).toContain('over-admitted');
        counted.doubled += 1;
      }),
      { numRuns: 500 },
    );
    expect(Math.min(...Object.values(counted))).toBeGreaterThan(100);
  });

  it('judges 200 000 checks of one subject', () => {
    const operations = Array.from({ length: 200_000 }, (_, index) =>
      check(`${index}`, index * 10, true),
    );
    expect(judge(operations).counted).toMatchObject({ admitted: 200_000, violations: 0 });
    const spoilt = [...operations, ...['a', 'b', 'c'].map((op) => check(op, 1_000_000, true))];
    expect(rulesOf(judge(spoilt))).toEqual(['over-admitted']);
  });
});
