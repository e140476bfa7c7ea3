import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { checkLedger, type FinalRow, type LedgerRow, type ShardContents } from './ledger.js';
import type { Operation } from './operation.js';
import { type Dice, diceOf, historyOf, rulesOf, sample } from './sample-history.js';

const write = (op: string, key: string, version: number | undefined, fields = {}) =>
  sample(op, 'update', [0, 1], { key, value: `v.${op}`, version, ...fields });
const entry = (shard: string, op: string, key: string, part?: string): LedgerRow => ({
  shard,
  op,
  key,
  ...(part === undefined ? {} : { part }),
});
const row = (shard: string, key: string, version: number, op: string): FinalRow => ({
  shard,
  key,
  version,
  value: `v.${op}`,
});
/** Keys of an upper-case letter live on shard A, the others on shard b. */
const owner = (key: string) => (key === key.toUpperCase() ? 'A' : 'b');

interface Case {
  readonly operations: Operation[];
  readonly ledger: LedgerRow[];
  readonly rows: FinalRow[];
}
const judge = ({ operations, ledger, rows }: Case, more: Partial<ShardContents> = {}) =>
  checkLedger(historyOf(operations), { ledger, rows, owner, ...more });

const good: Case = {
  operations: [
    write('1', 'X', 1),
    write('2', 'X', 2),
    write('3', 'y', 1),
    write('4', 'y', undefined, { outcome: 'info' }),
    write('5', 'y', undefined, { outcome: 'fail' }),
  ],
  ledger: [entry('A', '1', 'X'), entry('A', '2', 'X'), entry('b', '3', 'y')],
  rows: [row('A', 'X', 2, '2'), row('b', 'y', 1, '3')],
};
const changed = (change: Partial<Case>): Case => ({ ...good, ...change });

describe('the contents of shards are accepted when', () => {
  it('every acknowledged write is there once, the unknown one not', () => {
    expect(judge(good)).toMatchObject({
      valid: true,
      violations: [],
      counted: { writes: 5, acknowledged: 3, unknownPresent: 0, ledgerRows: 3, rows: 2 },
    });
  });

  it('the unknown write is there, whole', () => {
    const verdict = judge(
      changed({
        ledger: [...good.ledger, entry('b', '4', 'y')],
        rows: [row('A', 'X', 2, '2'), row('b', 'y', 2, '4')],
      }),
    );
    expect(verdict).toMatchObject({ valid: true, counted: { unknownPresent: 1 } });
  });

  it('reads and calls are in the history', () => {
    const operations = [...good.operations, sample('c', 'call', [0, 1])];
    expect(judge(changed({ operations }))).toMatchObject({ valid: true, counted: { writes: 5 } });
  });

  it('a write of several rows is there with all of them', () => {
    const operations = [write('1', 'X', 1, { parts: ['bet', 'balance'] })];
    const ledger = [entry('A', '1', 'X', 'bet'), entry('A', '1', 'X', 'balance')];
    expect(judge({ operations, ledger, rows: [row('A', 'X', 1, '1')] }).valid).toBe(true);
  });

  it('rows were loaded before the run, and some were written since', () => {
    const operations = [write('1', 'X', 8)];
    const preloaded = [
      { key: 'X', version: 7, value: 'old' },
      { key: 'y', version: 7, value: 'older' },
    ];
    const rows = [row('A', 'X', 8, '1'), { shard: 'b', key: 'y', version: 7, value: 'older' }];
    const ledger = [entry('A', '1', 'X')];
    expect(judge({ operations, ledger, rows }, { preloaded }).violations).toEqual([]);
  });
});

describe('the contents of shards are rejected when', () => {
  const [one, two, three] = good.ledger as [LedgerRow, LedgerRow, LedgerRow];
  const [rowX, rowY] = good.rows as [FinalRow, FinalRow];
  const inParts = [write('1', 'X', 1, { parts: ['bet', 'balance'] })];
  const bad: Record<string, { contents: Case; rules: string[]; named: string[] }> = {
    'an acknowledged write is nowhere': {
      contents: changed({ ledger: [two, three], rows: [row('A', 'X', 1, '2'), rowY] }),
      rules: ['row-outdated', 'row-unexplained', 'write-lost'],
      named: ['1'],
    },
    'an acknowledged write is nowhere, but its successor stands': {
      contents: changed({ ledger: [two, three] }),
      rules: ['write-half-present', 'write-lost'],
      named: ['1'],
    },
    'a write is there twice on its shard': {
      contents: changed({ ledger: [one, one, two, three] }),
      rules: ['write-duplicated'],
      named: ['1'],
    },
    'a write is on the old and on the new shard': {
      contents: changed({ ledger: [one, two, entry('b', '2', 'X'), three] }),
      rules: ['write-duplicated'],
      named: ['2'],
    },
    'a write is on the old shard only': {
      contents: changed({ ledger: [one, entry('b', '2', 'X'), three] }),
      rules: ['write-misplaced'],
      named: ['2'],
    },
    'an unknown write is there twice': {
      contents: changed({
        ledger: [...good.ledger, entry('b', '4', 'y'), entry('b', '4', 'y')],
        rows: [rowX, row('b', 'y', 2, '4')],
      }),
      rules: ['write-duplicated'],
      named: ['4'],
    },
    'a failed write is there': {
      contents: changed({ ledger: [...good.ledger, entry('b', '5', 'y')] }),
      rules: ['failed-write-present', 'write-half-present'],
      named: ['5'],
    },
    'a failed write is the last value': {
      contents: changed({ rows: [rowX, row('b', 'y', 1, '5')] }),
      rules: ['failed-write-present'],
      named: ['5'],
    },
    'a write is there that nobody recorded': {
      contents: changed({ ledger: [...good.ledger, entry('b', '99', 'y')] }),
      rules: ['unknown-write-present'],
      named: [],
    },
    'a write is there for another key': {
      contents: changed({ ledger: [one, two, entry('b', '3', 'z')] }),
      rules: ['unknown-write-present'],
      named: ['3'],
    },
    'a write has a row that it never wrote': {
      contents: changed({ ledger: [...good.ledger, entry('A', '1', 'X', 'extra')] }),
      rules: ['unknown-write-present'],
      named: ['1'],
    },
    'half of a write of several rows is missing': {
      contents: {
        operations: inParts,
        ledger: [entry('A', '1', 'X', 'bet')],
        rows: [row('A', 'X', 1, '1')],
      },
      rules: ['write-half-present'],
      named: ['1'],
    },
    'all of a write of several rows is missing': {
      contents: { operations: inParts, ledger: [], rows: [] },
      rules: ['row-lost', 'write-lost'],
      named: ['1'],
    },
    'an unknown write changed the row without its ledger row': {
      contents: changed({ rows: [rowX, row('b', 'y', 2, '4')] }),
      rules: ['write-half-present'],
      named: ['4'],
    },
    'an unknown write left its ledger row without changing the row': {
      contents: changed({ ledger: [...good.ledger, entry('b', '4', 'y')] }),
      rules: ['write-half-present'],
      named: ['3', '4'],
    },
    'the row itself is gone': {
      contents: changed({ rows: [rowY] }),
      rules: ['row-lost'],
      named: ['2'],
    },
    'the row is on two shards': {
      contents: changed({ rows: [rowX, row('b', 'X', 2, '2'), rowY] }),
      rules: ['row-duplicated'],
      named: [],
    },
    'the row is on the wrong shard': {
      contents: changed({ rows: [row('b', 'X', 2, '2'), rowY] }),
      rules: ['row-misplaced'],
      named: [],
    },
    'the row is older than the newest write': {
      contents: changed({ rows: [row('A', 'X', 1, '1'), rowY] }),
      rules: ['row-outdated', 'write-half-present'],
      named: ['1', '2'],
    },
    'the row holds what nobody wrote': {
      contents: changed({ rows: [row('A', 'X', 2, 'nobody'), rowY] }),
      rules: ['row-unexplained'],
      named: [],
    },
    'the row holds a value of another key': {
      contents: changed({ rows: [row('A', 'X', 2, '3'), rowY] }),
      rules: ['row-unexplained'],
      named: ['3'],
    },
    'the row holds a value with another version': {
      contents: changed({ rows: [row('A', 'X', 3, '2'), rowY] }),
      rules: ['row-unexplained', 'write-half-present'],
      named: ['2'],
    },
  };
  it.each(Object.keys(bad))('%s', (name) => {
    const { contents, rules, named } = bad[name] as (typeof bad)[string];
    const verdict = judge(contents);
    expect(verdict.valid).toBe(false);
    expect(rulesOf(verdict)).toEqual(rules);
    expect([...(verdict.violations[0]?.operations ?? [])].sort()).toEqual(named);
  });

  it('a row that was loaded before the run is gone, or changed by nobody', () => {
    const preloaded = [{ key: 'y', version: 7, value: 'old' }];
    const empty: Case = { operations: [], ledger: [], rows: [] };
    expect(rulesOf(judge(empty, { preloaded }))).toEqual(['row-lost']);
    const other = { ...empty, rows: [{ shard: 'b', key: 'y', version: 7, value: 'new' }] };
    expect(rulesOf(judge(other, { preloaded }))).toEqual(['row-unexplained']);
    const renumbered = { ...empty, rows: [{ shard: 'b', key: 'y', version: 8, value: 'old' }] };
    expect(rulesOf(judge(renumbered, { preloaded }))).toEqual([
      'row-unexplained',
      'write-half-present',
    ]);
    const rewound = {
      operations: [write('1', 'y', 8)],
      ledger: [entry('b', '1', 'y')],
      rows: [{ shard: 'b', key: 'y', version: 7, value: 'old' }],
    };
    expect(rulesOf(judge(rewound, { preloaded }))).toEqual(['row-outdated', 'write-half-present']);
  });

  it('says where a failed write is, and which row of a write', () => {
    const failed = changed({
      ledger: [...good.ledger, entry('b', '5', 'y'), entry('A', '5', 'y')],
    });
    expect(judge(failed).violations[0]?.message).toBe(
      'key y: op 5 (update, fail) had certainly failed, but is on b, A',
    );
    const ledger = [entry('b', '1', 'X', 'bet'), entry('A', '1', 'X', 'balance')];
    const misplaced = { operations: inParts, ledger, rows: [row('A', 'X', 1, '1')] };
    expect(judge(misplaced).violations[0]?.message).toBe(
      'key X: op 1 (update), row bet, is on b, but A owns the key',
    );
  });

  it('names no more than twenty writes of a key', () => {
    const ops = Array.from({ length: 30 }, (_, index) => `${index + 1}`);
    const verdict = judge({
      operations: ops.map((op, index) => write(op, 'X', index + 1)),
      ledger: ops.map((op) => entry('A', op, 'X')),
      rows: [{ shard: 'A', key: 'X', version: 31, value: 'v.30' }],
    });
    expect(verdict.violations.at(-1)?.operations).toEqual(ops.slice(-20));
  });

  it('says where the copies are', () => {
    const ledger = [one, two, entry('b', '2', 'X'), three];
    expect(judge(changed({ ledger })).violations[0]?.message).toBe(
      'key X: op 2 (update) is there 2 times, on A, b',
    );
  });
});

it('refuses writes without key, value or version, and values that are not unique', () => {
  const judgeWrite = (...operations: Operation[]) => judge({ operations, ledger: [], rows: [] });
  expect(() => judgeWrite(sample('1', 'update', [0, 1], { value: 'v', version: 1 }))).toThrow(
    /no key/,
  );
  expect(() => judgeWrite(sample('1', 'update', [0, 1], { key: 'X', version: 1 }))).toThrow(
    /no value/,
  );
  expect(() => judgeWrite(write('1', 'X', 1), write('2', 'X', undefined))).toThrow(/no version/);
  expect(() => judgeWrite(write('1', 'X', 1), write('2', 'y', 1, { value: 'v.1' }))).toThrow(
    /unique/,
  );
});

/** What shards hold after a run of random writes, some unknown, some failed. */
function goodContents(dice: Dice): Case {
  const operations: Operation[] = [];
  const ledger: LedgerRow[] = [];
  const last = new Map<string, FinalRow>();
  for (let index = 0; index < 4 + dice(12); index += 1) {
    const key = ['X', 'Y', 'z'][dice(3)] as string;
    const outcome = (['ok', 'ok', 'ok', 'info', 'fail'] as const)[dice(5)] ?? 'ok';
    const isDone = outcome === 'ok' || (outcome === 'info' && dice(2) === 0);
    const version = (last.get(key)?.version ?? 0) + 1;
    operations.push(write(`${index}`, key, outcome === 'ok' ? version : undefined, { outcome }));
    if (!isDone) continue;
    ledger.push(entry(owner(key), `${index}`, key));
    last.set(key, row(owner(key), key, version, `${index}`));
  }
  return { operations, ledger, rows: [...last.values()] };
}

describe('good contents are accepted, and rejected when', () => {
  const pick = <T>(list: readonly T[], dice: Dice) => dice(list.length);
  const mutations: Record<string, (contents: Case, dice: Dice) => Case | undefined> = {
    'a ledger row is doubled': (contents, dice) => {
      const doubled = contents.ledger[pick(contents.ledger, dice)];
      return doubled && { ...contents, ledger: [...contents.ledger, doubled] };
    },
    'a ledger row is dropped': (contents, dice) =>
      contents.ledger.length === 0
        ? undefined
        : { ...contents, ledger: contents.ledger.toSpliced(pick(contents.ledger, dice), 1) },
    'a ledger row is on the other shard': (contents, dice) => {
      const index = pick(contents.ledger, dice);
      const moved = contents.ledger[index];
      if (!moved) return undefined;
      const shard = moved.shard === 'A' ? 'b' : 'A';
      return { ...contents, ledger: contents.ledger.with(index, { ...moved, shard }) };
    },
    'a data row is dropped': (contents, dice) => {
      const index = pick(contents.rows, dice);
      const dropped = contents.rows[index];
      // A key that only unknown writes touched need not be there.
      const isPromised = contents.operations.some(
        (operation) => operation.key === dropped?.key && operation.outcome === 'ok',
      );
      return isPromised ? { ...contents, rows: contents.rows.toSpliced(index, 1) } : undefined;
    },
    'a data row is rewound by one write': (contents, dice) => {
      const index = pick(contents.rows, dice);
      const found = contents.rows[index];
      if (!found) return undefined;
      const before = contents.ledger.filter((each) => each.key === found.key).at(-2);
      if (!before) return undefined;
      const rewound = row(found.shard, found.key, found.version - 1, before.op);
      return { ...contents, rows: contents.rows.with(index, rewound) };
    },
    'a recorded success is dropped': (contents, dice) => {
      const done = contents.operations.filter((operation) => operation.outcome === 'ok');
      const dropped = done[pick(done, dice)];
      if (!dropped) return undefined;
      const operations = contents.operations.filter((operation) => operation !== dropped);
      return { ...contents, operations };
    },
  };
  it.each(Object.keys(mutations))('%s', (name) => {
    const mutate = mutations[name] as (typeof mutations)[string];
    let mutants = 0;
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 2 ** 31 }), (seed) => {
        const dice = diceOf(seed);
        const contents = goodContents(dice);
        expect(judge(contents).violations).toEqual([]);
        const mutant = mutate(contents, dice);
        if (!mutant) return;
        mutants += 1;
        expect(judge(mutant).valid).toBe(false);
      }),
      { numRuns: 300 },
    );
    expect(mutants).toBeGreaterThan(100);
  });
});
