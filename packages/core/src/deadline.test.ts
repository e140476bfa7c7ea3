import { getEventListeners } from 'node:events';
import { describe, expect, test } from 'vitest';
import { ManualClock } from './clock.js';
import { answerWithin, sleep, throwIfAborted, withDeadline } from './deadline.js';

const never = () => new Promise<never>(() => {});

describe('withDeadline', () => {
  test('work that listens to nothing is still answered for at the deadline', async () => {
    const clock = new ManualClock();
    const call = withDeadline({ timeoutMs: 100, doing: 'Digging', clock }, never);
    const outcome = expect(call).rejects.toMatchObject({
      code: 'DEADLINE_EXCEEDED',
      retryable: true,
    });
    await clock.advance(100);
    await outcome;
    expect(clock.pending).toBe(0);
  });

  test("the caller's signal ends it at once, with the reason as cause", async () => {
    const controller = new AbortController();
    const reason = new Error('user left');
    const call = withDeadline(
      { timeoutMs: 1000, doing: 'Digging', signal: controller.signal },
      never,
    );
    controller.abort(reason);
    await expect(call).rejects.toMatchObject({ code: 'ABORTED', cause: reason });
  });

  test('a signal that has fired before means that the work is never begun', async () => {
    let begun = false;
    const call = withDeadline(
      { timeoutMs: 1000, doing: 'Digging', signal: AbortSignal.abort() },
      async () => {
        begun = true;
      },
    );
    await expect(call).rejects.toMatchObject({ code: 'ABORTED' });
    expect(begun).toBe(false);
  });

  test('the work is told to stop when its caller is answered', async () => {
    const clock = new ManualClock();
    let stopped: unknown;
    const call = withDeadline({ timeoutMs: 10, doing: 'Digging', clock }, (signal) => {
      signal.addEventListener('abort', () => {
        stopped = signal.reason;
      });
      return never();
    });
    const outcome = expect(call).rejects.toThrow();
    await clock.advance(10);
    await outcome;
    expect(stopped).toMatchObject({ code: 'DEADLINE_EXCEEDED' });
  });

  test('a long-lived signal is left without listeners, whatever way the work ends', async () => {
    const controller = new AbortController();
    const options = { timeoutMs: 1000, doing: 'Digging', signal: controller.signal };
    await withDeadline(options, async () => 'done');
    await withDeadline(options, async () => Promise.reject(new Error('no'))).catch(() => {});
    expect(getEventListeners(controller.signal, 'abort')).toHaveLength(0);
  });

  test('work that is given up between two of its steps ends as one that was waiting does', () => {
    const controller = new AbortController();
    throwIfAborted(controller.signal, 'Digging');
    throwIfAborted(undefined, 'Digging');
    controller.abort('tired');
    expect(() => throwIfAborted(controller.signal, 'Digging')).toThrow(
      expect.objectContaining({ code: 'ABORTED', cause: 'tired' }),
    );
  });

  test('sleep gives its timer back when it is given up', async () => {
    const clock = new ManualClock();
    const controller = new AbortController();
    const asleep = expect(sleep(1000, { clock, signal: controller.signal })).rejects.toMatchObject({
      code: 'ABORTED',
    });
    controller.abort();
    await asleep;
    expect(clock.pending).toBe(0);
  });
});

describe('answerWithin', () => {
  test('answers at the deadline, by the signal, and with whatever comes of the work', async () => {
    const clock = new ManualClock();
    const late = answerWithin({ timeoutMs: 100, doing: 'Digging', clock }, never);
    const outcome = expect(late).rejects.toMatchObject({ code: 'DEADLINE_EXCEEDED' });
    await clock.advance(100);
    await outcome;

    const controller = new AbortController();
    const { signal } = controller;
    const limits = { timeoutMs: 100, doing: 'Digging', clock, signal };
    const given = expect(answerWithin(limits, never)).rejects.toMatchObject({ code: 'ABORTED' });
    controller.abort();
    await given;
    await expect(answerWithin(limits, async () => 1)).rejects.toMatchObject({ code: 'ABORTED' });

    const wrong = () => Promise.reject(new Error('rock'));
    await expect(answerWithin({ ...limits, signal: undefined }, wrong)).rejects.toThrow('rock');
    expect(await answerWithin({ ...limits, signal: undefined }, async () => 1)).toBe(1);
    expect(clock.pending).toBe(0);
    expect(getEventListeners(signal, 'abort')).toEqual([]);
  });
});
