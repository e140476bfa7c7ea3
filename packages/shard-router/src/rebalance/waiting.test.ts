import { expect, test } from 'vitest';
import { lookAgainAfterMs, Waiting } from './waiting.js';

test('a mover asks often while a wait is young, and seldom when it is old', () => {
  expect([0, 400, 1000, 3000, 60_000].map((ms) => lookAgainAfterMs('copy', ms))).toEqual([
    20, 20, 50, 150, 200,
  ]);
});

test('no wait is prolonged by more than a twentieth, beyond the shortest pause', () => {
  for (let waitedMs = 0; waitedMs < 10_000; waitedMs += 37) {
    expect(lookAgainAfterMs('copy', waitedMs)).toBeLessThanOrEqual(
      Math.max(20, waitedMs / 20) + 1e-6,
    );
  }
});

test('while callers are held back it is asked as often as ever', () => {
  expect(lookAgainAfterMs('barrier', 60_000)).toBe(1);
  expect(lookAgainAfterMs('routers', 60_000)).toBe(2);
});

test('a wait is young again when something was done, or something else is waited for', () => {
  const waiting = new Waiting();
  waiting.waits('copy', 0);
  expect(waiting.waits('copy', 2000)).toBe(100);
  expect(waiting.waits('stream', 2000)).toBe(20);
  expect(waiting.waits('stream', 3000)).toBe(50);
  waiting.ends();
  expect(waiting.waits('stream', 9000)).toBe(20);
});
