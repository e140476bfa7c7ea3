import { getEventListeners } from 'node:events';
import { describe, expect, it } from 'vitest';
import { onAbort } from './abort-listeners.js';
import { BoundedQueue } from './bounded-queue.js';
import { sleep, withDeadline } from './deadline.js';
import { SingleFlight } from './single-flight.js';

describe('listening to an abort', () => {
  const listenersOf = (signal: AbortSignal) => getEventListeners(signal, 'abort').length;

  it('takes one listener of the signal for all, and none when nobody listens', () => {
    const { signal } = new AbortController();
    const off = Array.from({ length: 1000 }, () => onAbort(signal, () => {}));
    expect(listenersOf(signal)).toBe(1);
    for (const one of off) one();
    expect(listenersOf(signal)).toBe(0);
    onAbort(signal, () => {})();
    expect(listenersOf(signal)).toBe(0);
  });

  it('tells everybody once, in order, but for those who were taken off, by others or twice', () => {
    const stop = new AbortController();
    const told: string[] = [];
    const listener = () => told.push('same');
    onAbort(stop.signal, listener);
    const twice = onAbort(stop.signal, listener);
    onAbort(stop.signal, () => {
      told.push('first');
      offLater();
    });
    const offLater = onAbort(stop.signal, () => told.push('taken off'));
    onAbort(stop.signal, () => told.push('last'));
    twice();
    twice();
    stop.abort();
    stop.abort();
    expect(told).toEqual(['same', 'first', 'last']);
    expect(listenersOf(stop.signal)).toBe(0);
  });

  it('is what every wait does: a thousand on one signal leave nothing and warn of nothing', async () => {
    const warnings: Error[] = [];
    const onWarning = (warning: Error) => warnings.push(warning);
    process.on('warning', onWarning);
    const stop = new AbortController();
    const { signal } = stop;
    const queue = new BoundedQueue<void>({ limit: 1000, doing: 'Waiting' });
    const flights = new SingleFlight<number, void>();
    const waits = Array.from({ length: 1000 }, (_, index) => [
      sleep(60_000, { signal }),
      withDeadline({ timeoutMs: 60_000, signal, doing: 'x' }, () => new Promise(() => {})),
      queue.wait({ timeoutMs: 60_000, signal }),
      flights.run(index, () => new Promise(() => {}), { signal }),
    ]).flat();
    const ended = Promise.allSettled(waits);
    expect(listenersOf(signal)).toBe(1);
    stop.abort();
    const codes = (await ended).map((one) => one.status === 'rejected' && one.reason.code);
    expect(new Set(codes)).toEqual(new Set(['ABORTED']));
    await new Promise((resolve) => setImmediate(resolve));
    process.off('warning', onWarning);
    expect(warnings).toEqual([]);
    expect(listenersOf(signal)).toBe(0);
  });
});
