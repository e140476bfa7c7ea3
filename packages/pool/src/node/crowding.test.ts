import { expect, test } from 'vitest';
import { Crowding } from './crowding.js';

test('adds up the time in which somebody waits, and nothing else', () => {
  const crowding = new Crowding();
  expect(crowding.totalMs(5)).toBe(0);
  for (let at = 0; at < 100; at += 10) {
    crowding.set(true, at);
    crowding.set(false, at + 4);
  }
  expect(crowding.totalMs(100)).toBeCloseTo(40, 0);
  crowding.set(true, 100);
  expect(crowding.totalMs(160)).toBeCloseTo(100, 0);
});

test('fades, so that what was a busy hour ago does not count', () => {
  const crowding = new Crowding();
  crowding.set(true, 0);
  crowding.set(false, 500);
  expect(crowding.totalMs(10_500)).toBeCloseTo(500 / Math.E, 0);
  expect(crowding.totalMs(100_000)).toBeLessThan(1);
});

test('counts nothing of the time after those who waited gave up', () => {
  const crowding = new Crowding();
  crowding.set(true, 0);
  crowding.set(true, 60_000);
  expect(crowding.totalMs(60_010)).toBe(10);
});

test('begins anew when there is a connection more, and goes on if somebody waits still', () => {
  const crowding = new Crowding();
  crowding.set(true, 0);
  crowding.forget(70);
  expect(crowding.totalMs(70)).toBe(0);
  expect(crowding.totalMs(90)).toBe(20);
});
