import { describe, expect, test } from 'vitest';
import { SingleFlight } from './single-flight.js';

function gate<T>() {
  let open!: (value: T) => void;
  let fail!: (error: Error) => void;
  const promise = new Promise<T>((resolve, reject) => {
    open = resolve;
    fail = reject;
  });
  return { promise, open, fail };
}

describe('SingleFlight', () => {
  test('many callers of one key share one call', async () => {
    const flights = new SingleFlight<string, number>();
    const { promise, open } = gate<number>();
    let calls = 0;
    const work = () => {
      calls += 1;
      return promise;
    };
    const all = Promise.all(Array.from({ length: 100 }, () => flights.run('a', work)));
    open(7);
    expect(await all).toEqual(Array(100).fill(7));
    expect(calls).toBe(1);
    expect(flights.size).toBe(0);
  });

  test('a failure reaches every caller, and the next call starts anew', async () => {
    const flights = new SingleFlight<string, number>();
    const { promise, fail } = gate<number>();
    const first = flights.run('a', () => promise);
    const second = flights.run('a', () => promise);
    fail(new Error('no'));
    await expect(first).rejects.toThrow('no');
    await expect(second).rejects.toThrow('no');
    await expect(flights.run('a', async () => 2)).resolves.toBe(2);
  });

  test('a caller who retries on failure never joins the failed call', async () => {
    const flights = new SingleFlight<string, string>();
    const { promise, fail } = gate<string>();
    const caller = flights
      .run('a', () => promise)
      .catch(() => flights.run('a', async () => 'second call'));
    fail(new Error('no'));
    await expect(caller).resolves.toBe('second call');
  });

  test('work that throws before it waits frees its key', async () => {
    const flights = new SingleFlight<string, number>();
    const throws = () => {
      throw new Error('at once');
    };
    await expect(flights.run('a', throws)).rejects.toThrow('at once');
    expect(flights.size).toBe(0);
  });

  test('one impatient caller does not spoil the answer of the patient', async () => {
    const flights = new SingleFlight<string, number>();
    const { promise, open } = gate<number>();
    const controller = new AbortController();
    let stopped = false;
    const work = (signal: AbortSignal) => {
      signal.addEventListener('abort', () => {
        stopped = true;
      });
      return promise;
    };
    const impatient = flights.run('a', work, { signal: controller.signal });
    const patient = flights.run('a', work);
    controller.abort();
    await expect(impatient).rejects.toMatchObject({ code: 'ABORTED' });
    expect(stopped).toBe(false);
    open(1);
    await expect(patient).resolves.toBe(1);
  });

  test('the work is told to stop when the last caller has given up, and the key is free', async () => {
    const flights = new SingleFlight<string, number>();
    const controller = new AbortController();
    let reason: unknown;
    const work = (signal: AbortSignal) =>
      new Promise<number>(() => {
        signal.addEventListener('abort', () => {
          reason = signal.reason;
        });
      });
    const caller = flights.run('a', work, { signal: controller.signal });
    controller.abort(new Error('left'));
    await expect(caller).rejects.toMatchObject({ code: 'ABORTED' });
    expect(reason).toMatchObject({ message: 'left' });
    await expect(flights.run('a', async () => 5)).resolves.toBe(5);
  });
});
