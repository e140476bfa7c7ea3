import { describe, expect, test } from 'vitest';
import { ManualClock, systemClock } from './clock.js';

describe('ManualClock', () => {
  test('makes due calls in order of time, those of one moment in order of scheduling', async () => {
    const clock = new ManualClock();
    const order: string[] = [];
    clock.schedule(20, () => order.push('20'));
    clock.schedule(10, () => order.push('10 first'));
    clock.schedule(10, () => order.push('10 second'));
    await clock.advance(15);
    expect(order).toEqual(['10 first', '10 second']);
    await clock.advance(5);
    expect(order).toEqual(['10 first', '10 second', '20']);
  });

  test('a call scheduled by a call runs in the same advance if it falls due', async () => {
    const clock = new ManualClock();
    const times: number[] = [];
    clock.schedule(5, () => {
      times.push(clock.monotonicMs());
      clock.schedule(5, () => times.push(clock.monotonicMs()));
    });
    await clock.advance(10);
    expect(times).toEqual([5, 10]);
  });

  test('a cancelled call is not made and leaves nothing pending', async () => {
    const clock = new ManualClock();
    const call = clock.schedule(5, () => expect.unreachable());
    call.cancel();
    expect(clock.pending).toBe(0);
    await clock.advance(10);
  });

  test('a step of the wall clock leaves the monotonic reading alone', () => {
    const clock = new ManualClock(1_000_000);
    clock.stepWallClock(-3_600_000);
    expect(clock.now()).toBe(1_000_000 - 3_600_000);
    expect(clock.monotonicMs()).toBe(0);
  });
});

describe('systemClock', () => {
  test('a delay beyond what one timer can hold does not fire at once', async () => {
    let fired = false;
    const call = systemClock.schedule(2 ** 31, () => {
      fired = true;
    });
    await new Promise((resolve) => setTimeout(resolve, 20));
    call.cancel();
    expect(fired).toBe(false);
  });
});
