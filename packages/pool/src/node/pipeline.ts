import { abortedError, type Clock, onAbort, type ScheduledCall } from '@shardline/core';
import { LRUCache } from 'lru-cache';
import type { Connection } from './connection.js';
import { explain, type Result, type Statement } from './execute.js';
import type { NodePool } from './node-pool.js';
import type { AcquireOptions } from './node-pool-options.js';

/**
 * Reads of many callers over few connections.
 *
 * The driver sends a statement without waiting for the answers to those before it, and all that one
 * turn of the event loop asks leaves in one write. The server answers in order, and there lies the
 * danger: whoever stands behind a slow statement waits for it, and behind one that waits for a *lock*
 * perhaps for ever, since the holder of the lock may itself wait for an answer that stands behind it.
 * Therefore:
 *
 *   - Only autocommit reads share. A write waits for locks, so it gets a connection of its own.
 *   - A text shares only once it has proven fast; one that is new, or has been slow, runs alone.
 *   - A lane whose first answer is overdue by `STALL_MS` gets nothing more, and what stands behind
 *     that first statement is sent again over another lane. A read may run twice; the first answer
 *     counts, and the late one is dropped in its own place on its own connection.
 *   - A prepared name shares only once the server has confirmed it on that connection.
 *
 * Each statement carries its own Sync, so an error is the error of that statement alone.
 */

/** One caller's statement. */
interface Job {
  readonly statement: Statement;
  resolve(result: Result): void;
  reject(error: unknown): void;
  isSettled: boolean;
  isResent: boolean;
}

/** A connection that is shared for as long as answers are owed on it. */
interface Lane {
  readonly connection: Connection;
  readonly jobs: Job[];
  /** Since when the first job has been the first. */
  headSinceMs: number;
  isStalled: boolean;
  isCorked: boolean;
}

/** A first answer that takes longer than this holds up the others. */
const STALL_MS = 20;
/** A text whose answers take longer than this on average runs alone. */
const SLOW_MS = 5;
/** Fewer than this on a lane, and another lane is not worth a connection. */
const JOBS_BEFORE_ANOTHER_LANE = 8;
const MOST_JOBS_PER_LANE = 64;
const KNOWN_TEXTS = 2000;
const NEWEST_WEIGHT = 0.2;

/** The shared lanes over one server's pool. */
export class Pipeline {
  readonly #pool: NodePool;
  readonly #clock: Clock;
  readonly #lanes = new Set<Lane>();
  readonly #speeds = new LRUCache<string, number>({ max: KNOWN_TEXTS });
  #opening: Promise<void> | undefined;
  #watch: ScheduledCall | undefined;

  constructor(pool: NodePool, clock: Clock) {
    this.#pool = pool;
    this.#clock = clock;
  }

  /** Statements that share connections at this moment. */
  get inFlight(): number {
    let count = 0;
    for (const lane of this.#lanes) count += lane.jobs.length;
    return count;
  }

  /** Whether a text has proven fast enough to share a connection. */
  takes(text: string): boolean {
    const averageMs = this.#speeds.get(text);
    return averageMs !== undefined && averageMs <= SLOW_MS;
  }

  /** Learns how long a text took. */
  observe(text: string, durationMs: number): void {
    const known = this.#speeds.get(text);
    const next = known === undefined ? durationMs : known + NEWEST_WEIGHT * (durationMs - known);
    this.#speeds.set(text, next);
  }

  /** Runs a read that is known to be fast, beside those of others. */
  async run(statement: Statement, options: AcquireOptions): Promise<Result> {
    const { signal } = options;
    if (signal?.aborted) throw abortedError('The statement', signal.reason);
    let lane = this.#choose(statement);
    while (lane === undefined) {
      await this.#open(options);
      lane = this.#choose(statement);
    }
    const chosen = lane;
    return await new Promise<Result>((resolve, reject) => {
      const job: Job = { statement, resolve, reject, isSettled: false, isResent: false };
      if (signal !== undefined) listen(job, signal);
      this.#send(chosen, job);
    });
  }

  /** The lane with the fewest jobs among those that may take this statement. */
  #choose({ query }: Statement): Lane | undefined {
    let best: Lane | undefined;
    for (const lane of this.#lanes) {
      if (lane.isStalled || lane.jobs.length >= MOST_JOBS_PER_LANE || !lane.connection.isAlive) {
        continue;
      }
      if (!mayShareName(lane.connection, query)) continue;
      if (best === undefined || lane.jobs.length < best.jobs.length) best = lane;
    }
    if (best !== undefined && best.jobs.length < JOBS_BEFORE_ANOTHER_LANE) return best;
    const idle = this.#pool.tryAcquire();
    return idle === undefined ? best : this.#addLane(idle);
  }

  #addLane(connection: Connection): Lane {
    const lane: Lane = {
      connection,
      jobs: [],
      headSinceMs: this.#clock.monotonicMs(),
      isStalled: false,
      isCorked: false,
    };
    connection.client.pipeline = true;
    this.#lanes.add(lane);
    return lane;
  }

  /** One acquire at a time, whoever needs a lane; the waiters choose again when it is there. */
  #open(options: AcquireOptions): Promise<void> {
    this.#opening ??= this.#pool
      .acquire(options.timeoutMs === undefined ? {} : { timeoutMs: options.timeoutMs })
      .then((connection) => {
        const lane = this.#addLane(connection);
        // If whoever wanted it has gone in the meantime, nobody would ever give it back.
        setImmediate(() => this.#closeIfDone(lane));
      })
      .finally(() => {
        this.#opening = undefined;
      });
    return this.#opening;
  }

  #send(lane: Lane, job: Job): void {
    const { connection, jobs } = lane;
    if (jobs.length === 0) lane.headSinceMs = this.#clock.monotonicMs();
    jobs.push(job);
    this.#cork(lane);
    const { query, values } = job.statement;
    connection.client.query(query, values, (error: Error | null | undefined, result: Result) =>
      this.#onAnswer(lane, job, error, result),
    );
    this.#watch ??= this.#clock.schedule(STALL_MS, () => this.#onWatch());
  }

  /** Holds the socket until the end of this turn, so that everything asked in it leaves at once. */
  #cork(lane: Lane): void {
    const stream = lane.connection.client.connection.stream as Partial<CorkableStream>;
    if (lane.isCorked || stream.cork === undefined) return;
    lane.isCorked = true;
    stream.cork();
    process.nextTick(() => {
      lane.isCorked = false;
      stream.uncork?.();
    });
  }

  #onAnswer(lane: Lane, job: Job, error: Error | null | undefined, result: Result): void {
    const at = lane.jobs.indexOf(job);
    const now = this.#clock.monotonicMs();
    if (at >= 0) lane.jobs.splice(at, 1);
    if (at === 0) {
      this.observe(job.statement.text, now - lane.headSinceMs);
      lane.headSinceMs = now;
      lane.isStalled = false;
    }
    if (!job.isSettled) {
      job.isSettled = true;
      if (error)
        job.reject(explain(error, lane.connection, { isRead: true, isInTransaction: false }));
      else job.resolve(result);
    }
    if (lane.jobs.length === 0) {
      // Whoever was just answered may ask again at once: keep the lane until this turn is over.
      setImmediate(() => this.#closeIfDone(lane));
    }
  }

  #closeIfDone(lane: Lane): void {
    if (lane.jobs.length > 0 || !this.#lanes.delete(lane)) return;
    lane.connection.client.pipeline = false;
    this.#pool.release(lane.connection);
  }

  #onWatch(): void {
    this.#watch = undefined;
    const now = this.#clock.monotonicMs();
    for (const lane of this.#lanes) {
      if (lane.jobs.length === 0 || lane.isStalled || now - lane.headSinceMs < STALL_MS) continue;
      lane.isStalled = true;
      const [head, ...behind] = lane.jobs;
      if (head !== undefined) this.observe(head.statement.text, now - lane.headSinceMs);
      for (const job of behind) void this.#resend(job);
    }
    if (this.#lanes.size > 0) {
      this.#watch = this.#clock.schedule(STALL_MS, () => this.#onWatch());
    }
  }

  async #resend(job: Job): Promise<void> {
    if (job.isSettled || job.isResent) return;
    job.isResent = true;
    try {
      const result = await this.run(job.statement, {});
      if (job.isSettled) return;
      job.isSettled = true;
      job.resolve(result);
    } catch {
      // The statement still stands where it was sent first, and its answer there counts.
    }
  }
}

interface CorkableStream {
  cork(): void;
  uncork(): void;
}

function listen(job: Job, signal: AbortSignal): void {
  const { resolve, reject } = job;
  const ignoreAbort = onAbort(signal, () => {
    if (job.isSettled) return;
    // The answer will come in its place and be dropped: others stand behind it.
    job.isSettled = true;
    reject(abortedError('The statement', signal.reason));
  });
  job.resolve = (result) => {
    ignoreAbort();
    resolve(result);
  };
  job.reject = (error) => {
    ignoreAbort();
    reject(error);
  };
}

/** A name that is being prepared at this moment may yet fail, and would then be missing for the next. */
function mayShareName(connection: Connection, query: Statement['query']): boolean {
  const name = typeof query === 'string' ? undefined : (query as { name?: unknown }).name;
  if (typeof name !== 'string' || name === '') return true;
  const { parsedStatements, submittedNamedStatements } = connection.client.connection;
  return parsedStatements[name] !== undefined || submittedNamedStatements[name] === undefined;
}
