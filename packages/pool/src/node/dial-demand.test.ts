import { describe, expect, test } from 'vitest';
import { decideDials } from './dial-demand.js';

const calm = {
  dialing: 0,
  live: 0,
  max: 10,
  holdMs: undefined,
  dialMs: undefined,
  headWaitMs: 0,
  crowdedMs: 0,
};

describe('decideDials', () => {
  test('dials for each waiter while nothing is known, up to max', () => {
    expect(decideDials({ ...calm, waiting: 3 })).toEqual({ dials: 3 });
    expect(decideDials({ ...calm, waiting: 30 })).toEqual({ dials: 10 });
    expect(decideDials({ ...calm, waiting: 30, live: 4, dialing: 5 })).toEqual({ dials: 1 });
  });

  test('does not dial twice for one waiter', () => {
    expect(decideDials({ ...calm, waiting: 3, dialing: 3 })).toEqual({ dials: 0 });
    expect(decideDials({ ...calm, waiting: 0 })).toEqual({ dials: 0 });
  });

  test('holds back while the queue will be empty before a dial could end', () => {
    const spike = { ...calm, waiting: 45, live: 5, max: 50, holdMs: 2, dialMs: 150 };
    const { dials, recheckMs } = decideDials(spike);
    expect(dials).toBe(0);
    expect(recheckMs).toBeGreaterThan(0);
  });

  test('dials for those alone whom the connections at hand cannot serve in time', () => {
    const { dials, recheckMs } = decideDials({
      ...calm,
      waiting: 45,
      live: 5,
      max: 50,
      holdMs: 4,
      dialMs: 16,
    });
    expect(dials).toBe(35);
    expect(recheckMs).toBeGreaterThan(0);
  });

  test('dials after all when the estimate proves wrong', () => {
    const stuck = {
      ...calm,
      waiting: 45,
      live: 5,
      max: 50,
      holdMs: 2,
      dialMs: 150,
      headWaitMs: 60,
    };
    expect(decideDials(stuck)).toEqual({ dials: 45 });
  });

  test('dials for a line that is always about to clear and has not for as long as a dial takes', () => {
    const steady = { ...calm, waiting: 8, live: 8, max: 50, holdMs: 12, dialMs: 60 };
    expect(decideDials({ ...steady, crowdedMs: 59 }).dials).toBe(0);
    expect(decideDials({ ...steady, crowdedMs: 60 })).toEqual({ dials: 8 });
    expect(decideDials({ ...steady, crowdedMs: 60, dialing: 8 })).toEqual({ dials: 0 });
  });

  test('dials at once where statements take longer than dials', () => {
    const slow = { ...calm, waiting: 4, live: 5, max: 50, holdMs: 500, dialMs: 20 };
    expect(decideDials(slow)).toEqual({ dials: 4 });
  });
});
