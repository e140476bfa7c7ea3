import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { ObservedRow, Operation } from './operation.js';
import { type Dice, diceOf, historyOf, rulesOf, sample } from './sample-history.js';
import { checkScatter } from './scatter.js';

type Times = readonly [number, number | null];

const insert = (op: string, times: Times, key: string, fields = {}) =>
  sample(op, 'insert', times, { key, value: `v.${op}`, version: 1, ...fields });
const remove = (op: string, times: Times, key: string, fields = {}) =>
  sample(op, 'delete', times, { key, value: `v.${op}`, ...fields });
const scatter = (times: Times, keys: string[], fields = {}) =>
  sample('s', 'scatter', times, { rows: keys.map((key) => ({ key })), ...fields });
const judge = (operations: Operation[], population: string[] = []) =>
  checkScatter(historyOf(operations), { population });

describe('a scatter is accepted when', () => {
  it('it returns every row once', () => {
    const verdict = judge([insert('1', [0, 1], 'a'), scatter([2, 3], ['p', 'a'])], ['p']);
    expect(verdict).toMatchObject({
      valid: true,
      counted: { scatters: 1, rows: 2, required: 2, population: 1, unfinished: 0 },
    });
  });

  it.each([[['a']], [[]]])('a row inserted meanwhile appears or not: %j', (keys) => {
    expect(judge([insert('1', [2, 5], 'a'), scatter([3, 4], keys)]).valid).toBe(true);
    expect(judge([insert('1', [0, 3], 'a'), scatter([3, 4], keys)]).valid).toBe(true);
    expect(judge([insert('1', [4, 6], 'a'), scatter([3, 4], keys)]).valid).toBe(true);
  });

  it.each([[['a']], [[]]])('a row deleted meanwhile appears or not: %j', (keys) => {
    const inserted = insert('1', [0, 1], 'a');
    expect(judge([inserted, remove('2', [2, 5], 'a'), scatter([3, 4], keys)]).valid).toBe(true);
    expect(judge([inserted, remove('2', [2, 3], 'a'), scatter([3, 4], keys)]).valid).toBe(true);
    expect(judge([inserted, remove('2', [4, 5], 'a'), scatter([3, 4], keys)]).valid).toBe(true);
  });

  it.each([[['a']], [[]]])('an unknown insert or delete lies before it: %j', (keys) => {
    expect(judge([insert('1', [0, null], 'a'), scatter([3, 4], keys)]).valid).toBe(true);
    expect(
      judge([
        insert('1', [0, 1], 'a'),
        remove('2', [1, 2], 'a', { outcome: 'info' }),
        scatter([3, 4], keys),
      ]).valid,
    ).toBe(true);
  });

  it('a failed delete changed nothing', () => {
    const failed = remove('2', [1, 2], 'a', { outcome: 'fail' });
    expect(judge([insert('1', [0, 1], 'a'), failed, scatter([3, 4], ['a'])]).valid).toBe(true);
  });

  it('a row was deleted and inserted again', () => {
    expect(
      judge([
        insert('1', [0, 1], 'a'),
        remove('2', [2, 3], 'a'),
        insert('3', [4, 5], 'a'),
        scatter([6, 7], ['a']),
      ]).valid,
    ).toBe(true);
  });

  it('a count lies between what must and what may be there', () => {
    const writes = [insert('1', [0, 1], 'a'), insert('2', [3, 9], 'b')];
    for (const count of [2, 3]) {
      const counting = sample('s', 'scatter', [4, 5], { count });
      expect(judge([...writes, counting], ['p']).valid).toBe(true);
    }
  });

  it('it did not succeed: it claims nothing', () => {
    expect(
      judge([insert('1', [0, 1], 'a'), scatter([2, 3], [], { outcome: 'info' })]),
    ).toMatchObject({ valid: true, counted: { scatters: 0, unfinished: 1 } });
  });
});

describe('a scatter is rejected when', () => {
  const inserted = insert('1', [0, 1], 'a');
  const bad: Record<
    string,
    { operations: Operation[]; population?: string[]; rule: string; named: string[] }
  > = {
    'an acknowledged row is missing': {
      operations: [inserted, scatter([2, 3], [])],
      rule: 'row-missing',
      named: ['s', '1'],
    },
    'a row of the fixed population is missing': {
      operations: [scatter([2, 3], ['p'])],
      population: ['p', 'q'],
      rule: 'row-missing',
      named: ['s'],
    },
    'a row is missing although its delete was invoked after the end': {
      operations: [inserted, scatter([2, 3], []), remove('2', [4, 5], 'a')],
      rule: 'row-missing',
      named: ['s', '1'],
    },
    'a row that was inserted again is missing': {
      operations: [
        inserted,
        remove('2', [2, 3], 'a'),
        insert('3', [4, 5], 'a'),
        scatter([6, 7], []),
      ],
      rule: 'row-missing',
      named: ['s', '1'],
    },
    'a row comes from the source and from the destination': {
      operations: [
        inserted,
        sample('s', 'scatter', [2, 3], {
          rows: [
            { key: 'a', node: 'old' },
            { key: 'a', node: 'new' },
          ],
        }),
      ],
      rule: 'row-twice',
      named: ['s'],
    },
    'a deleted row is back': {
      operations: [inserted, remove('2', [2, 3], 'a'), scatter([4, 5], ['a'])],
      rule: 'row-after-delete',
      named: ['s', '2'],
    },
    'a deleted row of the population is back': {
      operations: [remove('2', [2, 3], 'p'), scatter([4, 5], ['p'])],
      population: ['p'],
      rule: 'row-after-delete',
      named: ['s', '2'],
    },
    'a row is there before its insert': {
      operations: [scatter([2, 3], ['a']), insert('1', [4, 5], 'a')],
      rule: 'row-before-insert',
      named: ['s', '1'],
    },
    'a row is there between two lives': {
      operations: [
        inserted,
        remove('2', [2, 3], 'a'),
        scatter([4, 5], ['a']),
        insert('3', [6, 7], 'a'),
      ],
      rule: 'row-after-delete',
      named: ['s', '2'],
    },
    'a row was inserted by nobody': {
      operations: [scatter([2, 3], ['a'])],
      rule: 'row-unknown',
      named: ['s'],
    },
    'a row was inserted by a failed insert': {
      operations: [insert('1', [0, 1], 'a', { outcome: 'fail' }), scatter([2, 3], ['a'])],
      rule: 'row-unknown',
      named: ['s'],
    },
    'a row is the old copy': {
      operations: [
        inserted,
        sample('2', 'update', [2, 3], { key: 'a', value: 'new', version: 2 }),
        sample('s', 'scatter', [4, 5], { rows: [{ key: 'a', version: 1, node: 'old' }] }),
      ],
      rule: 'row-stale',
      named: ['s', '2'],
    },
    'a count is one too low': {
      operations: [inserted, sample('s', 'scatter', [2, 3], { count: 1 })],
      population: ['p'],
      rule: 'count-low',
      named: ['s'],
    },
    'a count is one too high': {
      operations: [inserted, sample('s', 'scatter', [2, 3], { count: 3 })],
      population: ['p'],
      rule: 'count-high',
      named: ['s'],
    },
    'a count still holds a deleted row': {
      operations: [
        inserted,
        remove('2', [2, 3], 'a'),
        sample('s', 'scatter', [4, 5], { count: 1 }),
      ],
      rule: 'count-high',
      named: ['s'],
    },
  };
  it.each(Object.keys(bad))('%s', (name) => {
    const { operations, population, rule, named } = bad[name] as (typeof bad)[string];
    const verdict = judge(operations, population);
    expect(verdict.valid).toBe(false);
    expect(rulesOf(verdict)).toEqual([rule]);
    expect([...(verdict.violations[0]?.operations ?? [])].sort()).toEqual([...named].sort());
    expect(verdict.violations[0]?.message).toContain('op s (scatter)');
  });
});

it('refuses a scatter that succeeded with neither rows nor a count', () => {
  expect(() => judge([sample('s', 'scatter', [0, 1])])).toThrow(/neither rows nor count/);
});

/** Rows that come and go, and scatters that visit each row at some instant of their own time. */
function goodRun(dice: Dice): { operations: Operation[]; population: string[] } {
  const population = ['p0', 'p1'];
  const operations: Operation[] = [];
  const lives = new Map<string, [number, number]>();
  for (const name of population) lives.set(name, [-1000, 1000]);
  for (let index = 0; index < 5; index += 1) {
    const born = 5 + dice(40);
    // Far enough apart that the delete certainly came after the insert: stamps that touch overlap.
    const died = born + 6 + dice(40);
    lives.set(`k${index}`, [born, died]);
    operations.push(insert(`i${index}`, [born - dice(4), born + dice(3)], `k${index}`));
    operations.push(remove(`d${index}`, [died - dice(3), died + dice(4)], `k${index}`));
  }
  for (let index = 0; index < 4; index += 1) {
    const from = dice(80);
    const until = from + dice(12);
    const rows: ObservedRow[] = [];
    for (const [key, [born, died]] of lives) {
      const visited = from + dice(until - from + 1);
      if (born <= visited && visited < died) rows.push({ key });
    }
    operations.push(sample(`s${index}`, 'scatter', [from, until], { rows }));
  }
  return { operations, population };
}

describe('good scatters are accepted, and rejected when', () => {
  const changeRows = (
    operations: Operation[],
    op: string,
    change: (rows: readonly ObservedRow[]) => readonly ObservedRow[],
  ) =>
    operations.map((each) => (each.op === op ? { ...each, rows: change(each.rows ?? []) } : each));
  const mutations: Record<string, (operations: Operation[], dice: Dice) => Operation[]> = {
    'a row is doubled': (operations, dice) =>
      changeRows(operations, `s${dice(4)}`, (rows) => [
        ...rows,
        rows[dice(rows.length)] as ObservedRow,
      ]),
    'a row of the population is dropped': (operations, dice) =>
      changeRows(operations, `s${dice(4)}`, (rows) => rows.filter((each) => each.key !== 'p1')),
    'a stranger is added': (operations, dice) =>
      changeRows(operations, `s${dice(4)}`, (rows) => [...rows, { key: 'stranger' }]),
    'a row appears long after its delete': (operations) => [
      ...operations,
      sample('s9', 'scatter', [500, 501], { rows: [{ key: 'p0' }, { key: 'p1' }, { key: 'k2' }] }),
    ],
    'all inserts are dropped from the record': (operations) => [
      ...operations.filter((each) => each.kind !== 'insert'),
      sample('s9', 'scatter', [0, 500], { rows: ['p0', 'p1', 'k1'].map((key) => ({ key })) }),
    ],
  };
  it.each(Object.keys(mutations))('%s', (name) => {
    const mutate = mutations[name] as (typeof mutations)[string];
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 2 ** 31 }), (seed) => {
        const dice = diceOf(seed);
        const { operations, population } = goodRun(dice);
        expect(judge(operations, population).violations).toEqual([]);
        expect(judge(mutate(operations, dice), population).valid).toBe(false);
      }),
      { numRuns: 300 },
    );
  });
});
