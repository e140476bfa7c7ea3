import { describe, expect, test } from 'vitest';
import { compare, concurrent, synchronous } from './compare.js';
import { median, quantile, spread } from './statistics.js';

const signal = new AbortController().signal;

describe('statistics', () => {
  test('quantiles fall between values and ignore order', () => {
    expect(median([3, 1, 2])).toBe(2);
    expect(median([4, 1, 2, 3])).toBe(2.5);
    expect(quantile([1, 2, 3, 4, 5], 0.25)).toBe(2);
    expect(spread([1, 2, 3, 4, 5])).toBe(1);
    expect(spread([1, 2, 3, 4, 500])).toBe(1);
    expect(median([])).toBeNaN();
  });
});

describe('compare', () => {
  test('every contender takes as many turns as there are rounds, in an order that rotates', async () => {
    const turns: string[] = [];
    const contender = (name: string) => ({
      name,
      run: async (operations: number) => {
        turns.push(name);
        await new Promise((resolve) => setTimeout(resolve, 2));
        return operations;
      },
    });
    const comparison = await compare([contender('a'), contender('b')], {
      rounds: 4,
      turnMs: 1,
      signal,
    });
    expect(comparison.figures.get('a')?.perRound).toHaveLength(4);
    expect(turns.slice(-8)).toEqual(['a', 'b', 'b', 'a', 'a', 'b', 'b', 'a']);
  });

  test('a ratio is the median of the pairs of each round, not the ratio of the medians', async () => {
    const comparison = await compare([synchronous('one', () => 1), synchronous('two', () => 2)], {
      rounds: 5,
      turnMs: 1,
      signal,
    });
    const one = comparison.figures.get('one')?.perRound ?? [];
    const two = comparison.figures.get('two')?.perRound ?? [];
    const pairs = two.map((value, round) => value / (one[round] as number));
    expect(comparison.ratioOf('two', 'one')).toEqual({
      ratio: median(pairs),
      ratioSpread: spread(pairs),
    });
    expect(comparison.ratioOf('one', 'one')).toEqual({ ratio: 1, ratioSpread: 0 });
  });

  test('one pause while turns are being sized does not make turns of single calls', async () => {
    let turns = 0;
    let operationsOfLast = 0;
    const paused = {
      name: 'paused',
      run: async (operations: number) => {
        turns += 1;
        operationsOfLast = operations;
        if (turns === 1) await new Promise((resolve) => setTimeout(resolve, 20));
        return operations;
      },
    };
    await compare([paused], { rounds: 1, turnMs: 10, signal });
    expect(operationsOfLast).toBeGreaterThan(1000);
  });

  test('a concurrent contender does exactly the operations it says, with that many callers', async () => {
    let calls = 0;
    let inFlight = 0;
    let most = 0;
    const contender = concurrent('calls', 8, async () => {
      calls += 1;
      inFlight += 1;
      most = Math.max(most, inFlight);
      await Promise.resolve();
      inFlight -= 1;
    });
    expect(await contender.run(100)).toBe(100);
    expect([calls, most]).toEqual([100, 8]);
  });

  test('an aborted comparison ends', async () => {
    const controller = new AbortController();
    controller.abort();
    const contender = synchronous('nothing', () => 1);
    await expect(
      compare([contender], { rounds: 1, turnMs: 1, signal: controller.signal }),
    ).rejects.toThrow();
  });
});
