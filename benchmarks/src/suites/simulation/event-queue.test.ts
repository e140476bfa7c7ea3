import { expect, test } from 'vitest';
import { seededRandom } from '../../workload/random.js';
import { EventQueue } from './event-queue.js';

test('events run in the order of their times, those of one time in the order of their planning', () => {
  const random = seededRandom(11);
  const queue = new EventQueue();
  const planned = Array.from({ length: 2000 }, (_, order) => ({
    atMs: Math.floor(random() * 100),
    order,
  }));
  const seen: typeof planned = [];
  for (const event of planned) {
    queue.after(event.atMs, () => {
      expect(queue.nowMs).toBe(event.atMs);
      seen.push(event);
    });
  }
  queue.runUntil(100);
  expect(seen).toEqual([...planned].sort((a, b) => a.atMs - b.atMs || a.order - b.order));
});

test('what an event plans runs too, and nothing beyond the end', () => {
  const queue = new EventQueue();
  const seen: number[] = [];
  const tick = () => {
    seen.push(queue.nowMs);
    queue.after(10, tick);
  };
  queue.after(10, tick);
  queue.runUntil(35);
  expect(seen).toEqual([10, 20, 30]);
  expect(queue.nowMs).toBe(35);
});
