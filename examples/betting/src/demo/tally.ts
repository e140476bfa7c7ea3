import { createHistogram, type RecordableHistogram } from 'node:perf_hooks';

/** What became of one request, after whatever was repeated. */
export type Outcome = 'ok' | 'limited' | 'failed';

/** What a span of the load saw. */
export interface Tally {
  readonly ok: number;
  readonly limited: number;
  /** Neither answered nor refused by a limit, in the end. */
  readonly failed: number;
  /** Bets that were lost or of unknown outcome, and were sent again under the same id. */
  readonly repeated: number;
  readonly durationMs: number;
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p95Ms: number;
  readonly p99Ms: number;
  readonly longestMs: number;
  /** Some of what went wrong, in the words of the service. */
  readonly complaints: readonly string[];
}

const MICROSECONDS = 1000;
const MOST_COMPLAINTS = 5;

/** Counts while a span of the load runs. */
export class Counter {
  readonly #startedMs = performance.now();
  readonly #latency: RecordableHistogram = createHistogram();
  readonly #counts = { ok: 0, limited: 0, failed: 0, repeated: 0 };
  readonly #complaints = new Set<string>();

  get requests(): number {
    const { ok, limited, failed } = this.#counts;
    return ok + limited + failed;
  }

  add(outcome: Outcome, durationMs: number): void {
    this.#counts[outcome] += 1;
    this.#latency.record(Math.max(1, Math.round(durationMs * MICROSECONDS)));
  }

  repeated(): void {
    this.#counts.repeated += 1;
  }

  complain(text: string): void {
    if (this.#complaints.size < MOST_COMPLAINTS) this.#complaints.add(text.slice(0, 200));
  }

  read(): Tally {
    const durationMs = performance.now() - this.#startedMs;
    const at = (percentile: number) => this.#latency.percentile(percentile) / MICROSECONDS;
    return {
      ...this.#counts,
      durationMs,
      perSecond: (1000 * this.requests) / durationMs,
      p50Ms: at(50),
      p95Ms: at(95),
      p99Ms: at(99),
      longestMs: this.requests === 0 ? 0 : this.#latency.max / MICROSECONDS,
      complaints: [...this.#complaints],
    };
  }
}
