import { BoundedQueue, type Clock, type ShardlineError } from '@shardline/core';
import { poolError } from '../errors.js';
import { acquireTimeout } from './acquire-timeout.js';
import type { Connection } from './connection.js';
import { Crowding } from './crowding.js';
import type { NodePoolCounts, NodePoolEvents } from './node-pool-options.js';

/** What a line of waiters needs to know of its pool. */
export interface WaitingLineOptions {
  readonly node: string;
  readonly max: number;
  readonly maxWaiting: number;
  readonly clock: Clock;
  readonly events: NodePoolEvents;
  readonly counts: () => NodePoolCounts;
  readonly lastDialError: () => ShardlineError | undefined;
}

/** How one caller waits. */
export interface Wait {
  readonly signal: AbortSignal | undefined;
  /** Longest wait, from when the caller asked. */
  readonly allowedMs: number;
  readonly startedAtMs: number;
}

/** Callers that wait for a connection to one server, served in the order in which they came. */
export class WaitingLine {
  readonly #options: WaitingLineOptions;
  readonly #queue: BoundedQueue<Connection>;
  readonly #crowding = new Crowding();
  #servedAtMs = 0;

  constructor(options: WaitingLineOptions) {
    this.#options = options;
    const { node, maxWaiting, clock } = options;
    const doing = `Waiting for a connection to ${node}`;
    this.#queue = new BoundedQueue<Connection>({ limit: maxWaiting, doing, clock });
  }

  get size(): number {
    return this.#queue.size;
  }

  /** How long it is since somebody was served, or since the first of those here came. */
  get headWaitMs(): number {
    return this.#options.clock.monotonicMs() - this.#servedAtMs;
  }

  /** For how long there has lately been somebody here, in all. */
  get crowdedMs(): number {
    return this.#crowding.totalMs(this.#options.clock.monotonicMs());
  }

  /** There is a connection more. */
  noteGrown(now: number): void {
    this.#crowding.forget(now);
  }

  /**
   * Takes a place at the end.
   *
   * @throws ShardlineError `POOL_ACQUIRE_TIMEOUT`, `QUEUE_FULL`, `ABORTED`.
   */
  wait({ signal, allowedMs, startedAtMs }: Wait, now: number): Promise<Connection> {
    const { clock, events } = this.#options;
    if (this.#queue.size === 0) {
      this.#servedAtMs = now;
      this.#crowding.set(true, now);
    }
    const waiting = this.#queue.wait({
      timeoutMs: Math.max(0, startedAtMs + allowedMs - now),
      signal,
      nowMs: now,
      onTimeout: () => this.#timedOut(allowedMs),
    });
    if (!events.isMeasuring()) return waiting;
    return waiting.then((connection) => {
      events.waited(clock.monotonicMs() - startedAtMs);
      return connection;
    });
  }

  /** Serves whoever has waited longest. */
  hand(connection: Connection, now: number): void {
    this.#servedAtMs = now;
    this.#queue.hand(connection);
    if (this.#queue.size === 0) this.#crowding.set(false, now);
  }

  /** Ends every wait with an error. */
  rejectAll(error: Error): void {
    this.#queue.rejectAll(error);
  }

  /** Ends every wait: nothing of theirs was sent, so that they can be served elsewhere. */
  sendAway(why: string): void {
    const { node } = this.#options;
    this.#queue.rejectAll(
      poolError('POOL_DIAL_FAILED', `No connection to ${node} can be had: it ${why}.`, {
        details: { node },
      }),
    );
  }

  #timedOut(waitedMs: number): ShardlineError {
    const { node, max, events, counts, lastDialError } = this.#options;
    events.acquireTimedOut();
    return acquireTimeout(node, waitedMs, max, counts(), lastDialError());
  }
}
