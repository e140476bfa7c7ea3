/**
 * How late this process's event loop was, recorded beside its operations.
 *
 * A deadline can only be kept as well as the loop turns. A timer that measures its own lateness shows
 * exactly what a deadline's timer suffered in the same window, whichever of the two fires first after
 * a stall; the histogram of `perf_hooks` would book a stall into the next window.
 */
import type { HistoryRecorder } from './recorder.js';

/** Name of the events that {@link recordLoopDelay} writes. */
export const LOOP_DELAY_EVENT = 'event-loop-delay';

/** Lateness below this is the granularity of timers, not worth a line. */
const WORTH_A_LINE_NS = 1_000_000n;

const NANOSECONDS_PER_MILLISECOND = 1_000_000n;

/**
 * Records stalls of the event loop until the result is disposed. The timer keeps no process alive.
 *
 * @param everyMs - How often to look.
 */
export function recordLoopDelay(recorder: HistoryRecorder, everyMs = 20): Disposable {
  const expectedNs = BigInt(everyMs) * NANOSECONDS_PER_MILLISECOND;
  let lastNs = process.hrtime.bigint();
  const look = () => {
    const nowNs = process.hrtime.bigint();
    const delayNs = nowNs - lastNs - expectedNs;
    if (delayNs >= WORTH_A_LINE_NS) {
      recorder.event(LOOP_DELAY_EVENT, { atNs: lastNs, untilNs: nowNs, delayNs });
    }
    lastNs = nowNs;
  };
  const timer = setInterval(look, everyMs);
  timer.unref();
  return {
    [Symbol.dispose]() {
      clearInterval(timer);
      look();
    },
  };
}
