import { describe, expect, test } from 'vitest';
import { type ExploredModel, explore, formatTrace } from './explorer.js';
import { StateTable } from './state-table.js';

/** A walk on a graph of numbered places; everything about it can be counted by hand. */
function graph(
  edges: Readonly<Record<number, readonly number[]>>,
  more: { ends?: readonly number[]; bad?: readonly number[] } = {},
): ExploredModel<number> {
  return {
    wordsPerState: 1,
    initialStates: [0],
    pack: (state, into) => {
      into[0] = state;
    },
    unpack: (from, start) => from[start] as number,
    successors: (state, visit) => {
      for (const next of edges[state] ?? []) visit(`${state} to ${next}`, next);
    },
    violation: (state) => (more.bad?.includes(state) ? `${state} is bad` : undefined),
    isEnd: (state) => more.ends?.includes(state) ?? false,
  };
}

/** The two jugs of 3 and 5 litres: reaching 4 takes six pourings, no fewer. */
const jugs: ExploredModel<readonly [number, number]> = {
  wordsPerState: 2,
  initialStates: [[0, 0]],
  pack: ([small, large], into) => {
    into[0] = small;
    into[1] = large;
  },
  unpack: (from, start) => [from[start] as number, from[start + 1] as number],
  successors: ([small, large], visit) => {
    visit('fill small', [3, large]);
    visit('fill large', [small, 5]);
    visit('empty small', [0, large]);
    visit('empty large', [small, 0]);
    const toLarge = Math.min(small, 5 - large);
    visit('small into large', [small - toLarge, large + toLarge]);
    const toSmall = Math.min(large, 3 - small);
    visit('large into small', [small + toSmall, large - toSmall]);
  },
  violation: ([, large]) => (large === 4 ? 'there are 4 litres' : undefined),
  isEnd: () => true,
};

describe('explore', () => {
  test('counts states, edges, depth and ends of a graph', async () => {
    const found = await explore(graph({ 0: [1, 2], 1: [3], 2: [3], 3: [0, 4] }, { ends: [4] }));
    expect(found).toMatchObject({ states: 5, edges: 6, depth: 3, ends: 1, isComplete: true });
    expect(found.finding).toBeUndefined();
  });

  test('finds a shortest way to a bad state, however many longer ones there are', async () => {
    const { finding } = await explore(
      graph({ 0: [1, 5], 1: [2], 2: [3], 3: [9], 5: [6], 6: [9] }, { bad: [9] }),
    );
    expect(finding).toMatchObject({ kind: 'violation', reason: '9 is bad' });
    expect(finding?.trace.map(({ state }) => state)).toEqual([0, 5, 6, 9]);
    expect(formatTrace(finding?.trace ?? [])).toBe('  1  0 to 5\n  2  5 to 6\n  3  6 to 9');
  });

  test('solves the jugs in six pourings', async () => {
    const { finding } = await explore(jugs);
    expect(finding?.trace.slice(1).map(({ action }) => action)).toEqual([
      'fill large',
      'large into small',
      'empty small',
      'large into small',
      'fill large',
      'large into small',
    ]);
  });

  test('a bad state at the very beginning is a trace without actions', async () => {
    const { finding } = await explore(graph({}, { bad: [0] }));
    expect(finding?.trace).toEqual([{ action: '', state: 0 }]);
  });

  test('a ring without a way out is stuck, and the first state of it is shown', async () => {
    const { finding } = await explore(graph({ 0: [1, 4], 1: [2], 2: [3], 3: [2] }, { ends: [4] }));
    expect(finding?.kind).toBe('stuck');
    expect(finding?.trace.map(({ state }) => state)).toEqual([0, 1]);
  });

  test('states that only lead to an end through earlier states are not stuck', async () => {
    const back = Object.fromEntries(Array.from({ length: 50 }, (_, at) => [at + 1, [at, at + 2]]));
    const found = await explore(graph({ ...back, 0: [1, 60], 51: [50] }, { ends: [60] }));
    expect(found.finding).toBeUndefined();
    expect(found.states).toBe(53);
  });

  test('a state that is no end and leads nowhere is stuck, unless ends are of no interest', async () => {
    expect((await explore(graph({ 0: [1] }))).finding?.kind).toBe('stuck');
    expect((await explore(graph({ 0: [1] }), { requireEnds: false })).finding).toBeUndefined();
  });

  test('a search that is cut short says so and judges no ends', async () => {
    const line: ExploredModel<number> = {
      ...graph({}),
      successors: (state, visit) => visit('on', state + 1),
    };
    const found = await explore(line, { maxStates: 1000 });
    expect(found.isComplete).toBe(false);
    expect(found.states).toBeGreaterThan(1000);
    expect(found.finding).toBeUndefined();
  });

  test('an aborted search ends with the reason', async () => {
    const stop = new AbortController();
    const endless: ExploredModel<number> = {
      ...graph({}),
      successors: (state, visit) => {
        if (state === 5000) stop.abort(new Error('enough'));
        visit('on', state + 1);
      },
    };
    await expect(explore(endless, { signal: stop.signal })).rejects.toThrow('enough');
  });
});

describe('StateTable', () => {
  test('finds every one of many states again, over all its growth', () => {
    const table = new StateTable(3);
    const pack = (state: number) => Uint32Array.of(state & 7, Math.imul(state, 0x9e3779b1), state);
    for (let state = 0; state < 50_000; state += 1) {
      expect(table.add(pack(state), state - 1)).toBe(state);
    }
    for (let state = 0; state < 50_000; state += 997) {
      expect(table.add(pack(state), 0)).toBe(state);
      expect(table.parentOf(state)).toBe(state - 1);
      expect(table.words.slice(state * 3, state * 3 + 3)).toEqual(pack(state));
    }
    expect(table.size).toBe(50_000);
  });
});
