import { expect, test } from 'vitest';
import { nextChunk, smallestChunk } from './verify-chunk.js';

test('the first chunk is a sixteenth of the slots, and one slot at least', () => {
  expect([1, 16, 17, 2048].map(smallestChunk)).toEqual([1, 1, 2, 128]);
});

test('small tables are compared in two passes, however many slots move', () => {
  expect(nextChunk(2048, { slots: 128, slowestMs: 10 })).toBe(2048);
  expect(nextChunk(2048, { slots: 128, slowestMs: 0 })).toBe(2048);
});

test('a chunk grows to what is expected to take two seconds, and falls again when it took longer', () => {
  expect(nextChunk(2048, { slots: 128, slowestMs: 500 })).toBe(512);
  expect(nextChunk(2048, { slots: 512, slowestMs: 4000 })).toBe(256);
});

test('tables that take long by themselves are read no more often than sixteen times', () => {
  expect(nextChunk(2048, { slots: 128, slowestMs: 600_000 })).toBe(128);
});
