import { describe, expect, test } from 'vitest';
import type { Row } from '../scenario.js';
import { findRegressions } from './regressions.js';

const row = (ratio: number, relation: 'at most' | 'at least', ratioSpread = 0.01): Row => ({
  suite: 'cache',
  name: 'l1-get',
  peer: 'lru-cache',
  unit: 'ns',
  ours: 1,
  theirs: 1,
  ratio,
  ratioSpread,
  target: { relation, ratio: 2 },
  met: true,
});

describe('findRegressions', () => {
  test('a cost that rose beyond the noise is a regression, one that fell is not', () => {
    expect(findRegressions([row(1, 'at most')], [row(1.5, 'at most')])).toMatchObject([
      { name: 'cache/l1-get vs lru-cache', before: 1, after: 1.5, worseBy: 0.5 },
    ]);
    expect(findRegressions([row(1.5, 'at most')], [row(1, 'at most')])).toEqual([]);
  });

  test('for a gain it is the other way round', () => {
    expect(findRegressions([row(3, 'at least')], [row(2, 'at least')])).toHaveLength(1);
    expect(findRegressions([row(2, 'at least')], [row(3, 'at least')])).toEqual([]);
  });

  test('what is within the noise of either run is none', () => {
    expect(findRegressions([row(1, 'at most')], [row(1.04, 'at most')])).toEqual([]);
    expect(findRegressions([row(1, 'at most', 0.1)], [row(1.15, 'at most', 0.1)])).toEqual([]);
  });

  test('rows without a counterpart say nothing', () => {
    expect(findRegressions([], [row(9, 'at most')])).toEqual([]);
  });
});
