import { expect, test } from 'vitest';
import { cutByBytes } from './cut-by-bytes.js';

const TEN = Array.from({ length: 10 }, (_, slot) => slot);

test('what fits into one move is one move', () => {
  expect(cutByBytes(TEN, () => 100, 1000)).toEqual([TEN]);
  expect(cutByBytes(TEN, () => 0, 1)).toEqual([TEN]);
  expect(cutByBytes([], () => 1, 1)).toEqual([]);
});

test('what does not is cut between slots, in their order, and no part has more than is allowed', () => {
  expect(cutByBytes(TEN, () => 100, 350)).toEqual([[0, 1, 2], [3, 4, 5], [6, 7, 8], [9]]);
});

test('a slot that is larger by itself stays whole, alone', () => {
  expect(cutByBytes([1, 2, 3, 4], (slot) => (slot === 2 ? 5000 : 10), 1000)).toEqual([
    [1],
    [2],
    [3, 4],
  ]);
});
