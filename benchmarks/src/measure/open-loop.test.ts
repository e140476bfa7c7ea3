import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { seededRandom } from '../workload/random.js';
import { percentileMs } from './latency.js';
import { openLoop } from './open-loop.js';

const signal = new AbortController().signal;

test('a stall is felt by every call that was due meanwhile, not by one alone', async () => {
  let calls = 0;
  const stallOnce = async () => {
    calls += 1;
    if (calls !== 50) return;
    const until = performance.now() + 300;
    while (performance.now() < until);
  };
  const { latencies, done } = await openLoop(stallOnce, {
    perSecond: 500,
    durationMs: 1000,
    random: seededRandom(3),
    signal,
  });
  expect(done).toBe(calls);
  // Some 150 of 500 calls were due in those 300 ms: a closed loop would have seen one slow call.
  expect(percentileMs(latencies, 90)).toBeGreaterThan(50);
});

test('calls do not wait for each other, and failures are kept apart', async () => {
  let inFlight = 0;
  let most = 0;
  let calls = 0;
  const work = async () => {
    calls += 1;
    inFlight += 1;
    most = Math.max(most, inFlight);
    await sleep(100);
    inFlight -= 1;
    if (calls % 2 === 0) throw new Error('even');
  };
  const { done, failures } = await openLoop(work, {
    perSecond: 200,
    durationMs: 500,
    random: seededRandom(4),
    signal,
  });
  expect(most).toBeGreaterThan(5);
  expect(done + failures.length).toBe(calls);
});
