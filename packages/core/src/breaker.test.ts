import { describe, expect, test } from 'vitest';
import { Breaker, type BreakerState } from './breaker.js';
import { ManualClock } from './clock.js';

function setUp(options = {}) {
  const clock = new ManualClock();
  const transitions: [BreakerState, BreakerState][] = [];
  const breaker = new Breaker({
    clock,
    onTransition: (from, to) => transitions.push([from, to]),
    ...options,
  });
  const fail = (times: number) => {
    for (let i = 0; i < times; i += 1) if (breaker.tryPass()) breaker.failed();
  };
  return { clock, breaker, transitions, fail };
}

describe('Breaker', () => {
  test('opens after a run of failures, and a success in between starts the run anew', () => {
    const { breaker, fail } = setUp();
    fail(4);
    breaker.succeeded();
    fail(4);
    expect(breaker.state).toBe('closed');
    fail(1);
    expect(breaker.state).toBe('open');
    expect(breaker.tryPass()).toBe(false);
  });

  test('opens on a share of failures that never come in a row', () => {
    const { breaker } = setUp({ minimumCalls: 20, failureRatio: 0.5 });
    for (let i = 0; i < 10; i += 1) {
      breaker.succeeded();
      breaker.failed();
    }
    expect(breaker.state).toBe('open');
  });

  test('failures that have left the window no longer count', async () => {
    const { breaker, clock } = setUp({ minimumCalls: 20, windowMs: 10_000 });
    for (let i = 0; i < 9; i += 1) {
      breaker.failed();
      breaker.succeeded();
    }
    await clock.advance(11_000);
    breaker.failed();
    expect(breaker.state).toBe('closed');
  });

  test('lets exactly one probe through once the pause is over', async () => {
    const { breaker, clock, fail } = setUp();
    fail(5);
    await clock.advance(999);
    expect(breaker.tryPass()).toBe(false);
    await clock.advance(1);
    expect(breaker.tryPass()).toBe(true);
    expect(breaker.tryPass()).toBe(false);
    breaker.succeeded();
    expect(breaker.state).toBe('closed');
    expect(breaker.tryPass()).toBe(true);
  });

  test('each failed probe doubles the pause up to the longest', async () => {
    const { breaker, clock, fail } = setUp({ openMs: 1000, maxOpenMs: 3000 });
    fail(5);
    for (const pauseMs of [1000, 2000, 3000, 3000]) {
      expect(breaker.retryAfterMs).toBe(pauseMs);
      await clock.advance(pauseMs);
      expect(breaker.tryPass()).toBe(true);
      breaker.failed();
    }
  });

  test('a probe that never reports is replaced, so that the circuit cannot stay open for ever', async () => {
    const { breaker, clock, fail } = setUp({ probeTimeoutMs: 5000 });
    fail(5);
    await clock.advance(1000);
    expect(breaker.tryPass()).toBe(true);
    await clock.advance(5000);
    expect(breaker.tryPass()).toBe(true);
  });

  test('a call that began before the opening does not close it', () => {
    const { breaker, fail } = setUp();
    fail(5);
    breaker.succeeded();
    expect(breaker.state).toBe('open');
  });

  test('tells of each change of state once', async () => {
    const { breaker, clock, transitions, fail } = setUp();
    fail(7);
    await clock.advance(1000);
    breaker.tryPass();
    breaker.succeeded();
    expect(transitions).toEqual([
      ['closed', 'open'],
      ['open', 'half-open'],
      ['half-open', 'closed'],
    ]);
  });
});
