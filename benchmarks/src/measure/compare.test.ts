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

  test('a contender against itself has the ratio one, and twice the work a ratio of about two', async () => {
    let sink = 0;
    const spin = (times: number) => () => {
      for (let i = 0; i < times; i += 1) sink = (sink * 31 + i) | 0;
      return sink;
    };
    const comparison = await compare(
      [synchronous('once', spin(20_000)), synchronous('twice', spin(40_000))],
      { rounds: 9, turnMs: 4, signal },
    );
    expect(comparison.ratioOf('once', 'once').ratio).toBe(1);
    expect(comparison.ratioOf('twice', 'once').ratio).toBeGreaterThan(1.3);
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
