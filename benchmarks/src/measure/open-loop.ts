import { createHistogram, type RecordableHistogram } from 'node:perf_hooks';

/**
 * Load that does not wait for its answers.
 *
 * A caller that sends its next request only once the last is answered slows down with the server, and the
 * very moments that users would have suffered from go unmeasured (coordinated omission, Gil Tene). Here
 * requests are due at fixed times, and latency counts from when a request was *due*, whether or not it
 * could be sent then.
 */
export interface OpenLoopOptions {
  readonly requestsPerSecond: number;
  readonly durationMs: number;
  readonly work: () => Promise<unknown>;
  /** Most requests under way; beyond it requests are counted as dropped rather than piled up. */
  readonly maxInFlight: number;
  readonly signal: AbortSignal;
}

/** What the load saw. */
export interface OpenLoopResult {
  readonly completed: number;
  readonly failed: number;
  readonly dropped: number;
  /** Microseconds from when a request was due to its answer. */
  readonly latency: RecordableHistogram;
}

/** Sends work at a steady rate and waits for the last answer. */
export async function openLoop(options: OpenLoopOptions): Promise<OpenLoopResult> {
  const latency = createHistogram();
  const counts = { completed: 0, failed: 0, dropped: 0 };
  const pending = new Set<Promise<void>>();
  const intervalMs = 1000 / options.requestsPerSecond;
  const total = Math.floor(options.durationMs / intervalMs);
  const started = performance.now();

  const send = async (dueMs: number) => {
    try {
      await options.work();
      counts.completed += 1;
    } catch {
      counts.failed += 1;
    }
    latency.record(Math.max(1, Math.round((performance.now() - dueMs) * 1000)));
  };

  for (let sent = 0; sent < total; ) {
    options.signal.throwIfAborted();
    const dueBy = Math.min(total, Math.floor((performance.now() - started) / intervalMs) + 1);
    for (; sent < dueBy; sent += 1) {
      if (pending.size >= options.maxInFlight) {
        counts.dropped += 1;
        continue;
      }
      const request = send(started + sent * intervalMs);
      pending.add(request);
      request.then(() => pending.delete(request));
    }
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  await Promise.all(pending);
  return { ...counts, latency };
}
