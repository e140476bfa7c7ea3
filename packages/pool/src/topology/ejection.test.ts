import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Ejection } from './ejection.js';

function fail(ejection: Ejection, name: string, times: number, nowMs: number): void {
  for (let i = 0; i < times; i += 1) ejection.failed(name, nowMs);
}

describe('ejection', () => {
  test('takes out who fails five times in a row, and nobody who succeeds in between', () => {
    const ejection = new Ejection(['a', 'b']);
    fail(ejection, 'a', 4, 0);
    ejection.succeeded('a', 1, 0);
    fail(ejection, 'a', 4, 0);
    expect([...ejection.ejected(0)]).toEqual([]);
    ejection.failed('a', 0);
    expect([...ejection.ejected(0)]).toEqual(['a']);
  });

  test('never takes out the last one', () => {
    const ejection = new Ejection(['a', 'b']);
    fail(ejection, 'a', 5, 0);
    fail(ejection, 'b', 50, 0);
    expect([...ejection.ejected(0)]).toEqual(['a']);
  });

  test('lets one trial through when the pause is over, and goes by its outcome', () => {
    const ejection = new Ejection(['a', 'b'], { pauseMs: 1000 });
    fail(ejection, 'a', 5, 0);
    expect(ejection.ejected(999).has('a')).toBe(true);
    expect(ejection.ejected(1000).has('a')).toBe(false);
    ejection.started('a', 1000);
    expect(ejection.ejected(1000).has('a')).toBe(true);
    ejection.failed('a', 1001);
    expect(ejection.ejected(3000).has('a')).toBe(true);
    expect(ejection.ejected(3001).has('a')).toBe(false);
    ejection.started('a', 3001);
    ejection.succeeded('a', 1, 3002);
    expect(ejection.ejected(3002).has('a')).toBe(false);
    expect(ejection.ejectionsOf('a')).toBe(0);
  });

  test('replaces a trial that nobody reports on', () => {
    const ejection = new Ejection(['a', 'b'], { pauseMs: 1000, trialTimeoutMs: 500 });
    fail(ejection, 'a', 5, 0);
    ejection.started('a', 1000);
    expect(ejection.ejected(1499).has('a')).toBe(true);
    expect(ejection.ejected(1500).has('a')).toBe(false);
  });

  test('takes out who is ten times slower than the others, above a floor', () => {
    const ejection = new Ejection(['a', 'b', 'c']);
    for (let i = 0; i < 100; i += 1) {
      ejection.succeeded('a', 5, i);
      ejection.succeeded('b', 4, i);
      ejection.succeeded('c', 90, i);
    }
    expect([...ejection.ejected(100)]).toEqual([]);
    for (let i = 0; i < 100; i += 1) ejection.succeeded('c', 200, i);
    expect([...ejection.ejected(100)]).toEqual(['c']);
  });

  test('ends the pause of a server that the monitor has reached again', () => {
    const ejection = new Ejection(['a', 'b'], { pauseMs: 30_000 });
    fail(ejection, 'a', 5, 0);
    ejection.recovered('a', 10);
    expect(ejection.ejected(10).has('a')).toBe(false);
  });

  test('leaves somebody in, whatever happens', () => {
    const anyEvent = fc.tuple(
      fc.constantFrom('a', 'b', 'c'),
      fc.constantFrom('failed' as const, 'succeeded' as const, 'started' as const),
      fc.integer({ min: 0, max: 700 }),
    );
    fc.assert(
      fc.property(fc.array(anyEvent, { maxLength: 300 }), (events) => {
        const ejection = new Ejection(['a', 'b', 'c'], { consecutiveFailures: 2 });
        let nowMs = 0;
        for (const [name, event, passedMs] of events) {
          nowMs += passedMs;
          if (event === 'succeeded') ejection.succeeded(name, passedMs, nowMs);
          else ejection[event](name, nowMs);
          expect(ejection.ejected(nowMs).size).toBeLessThan(3);
        }
      }),
    );
  });
});
