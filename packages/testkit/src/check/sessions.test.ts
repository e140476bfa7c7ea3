import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Operation } from './operation.js';
import { type Dice, diceOf, historyOf, rulesOf, sample } from './sample-history.js';
import { checkSessions } from './sessions.js';

type Times = readonly [number, number | null];
type Tokens = readonly [tokenIn: string | readonly string[] | undefined, tokenOut?: string];

const operation = (
  op: string,
  kind: 'update' | 'session-read' | 'cache-read',
  times: Times,
  [tokenIn, tokenOut]: Tokens,
  version: number | undefined,
  fields = {},
) => sample(op, kind, times, { key: 'k', version, tokenIn, tokenOut, ...fields });
const write = (
  op: string,
  times: Times,
  tokens: Tokens,
  version: number | undefined,
  fields = {},
) => operation(op, 'update', times, tokens, version, fields);
const read = (op: string, times: Times, tokens: Tokens, version: number | undefined, fields = {}) =>
  operation(op, 'session-read', times, tokens, version, fields);
const judge = (...operations: Operation[]) => checkSessions(historyOf(operations));

describe('sessions are accepted when', () => {
  it('reads see their own writes and never go back', () => {
    const verdict = judge(
      write('w', [0, 1], [undefined, 't1'], 4),
      read('r1', [2, 3], ['t1', 't2'], 4),
      read('r2', [4, 5], ['t2', 't3'], 6),
      read('r3', [6, 7], ['t3'], 6),
    );
    expect(verdict).toMatchObject({
      valid: true,
      counted: { operations: 4, observations: 4, judged: 3, tokens: 3, strangeTokens: 0 },
    });
  });

  it('a read without the token of a write is older than it', () => {
    expect(
      judge(write('w', [0, 1], [undefined, 't1'], 4), read('r', [2, 3], [undefined, 't2'], 1))
        .valid,
    ).toBe(true);
  });

  it('forks of a session see different things', () => {
    expect(
      judge(
        write('w', [0, 1], [undefined, 't1'], 4),
        read('r1', [2, 3], ['t1', 'a'], 9),
        read('r2', [4, 5], ['t1', 'b'], 4),
        read('r3', [6, 7], ['b'], 5),
      ).valid,
    ).toBe(true);
  });

  it('an unknown write of the session is not seen', () => {
    expect(
      judge(
        write('w1', [0, 1], [undefined, 't1'], 4),
        write('w2', [2, 3], ['t1', 't2'], 5, { outcome: 'info' }),
        read('r', [4, 5], ['t1'], 4),
      ).valid,
    ).toBe(true);
  });

  it('a token is strange: nothing is known of it, and that is counted', () => {
    const verdict = judge(read('r', [0, 1], ['forged'], 1));
    expect(verdict).toMatchObject({ valid: true, counted: { strangeTokens: 1, judged: 0 } });
  });

  it('a failed read claims nothing', () => {
    expect(
      judge(
        write('w', [0, 1], [undefined, 't1'], 4),
        read('r', [2, 3], ['t1'], undefined, { outcome: 'fail' }),
      ).valid,
    ).toBe(true);
  });

  it('an equal token is handed out later with a higher floor, after this read began', () => {
    expect(
      judge(
        write('w1', [0, 1], [undefined, 't'], 4),
        read('r', [2, 9], ['t'], 4),
        read('r2', [3, 4], [undefined, 't'], 7),
      ).valid,
    ).toBe(true);
  });

  it('a token of an operation that failed or is unknown stands for nothing', () => {
    const verdict = judge(
      write('w1', [0, 1], [undefined, 't1'], 4, { outcome: 'info' }),
      write('w2', [0, 1], [undefined, 't2'], 4, { outcome: 'fail' }),
      read('r1', [2, 3], ['t1'], 3),
      read('r2', [2, 3], ['t2'], 3),
    );
    expect(verdict).toMatchObject({
      valid: true,
      counted: { operations: 2, observations: 2, strangeTokens: 2, tokens: 0 },
    });
  });

  it('operations are in the session that show no version', () => {
    const verdict = judge(
      write('w', [0, 1], [undefined, 't1'], 4),
      sample('i', 'invalidate', [2, 3], { key: 'k', tokenIn: 't1', tokenOut: 't2' }),
      sample('s', 'scatter', [2, 3], { tokenIn: 't1', tokenOut: 't2', rows: [{ key: 'k' }] }),
      sample('c', 'call', [2, 3], { tokenIn: 't1' }),
      sample('r', 'read', [2, 3], { key: 'k', value: 'x' }),
      read('q', [4, 5], ['t2'], 4),
    );
    expect(verdict).toMatchObject({
      valid: true,
      counted: { operations: 5, observations: 2, judged: 1, tokens: 2 },
    });
  });

  it('other keys are at other versions', () => {
    expect(
      judge(
        write('w', [0, 1], [undefined, 't1'], 4),
        read('r', [2, 3], ['t1'], 1, { key: 'other' }),
      ).valid,
    ).toBe(true);
  });
});

describe('sessions are rejected when', () => {
  const bad: Record<string, { operations: Operation[]; rule: string; op: string; by: string }> = {
    'a read misses its own write': {
      operations: [write('w', [0, 1], [undefined, 't1'], 4), read('r', [2, 3], ['t1'], 3)],
      rule: 'session-went-back',
      op: 'r',
      by: 'w',
    },
    'a read finds nothing where the session had written': {
      operations: [
        write('w', [0, 1], [undefined, 't1'], 4),
        read('r', [2, 3], ['t1'], undefined, { value: null }),
      ],
      rule: 'session-went-back',
      op: 'r',
      by: 'w',
    },
    'a read goes back behind an earlier read': {
      operations: [read('r1', [0, 1], [undefined, 't1'], 7), read('r2', [2, 3], ['t1', 't2'], 6)],
      rule: 'session-went-back',
      op: 'r2',
      by: 'r1',
    },
    'a floor is forgotten over operations on other keys': {
      operations: [
        write('w', [0, 1], [undefined, 't1'], 4),
        read('r1', [2, 3], ['t1', 't2'], 9, { key: 'other' }),
        read('r2', [4, 5], ['t2', 't3'], 9, { key: 'third' }),
        read('r3', [6, 7], ['t3'], 3),
      ],
      rule: 'session-went-back',
      op: 'r3',
      by: 'w',
    },
    'one side of a merge is forgotten': {
      operations: [
        write('w1', [0, 1], [undefined, 'a'], 4),
        write('w2', [0, 1], [undefined, 'b'], 8, { key: 'other' }),
        read('r1', [2, 3], [['a', 'b'], 'c'], 4),
        read('r2', [4, 5], ['c'], 7, { key: 'other' }),
      ],
      rule: 'session-went-back',
      op: 'r2',
      by: 'w2',
    },
    'an old token is below its floor, although a newer one exists': {
      operations: [
        write('w1', [0, 1], [undefined, 't1'], 4),
        write('w2', [2, 3], ['t1', 't2'], 5),
        read('r', [4, 5], ['t1'], 3),
      ],
      rule: 'session-went-back',
      op: 'r',
      by: 'w1',
    },
    'an equal token of another process is below the floor of both': {
      operations: [
        write('w1', [0, 1], [undefined, 't'], 4),
        write('w2', [0, 1], [undefined, 't'], 9, { key: 'other' }),
        read('r', [2, 3], ['t'], 8, { key: 'other' }),
      ],
      rule: 'session-went-back',
      op: 'r',
      by: 'w2',
    },
    'a cache answers with an entry from before the session': {
      operations: [
        write('w', [0, 1], [undefined, 't1'], 4),
        operation('c', 'cache-read', [2, 3], ['t1'], 3),
      ],
      rule: 'session-went-back',
      op: 'c',
      by: 'w',
    },
    'one row of a fan-out is too old': {
      operations: [
        write('w', [0, 1], [undefined, 't1'], 4),
        sample('s', 'scatter', [2, 3], {
          tokenIn: 't1',
          rows: [
            { key: 'k', version: 3 },
            { key: 'other', version: 1 },
          ],
        }),
      ],
      rule: 'session-went-back',
      op: 's',
      by: 'w',
    },
    'a write goes to a server that is behind': {
      operations: [write('w1', [0, 1], [undefined, 't1'], 4), write('w2', [2, 3], ['t1', 't2'], 4)],
      rule: 'write-below-floor',
      op: 'w2',
      by: 'w1',
    },
  };
  it.each(Object.keys(bad))('%s', (name) => {
    const { operations, rule, op, by } = bad[name] as (typeof bad)[string];
    const verdict = judge(...operations);
    expect(verdict.valid).toBe(false);
    expect(rulesOf(verdict)).toEqual([rule]);
    expect(verdict.violations).toHaveLength(1);
    expect(verdict.violations[0]?.operations).toEqual([op]);
    expect(verdict.violations[0]?.message).toContain(`seen by op ${by}`);
  });

  it('the operations are listed in any order', () => {
    const read4 = read('r', [2, 3], ['t1'], 3);
    const verdict = judge(read4, write('w', [0, 1], [undefined, 't1'], 4));
    expect(rulesOf(verdict)).toEqual(['session-went-back']);
    const touching = judge(read('r', [1, 2], ['t1'], 3), write('w', [0, 1], [undefined, 't1'], 4));
    expect(rulesOf(touching)).toEqual(['session-went-back']);
  });

  it('a read of the primary goes back', () => {
    const verdict = judge(
      write('w', [0, 1], [undefined, 't1'], 4),
      sample('r', 'read', [2, 3], { key: 'k', value: 'x', version: 3, tokenIn: 't1' }),
    );
    expect(rulesOf(verdict)).toEqual(['session-went-back']);
  });

  it('the token comes back at the very nanosecond in which it is presented', () => {
    expect(
      judge(write('w', [0, 1], [undefined, 't1'], 4), read('r', [1, 1], ['t1', 't2'], 3)).valid,
    ).toBe(false);
  });
});

it('refuses a read or write of a session without a version', () => {
  expect(() => judge(read('r', [0, 1], ['t'], undefined))).toThrow(/r .*has no version/);
  expect(() => judge(write('w', [0, 1], [undefined, 't'], undefined))).toThrow(
    /w .*has no version/,
  );
});

/** Sessions that fork and merge over one row each; versions only rise, and reads see the newest. */
function goodSessions(dice: Dice): Operation[] {
  const versions = [0, 0, 0];
  const tokens: string[] = [];
  const operations: Operation[] = [];
  for (let index = 0; index < 20; index += 1) {
    const key = dice(3);
    const presented = [0, 1].slice(dice(3)).map(() => tokens[dice(tokens.length)]);
    const tokenIn = presented.filter((token) => token !== undefined);
    const times: Times = [index * 10, index * 10 + 5];
    const isWrite = dice(2) === 0 || (versions[key] as number) === 0;
    if (isWrite) versions[key] = (versions[key] as number) + 1;
    const tokenOut = `t${index}`;
    tokens.push(tokenOut);
    const kind = isWrite ? 'update' : 'session-read';
    operations.push(
      operation(`o${index}`, kind, times, [tokenIn, tokenOut], versions[key], { key: `k${key}` }),
    );
  }
  return operations;
}

/** The slow truth: walks back through every token to all that it stands for. */
function goesBack(operations: readonly Operation[]): boolean {
  const makers = new Map(operations.map((each) => [each.tokenOut, each]));
  const past = (each: Operation, key: string, seen = new Set<Operation>()): number => {
    let floor = 0;
    for (const token of each.tokenIn ?? []) {
      const maker = makers.get(token);
      if (!maker || seen.has(maker)) continue;
      seen.add(maker);
      floor = Math.max(floor, maker.key === key ? (maker.version ?? 0) : 0, past(maker, key, seen));
    }
    return floor;
  };
  return operations.some((each) => {
    const floor = past(each, each.key as string);
    const version = each.version as number;
    return each.kind === 'update' ? floor > 0 && version <= floor : version < floor;
  });
}

describe('good sessions are accepted, and judged like the slow truth when', () => {
  const mutations: Record<string, (operations: Operation[], dice: Dice) => Operation[]> = {
    'two versions are swapped': (operations, dice) => {
      const [a, b] = [dice(operations.length), dice(operations.length)];
      return operations
        .with(a, { ...(operations[a] as Operation), version: operations[b]?.version })
        .with(b, { ...(operations[b] as Operation), version: operations[a]?.version });
    },
    'a version is one lower': (operations, dice) => {
      const index = dice(operations.length);
      const lowered = operations[index] as Operation;
      const version = Math.max(0, (lowered.version ?? 0) - 1);
      return operations.with(index, { ...lowered, version });
    },
    'a token is presented elsewhere': (operations, dice) => {
      const index = dice(operations.length);
      const tokenIn = [`t${dice(index + 1) - 1}`];
      return operations.with(index, { ...(operations[index] as Operation), tokenIn });
    },
  };
  it.each(Object.keys(mutations))('%s', (name) => {
    const mutate = mutations[name] as (typeof mutations)[string];
    let broken = 0;
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 2 ** 31 }), (seed) => {
        const dice = diceOf(seed);
        const good = goodSessions(dice);
        expect(judge(...good).violations).toEqual([]);
        const mutant = mutate(good, dice);
        const isBad = goesBack(mutant);
        expect(judge(...mutant).valid).toBe(!isBad);
        broken += isBad ? 1 : 0;
      }),
      { numRuns: 1000 },
    );
    if (name !== 'a token is presented elsewhere') expect(broken).toBeGreaterThan(100);
  });
});
