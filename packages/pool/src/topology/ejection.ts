/**
 * Who is left alone for a while because it fails or answers far slower than the others.
 *
 * - in: it takes part. Failures in a row are counted, latencies averaged.
 * - out: it gets nothing until a pause is over. Each ejection in a row doubles the pause.
 * - on trial: the pause is over; one statement may go there. Its success brings the server back in,
 *   its failure sends it out again. A trial that nobody reports on ends by itself.
 *
 * At least one server always stays: if all fail, failing fast on any is as good as it gets, and none
 * is kept out by the failures of a moment when all failed. The primary is never asked about: a write has no
 * other place to go. Time and numbers come from the caller; nothing here waits or calls.
 */
export interface EjectionOptions {
  /** Failures in a row that eject. @default 5 */
  readonly consecutiveFailures?: number;
  /** First pause in milliseconds. @default 1000 */
  readonly pauseMs?: number;
  /** Longest pause in milliseconds. @default 30_000 */
  readonly maxPauseMs?: number;
  /** A server this many times slower than the median of the others is out. @default 10 */
  readonly latencyFactor?: number;
  /** Answers faster than this never eject, however fast the others are, in milliseconds. @default 100 */
  readonly latencyFloorMs?: number;
  /** Answers needed before latency counts. @default 20 */
  readonly minimumAnswers?: number;
  /** How long a trial may go unreported, in milliseconds. @default 5000 */
  readonly trialTimeoutMs?: number;
}

type Standing =
  | { readonly is: 'in' }
  | { readonly is: 'out'; readonly untilMs: number }
  | { readonly is: 'trial'; readonly untilMs: number };

interface Account {
  standing: Standing;
  failures: number;
  ejections: number;
  answers: number;
  meanMs: number;
}

/** Weight of the newest latency in the running mean. */
const NEWEST = 0.1;
const IN: Standing = { is: 'in' };
const NOBODY: ReadonlySet<string> = new Set();

/** Keeps book of failures and latencies, and says who is out. */
export class Ejection {
  readonly #options: Required<EjectionOptions>;
  readonly #records = new Map<string, Account>();
  #out: ReadonlySet<string> = NOBODY;
  #nextChangeMs = Number.POSITIVE_INFINITY;

  constructor(names: readonly string[], options: EjectionOptions = {}) {
    this.#options = {
      consecutiveFailures: options.consecutiveFailures ?? 5,
      pauseMs: options.pauseMs ?? 1000,
      maxPauseMs: options.maxPauseMs ?? 30_000,
      latencyFactor: options.latencyFactor ?? 10,
      latencyFloorMs: options.latencyFloorMs ?? 100,
      minimumAnswers: options.minimumAnswers ?? 20,
      trialTimeoutMs: options.trialTimeoutMs ?? 5000,
    };
    for (const name of names) {
      this.#records.set(name, { standing: IN, failures: 0, ejections: 0, answers: 0, meanMs: 0 });
    }
  }

  /** Who is out at this moment. The same set is returned until something changes. */
  ejected(nowMs: number): ReadonlySet<string> {
    if (nowMs >= this.#nextChangeMs) this.#recount(nowMs);
    return this.#out;
  }

  /** How often a server was ejected in a row; 0 for one that is in good standing. */
  ejectionsOf(name: string): number {
    return this.#records.get(name)?.ejections ?? 0;
  }

  /** A statement was sent there: if the server is due for a trial, this is it. */
  started(name: string, nowMs: number): void {
    const record = this.#records.get(name);
    if (record === undefined || record.standing.is === 'in') return;
    if (nowMs < record.standing.untilMs) return;
    record.standing = { is: 'trial', untilMs: nowMs + this.#options.trialTimeoutMs };
    this.#recount(nowMs);
  }

  succeeded(name: string, latencyMs: number, nowMs: number): void {
    const record = this.#records.get(name);
    if (record === undefined) return;
    record.failures = 0;
    // What was sent before the ejection and comes back late proves nothing about now.
    if (record.standing.is === 'out') return;
    if (record.standing.is === 'trial') {
      Object.assign(record, { standing: IN, ejections: 0, answers: 0, meanMs: 0 });
      this.#recount(nowMs);
    }
    record.answers += 1;
    record.meanMs += (latencyMs - record.meanMs) * (record.answers === 1 ? 1 : NEWEST);
    if (record.meanMs > this.#options.latencyFloorMs && this.#isOutlier(name, record)) {
      this.#eject(record, nowMs);
    }
  }

  failed(name: string, nowMs: number): void {
    const record = this.#records.get(name);
    if (record === undefined || record.standing.is === 'out') return;
    record.failures += 1;
    const isTooMuch = record.failures >= this.#options.consecutiveFailures;
    if (record.standing.is === 'trial' || isTooMuch) this.#eject(record, nowMs);
  }

  /** The monitor reached it after it had been away: it need not sit out the rest of its pause. */
  recovered(name: string, nowMs: number): void {
    const record = this.#records.get(name);
    if (record?.standing.is !== 'out') return;
    record.standing = { is: 'out', untilMs: nowMs };
    this.#recount(nowMs);
  }

  #isOutlier(name: string, record: Account): boolean {
    const { minimumAnswers, latencyFactor } = this.#options;
    if (record.answers < minimumAnswers) return false;
    const others: number[] = [];
    for (const [other, { answers, meanMs }] of this.#records) {
      if (other !== name && answers >= minimumAnswers) others.push(meanMs);
    }
    const median = others.sort((a, b) => a - b)[(others.length - 1) >> 1];
    return median !== undefined && record.meanMs > median * latencyFactor;
  }

  #eject(record: Account, nowMs: number): void {
    const { pauseMs, maxPauseMs } = this.#options;
    const isLast = [...this.#records.values()].every(
      (other) => other === record || other.standing.is !== 'in',
    );
    if (record.standing.is === 'in' && isLast) return;
    const untilMs = nowMs + Math.min(maxPauseMs, pauseMs * 2 ** record.ejections);
    Object.assign(record, { standing: { is: 'out', untilMs }, failures: 0, answers: 0, meanMs: 0 });
    record.ejections += 1;
    this.#recount(nowMs);
  }

  #recount(nowMs: number): void {
    const out = new Set<string>();
    this.#nextChangeMs = Number.POSITIVE_INFINITY;
    for (const [name, { standing }] of this.#records) {
      if (standing.is === 'in' || standing.untilMs <= nowMs) continue;
      out.add(name);
      this.#nextChangeMs = Math.min(this.#nextChangeMs, standing.untilMs);
    }
    this.#out = out.size === 0 ? NOBODY : out;
  }
}
