import { setImmediate as turnOfTheLoop } from 'node:timers/promises';
import { median } from '../../measure/statistics.js';

const SPANS = 3;

/** Operations per second of a number of callers that each wait for an answer: the median of three spans. */
export async function ratePerSecond(
  work: () => Promise<unknown>,
  options: { readonly callers: number; readonly spanMs: number; readonly signal: AbortSignal },
): Promise<number> {
  const rates: number[] = [];
  // The first span warms up and does not count.
  for (let span = 0; span <= SPANS; span += 1) {
    options.signal.throwIfAborted();
    const rate = await oneSpan(work, options);
    if (span > 0) rates.push(rate);
  }
  return median(rates);
}

async function oneSpan(
  work: () => Promise<unknown>,
  { callers, spanMs }: { readonly callers: number; readonly spanMs: number },
): Promise<number> {
  const startedMs = performance.now();
  let done = 0;
  const caller = async () => {
    while (performance.now() - startedMs < spanMs) {
      for (let turn = 0; turn < 8; turn += 1) await work();
      done += 8;
      // Work that is answered from memory would keep timers and signals out.
      await turnOfTheLoop();
    }
  };
  await Promise.all(Array.from({ length: callers }, caller));
  return done / ((performance.now() - startedMs) / 1000);
}
