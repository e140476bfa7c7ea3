import { describe, expect, it } from 'vitest';
import type { Operation } from './operation.js';
import { checkRegister } from './register.js';
import { historyOf, rulesOf, sample } from './sample-history.js';
import { VIOLATIONS_KEPT } from './verdict.js';

type Times = readonly [number, number | null];

const write = (op: string, times: Times, value: string, fields = {}) =>
  sample(op, 'update', times, { key: 'k', value, ...fields });
const read = (op: string, times: Times, value: string | null, fields = {}) =>
  sample(op, 'read', times, { key: 'k', value, ...fields });
const judge = (...operations: Operation[]) => checkRegister(historyOf(operations));

describe('a register is accepted when', () => {
  it('nothing happened, and says that nothing was looked at', () => {
    expect(judge()).toEqual({
      valid: true,
      violations: [],
      counted: { keys: 0, writes: 0, reads: 0, unknownWrites: 0, failedWrites: 0, violations: 0 },
    });
  });

  it('reads follow writes', () => {
    const verdict = judge(
      read('r0', [0, 1], null),
      write('w1', [2, 3], 'a'),
      read('r1', [4, 5], 'a'),
      write('w2', [6, 7], 'b'),
      read('r2', [8, 9], 'b'),
    );
    expect(verdict.valid).toBe(true);
    expect(verdict.counted).toMatchObject({ keys: 1, writes: 2, reads: 3 });
  });

  it('reads beside a write see the old or the new value', () => {
    expect(
      judge(
        write('w1', [0, 1], 'a'),
        write('w2', [2, 10], 'b'),
        read('r1', [3, 9], 'b'),
        read('r2', [3, 8], 'a'),
      ).valid,
    ).toBe(true);
  });

  it('an unknown write shows up long after its caller gave up', () => {
    expect(
      judge(
        write('w1', [0, 1], 'a'),
        write('w2', [2, 3], 'b', { outcome: 'info' }),
        read('r1', [10, 11], 'a'),
        read('r2', [12, 13], 'b'),
        read('r3', [14, 15], 'b'),
      ).valid,
    ).toBe(true);
  });

  it('an unknown write never shows up, or never returned at all', () => {
    expect(
      judge(
        write('w1', [0, 1], 'a'),
        write('w2', [2, 3], 'b', { outcome: 'info' }),
        write('w3', [2, null], 'c'),
        read('r1', [10, 11], 'a'),
      ).valid,
    ).toBe(true);
  });

  it('a failed write is not seen', () => {
    expect(
      judge(
        write('w1', [0, 1], 'a'),
        write('w2', [2, 3], 'b', { outcome: 'fail' }),
        read('r1', [4, 5], 'a'),
      ).valid,
    ).toBe(true);
  });

  it('stamps are equal: operations that touch overlap', () => {
    expect(
      judge(
        write('w1', [0, 1], 'a'),
        write('w2', [2, 3], 'b'),
        read('r1', [3, 4], 'a'),
        read('r2', [4, 5], 'b'),
      ).valid,
    ).toBe(true);
  });

  it('a read failed or has no answer: it claims nothing', () => {
    expect(
      judge(
        write('w1', [0, 1], 'a'),
        read('r1', [2, 3], 'odd', { outcome: 'info' }),
        read('r2', [2, null], null),
      ).valid,
    ).toBe(true);
  });

  it('keys are interleaved and each is in order', () => {
    const other = { key: 'other' };
    expect(
      judge(
        write('w1', [0, 1], 'a'),
        write('w2', [0, 1], 'b', other),
        read('r1', [2, 3], 'a'),
        read('r2', [2, 3], 'b', other),
      ).valid,
    ).toBe(true);
  });

  it('the key held something before the run', () => {
    const history = historyOf([read('r1', [0, 1], 'old'), write('w1', [2, 3], 'a')]);
    expect(checkRegister(history, { initialValue: () => 'old' }).valid).toBe(true);
    expect(rulesOf(checkRegister(history))).toEqual(['unknown-value-read']);
  });

  it('operations are listed in any order', () => {
    const operations = [
      write('w3', [20, 21], 'c'),
      read('r3', [24, 25], 'c'),
      write('w1', [0, 1], 'a'),
      read('r1', [4, 5], 'a'),
      write('w2', [10, 11], 'b'),
      read('r2', [14, 15], 'b'),
    ];
    expect(judge(...operations).valid).toBe(true);
    const inside = write('w4', [2, 3], 'd');
    expect(judge(...operations, inside).violations[0]?.operations).toContain('w1');
  });

  it('other kinds of operations are in the history', () => {
    const verdict = judge(
      sample('c', 'call', [0, 1]),
      sample('x', 'session-read', [0, 1], { key: 'k', value: 'from a replica' }),
      write('w1', [0, 1], 'a'),
      write('w2', [0, 1], 'b', { outcome: 'info' }),
      write('w3', [0, 1], 'c', { outcome: 'info' }),
      write('w4', [0, 1], 'd', { outcome: 'fail' }),
      write('w5', [0, 1], 'e'),
      read('r1', [0, 1], null, { outcome: 'fail' }),
    );
    expect(verdict.valid).toBe(true);
    expect(verdict.counted).toEqual({
      keys: 1,
      writes: 5,
      reads: 0,
      unknownWrites: 2,
      failedWrites: 1,
      violations: 0,
    });
  });

  it('a delete leaves a tombstone with a value of its own', () => {
    expect(
      judge(
        sample('i1', 'insert', [0, 1], { key: 'k', value: 'a' }),
        sample('d1', 'delete', [2, 3], { key: 'k', value: 'gone.1' }),
        read('r1', [4, 5], 'gone.1'),
      ).valid,
    ).toBe(true);
  });
});

describe('a register is rejected when', () => {
  const bad: Record<string, { operations: Operation[]; rule: string; named: string[] }> = {
    'a read is stale': {
      operations: [write('w1', [0, 1], 'a'), write('w2', [2, 3], 'b'), read('r1', [4, 5], 'a')],
      rule: 'not-linearizable',
      named: ['w1', 'w2', 'r1'],
    },
    'a read misses the first write': {
      operations: [write('w1', [0, 1], 'a'), read('r1', [2, 3], null)],
      rule: 'not-linearizable',
      named: ['r1', 'w1'],
    },
    'a tombstone is forgotten and the row is back': {
      operations: [
        sample('i1', 'insert', [0, 1], { key: 'k', value: 'a' }),
        sample('d1', 'delete', [2, 3], { key: 'k', value: 'gone' }),
        read('r1', [4, 5], 'a'),
      ],
      rule: 'not-linearizable',
      named: ['i1', 'd1', 'r1'],
    },
    'reads go back and forth between two values': {
      operations: [
        write('w1', [0, 10], 'a'),
        write('w2', [0, 10], 'b'),
        read('r1', [1, 2], 'a'),
        read('r2', [3, 4], 'b'),
        read('r3', [5, 6], 'a'),
      ],
      rule: 'not-linearizable',
      named: ['r1', 'r2', 'r3'],
    },
    'two readers disagree about the order of two writes': {
      operations: [
        write('w1', [0, 20], 'a'),
        write('w2', [0, 20], 'b'),
        read('r1', [1, 2], 'a'),
        read('r2', [1, 2], 'b'),
        read('r3', [3, 4], 'a'),
        read('r4', [3, 4], 'b'),
      ],
      rule: 'not-linearizable',
      named: ['r1', 'r2', 'r3', 'r4'],
    },
    'a value comes from the future': {
      operations: [read('r1', [0, 1], 'a'), write('w1', [2, 3], 'a')],
      rule: 'read-before-write',
      named: ['r1', 'w1'],
    },
    'a value comes from the future of an unknown write': {
      operations: [read('r1', [0, 1], 'a'), write('w1', [2, null], 'a')],
      rule: 'read-before-write',
      named: ['r1', 'w1'],
    },
    'a failed write is seen': {
      operations: [write('w1', [0, 1], 'a', { outcome: 'fail' }), read('r1', [2, 3], 'a')],
      rule: 'failed-value-read',
      named: ['w1', 'r1'],
    },
    'a value is seen that nobody wrote': {
      operations: [write('w1', [0, 1], 'a'), read('r1', [2, 3], 'x')],
      rule: 'unknown-value-read',
      named: ['r1'],
    },
    'a value of another key is seen': {
      operations: [
        write('w1', [0, 1], 'a', { key: 'other' }),
        write('w2', [0, 1], 'b'),
        read('r1', [2, 3], 'a'),
      ],
      rule: 'unknown-value-read',
      named: ['r1'],
    },
    'an unknown write was seen and is forgotten again': {
      operations: [
        write('w1', [0, 1], 'a'),
        write('w2', [2, null], 'b'),
        read('r1', [4, 5], 'b'),
        read('r2', [6, 7], 'a'),
      ],
      rule: 'not-linearizable',
      named: ['w1', 'r1', 'r2'],
    },
    'a write nobody read lies between a write and a late read of it': {
      operations: [
        write('w1', [0, 1], 'a'),
        write('w2', [2, 3], 'b'),
        write('w3', [2, 3], 'c'),
        read('r1', [5, 6], 'a'),
      ],
      rule: 'not-linearizable',
      named: ['w1', 'w2', 'r1'],
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

  it('every overlap of forward zones counts, also past a short one', () => {
    const verdict = judge(
      write('w1', [0, 1], 'a'),
      write('w2', [2, 3], 'b'),
      read('r2', [5, 6], 'b'),
      write('w3', [7, 8], 'c'),
      read('r3', [10, 11], 'c'),
      read('r1', [20, 21], 'a'),
    );
    expect(verdict.counted['violations']).toBe(2);
  });

  it('the initial value comes back', () => {
    const history = historyOf([
      read('r0', [0, 1], 'old'),
      write('w1', [2, 3], 'a'),
      read('r1', [4, 5], 'old'),
    ]);
    const { violations } = checkRegister(history, { initialValue: () => 'old' });
    expect(violations.map((violation) => violation.message)).toEqual([
      'key k: "old" must come before "a", since it was there before op w1 (update), but "a" must ' +
        'come before "old", since op w1 (update) ended 0.001 ms before op r1 (read) began',
    ]);
    expect(judge(write('w1', [0, 1], 'a'), read('r', [2, 3], null)).violations[0]?.message).toMatch(
      /^key k: absent must come before "a"/,
    );
  });

  it('a value from the future is reported once, and not as a disorder too', () => {
    const verdict = judge(
      read('r1', [0, 1], 'b'),
      write('w1', [2, 3], 'a'),
      read('r2', [8, 9], 'a'),
      write('w2', [4, 5], 'b'),
    );
    expect(rulesOf(verdict)).toEqual(['read-before-write']);
  });

  it('violations are counted beyond those spelled out', () => {
    const operations = Array.from({ length: 300 }, (_, index) => read(`r${index}`, [0, 1], 'odd'));
    const verdict = judge(...operations);
    expect(verdict.violations).toHaveLength(VIOLATIONS_KEPT);
    expect(verdict.counted['violations']).toBe(300);
  });

  it('explains itself in words', () => {
    const verdict = judge(
      write('w1', [0, 1], 'a', { node: 'shard-a', epoch: 3, routing: 'leased' }),
      write('w2', [2, 3], 'b'),
      read('r1', [4, 5], 'a'),
    );
    expect(verdict.violations[0]?.message).toBe(
      'key k: "a" must come before "b", since op w1 (update, at shard-a, epoch 3, leased) ended ' +
        '0.001 ms before op w2 (update) began, but "b" must come before "a", since ' +
        'op w2 (update) ended 0.001 ms before op r1 (read) began',
    );
  });
});

describe('a history that cannot be judged is refused', () => {
  it('when values are not unique, or a field is missing', () => {
    expect(() => judge(write('w1', [0, 1], 'a'), write('w2', [2, 3], 'a'))).toThrow(
      /w2.*w1.*values must be unique/,
    );
    expect(() => judge(sample('w1', 'update', [0, 1], { key: 'k' }))).toThrow(/w1 .*has no value/);
    expect(() => judge(sample('w1', 'update', [0, 1], { value: 'a' }))).toThrow(/w1 .*has no key/);
    expect(() => judge(sample('r1', 'read', [0, 1], { key: 'k' }))).toThrow(/r1 .*has no value/);
  });
});
