import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { BoundedQueue } from './bounded-queue.js';
import { ManualClock } from './clock.js';

function setUp(limit = 3) {
  const clock = new ManualClock();
  return { clock, queue: new BoundedQueue<number>({ limit, doing: 'Waiting for a ball', clock }) };
}

describe('BoundedQueue', () => {
  test('hands values to waiters in order of arrival', async () => {
    const { queue } = setUp();
    const waits = [1, 2, 3].map(() => queue.wait({ timeoutMs: 1000 }));
    for (const value of [10, 20, 30]) expect(queue.hand(value)).toBe(true);
    expect(await Promise.all(waits)).toEqual([10, 20, 30]);
    expect(queue.hand(40)).toBe(false);
  });

  test('refuses whoever comes when it is full, at once and by name', async () => {
    const { queue } = setUp(1);
    const first = queue.wait({ timeoutMs: 1000 });
    await expect(queue.wait({ timeoutMs: 1000 })).rejects.toMatchObject({
      code: 'QUEUE_FULL',
      details: { size: 1, limit: 1 },
    });
    queue.hand(1);
    await first;
  });

  test('a waiter whose time is up leaves from the middle, the others keep their order', async () => {
    const { queue, clock } = setUp();
    const first = queue.wait({ timeoutMs: 1000 });
    const middle = expect(queue.wait({ timeoutMs: 10 })).rejects.toMatchObject({
      code: 'DEADLINE_EXCEEDED',
    });
    const last = queue.wait({ timeoutMs: 1000 });
    await clock.advance(10);
    await middle;
    expect(queue.size).toBe(2);
    queue.hand(1);
    queue.hand(2);
    expect([await first, await last]).toEqual([1, 2]);
    expect(clock.pending).toBe(0);
  });

  test('a waiter that gave up is not handed anything: the value goes to the next', async () => {
    const { queue } = setUp();
    const controller = new AbortController();
    const gone = expect(
      queue.wait({ timeoutMs: 1000, signal: controller.signal }),
    ).rejects.toMatchObject({ code: 'ABORTED' });
    const next = queue.wait({ timeoutMs: 1000 });
    controller.abort();
    queue.hand(5);
    await gone;
    expect(await next).toBe(5);
  });

  test('the owner may tell more than the time when a wait runs out', async () => {
    const { queue, clock } = setUp();
    const onTimeout = () => new Error('total 10, idle 0');
    const wait = expect(queue.wait({ timeoutMs: 5, onTimeout })).rejects.toThrow(
      'total 10, idle 0',
    );
    await clock.advance(5);
    await wait;
  });

  test('rejectAll leaves nobody waiting and no timer', async () => {
    const { queue, clock } = setUp();
    const waits = [1, 2].map(() => queue.wait({ timeoutMs: 1000 }));
    queue.rejectAll(new Error('closed'));
    for (const wait of waits) await expect(wait).rejects.toThrow('closed');
    expect([queue.size, clock.pending]).toEqual([0, 0]);
  });

  test('whatever comes in whatever order, each waiter is settled once and order holds', async () => {
    const step = fc.oneof(
      fc.constant({ kind: 'wait' as const }),
      fc.constant({ kind: 'hand' as const }),
      fc.record({ kind: fc.constant('abort' as const), which: fc.nat(20) }),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
        const { queue } = setUp(1000);
        const expected: (number | 'aborted')[] = [];
        const waiting: { index: number; controller: AbortController }[] = [];
        const outcomes: Promise<number | 'aborted'>[] = [];
        let value = 0;
        for (const action of steps) {
          if (action.kind === 'wait') {
            const controller = new AbortController();
            const wait = queue.wait({ timeoutMs: 1e6, signal: controller.signal });
            waiting.push({ index: outcomes.length, controller });
            outcomes.push(wait.catch(() => 'aborted' as const));
          } else if (action.kind === 'hand') {
            const first = waiting.shift();
            expect(queue.hand(value)).toBe(first !== undefined);
            if (first !== undefined) expected[first.index] = value;
            value += 1;
          } else if (waiting.length > 0) {
            const [gone] = waiting.splice(action.which % waiting.length, 1);
            gone?.controller.abort();
            expected[gone?.index ?? -1] = 'aborted';
          }
          expect(queue.size).toBe(waiting.length);
        }
        queue.rejectAll(new Error('end'));
        for (const { index } of waiting) expected[index] = 'aborted';
        expect(await Promise.all(outcomes)).toEqual(expected);
      }),
    );
  });
});
