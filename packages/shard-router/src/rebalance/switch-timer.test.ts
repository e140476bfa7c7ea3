import { describe, expect, test } from 'vitest';
import { SwitchTimer } from './switch-timer.js';

function timer() {
  let nowMs = 1000;
  const switchTimer = new SwitchTimer({ monotonicMs: () => nowMs });
  return {
    switchTimer,
    pass: (ms: number) => {
      nowMs += ms;
    },
  };
}

describe('the times of a switch', () => {
  test('count from the first hold, also for a mover that finds callers held', () => {
    const { switchTimer, pass } = timer();
    expect(switchTimer.heldMs()).toBeUndefined();
    switchTimer.hold();
    pass(30);
    switchTimer.hold();
    pass(10);
    expect(switchTimer.heldMs()).toBe(40);
    expect(switchTimer.release()).toBe(40);
    expect(switchTimer.heldMs()).toBeUndefined();
    expect(switchTimer.release()).toBe(0);
  });

  test('let longer and longer pass before a switch that was withdrawn is tried again, a minute at most', () => {
    const { switchTimer, pass } = timer();
    expect(switchTimer.isTooEarly()).toBe(false);
    expect(Array.from({ length: 8 }, () => switchTimer.withdraw())).toEqual([
      1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000,
    ]);
    pass(59_999);
    expect(switchTimer.isTooEarly()).toBe(true);
    pass(1);
    expect(switchTimer.isTooEarly()).toBe(false);
  });
});
