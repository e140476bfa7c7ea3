import type { ShardlineError } from '@shardline/core';
import { endedError } from '../errors.js';
import type { Connection } from './connection.js';
import { watchConnection } from './connection-watch.js';
import { DialCrew } from './dial-crew.js';
import { Farewell } from './farewell.js';
import { endIdleTransactions } from './idle-in-transaction.js';
import type { AcquireOptions, NodePoolCounts, NodePoolOptions } from './node-pool-options.js';
import { settle } from './settle.js';
import { answers } from './sign-of-life.js';
import { Sweep } from './sweep.js';
import { WaitingLine } from './waiting-line.js';

/**
 * The connections of one server: lend, keep, retire.
 *
 * A connection is idle, lent, settling (given back while the server still owes a reply, or while a
 * transaction left open is rolled back) or closed. Waiters stand in one bounded queue and take
 * whatever comes first, a connection given back or a new one. What always holds:
 *
 *   - `live + dialling <= max`, where live is everything not closed;
 *   - a connection in use is never retired, however old;
 *   - an idle connection is quiet: nothing is owed on it, no transaction is open, no cancel is on its way;
 *   - while someone waits and there is room, a dial is under way or due at a known moment.
 */

/** Weight of the newest observation in the running average of how long connections are held. */
const NEWEST_WEIGHT = 0.1;

/** The connections of one server. */
export class NodePool {
  readonly #options: NodePoolOptions;
  readonly #line: WaitingLine;
  readonly #crew: DialCrew;
  readonly #idle: Connection[] = [];
  readonly #live = new Set<Connection>();
  readonly #farewell = new Farewell();
  readonly #sweep: Sweep;
  #holdMs: number | undefined;
  #isEnding = false;
  readonly #whenEmpty: (() => void)[] = [];

  constructor(options: NodePoolOptions) {
    this.#options = options;
    const { clock, dialer, max, min, random } = options;
    this.#line = new WaitingLine({
      ...options,
      counts: () => this.counts,
      lastDialError: () => this.lastDialError,
    });
    this.#crew = new DialCrew({
      dialer,
      max,
      min,
      clock,
      random,
      situation: () => ({
        waiting: this.#line.size,
        live: this.#live.size,
        headWaitMs: this.#line.headWaitMs,
        crowdedMs: this.#line.crowdedMs,
        holdMs: this.#holdMs,
      }),
      onConnected: (connection, durationMs) => this.#adopt(connection, durationMs),
      onFailed: (error) => this.#onDialFailed(error),
    });
    this.#sweep = new Sweep({
      ...options,
      idle: this.#idle,
      live: this.#live,
      close: (connection) => this.#close(connection),
      leaked: (connection, heldMs) => options.events.leaked(connection, heldMs),
    });
  }

  get counts(): NodePoolCounts {
    const total = this.#live.size;
    const idle = this.#idle.length;
    const dialing = this.#crew.count;
    return { total, idle, busy: total - idle, dialing, waiting: this.#line.size };
  }

  get idleCount(): number {
    return this.#idle.length;
  }

  /** Connections that exist or are being opened. */
  get totalCount(): number {
    return this.#live.size + this.#crew.count;
  }

  get waitingCount(): number {
    return this.#line.size;
  }

  /** Connections that are past their lifetime but still lent. */
  get expiredCount(): number {
    const now = this.#options.clock.monotonicMs();
    let count = 0;
    for (const connection of this.#live) if (connection.expiresAtMs <= now) count += 1;
    return count;
  }

  get #isEmpty(): boolean {
    return this.#live.size + this.#farewell.size === 0;
  }

  /** Why the last dial failed, while none has succeeded since. */
  get lastDialError(): ShardlineError | undefined {
    return this.#crew.lastError;
  }

  /** Opens the connections that are always to be there. */
  warm(): void {
    this.#crew.pulse();
  }

  /** The server has been seen alive: failed dials are forgotten. */
  noteAlive(): void {
    this.#crew.noteAlive();
  }

  /**
   * Lends an idle connection that needs no check, or nothing: the path without a promise.
   *
   * @param now monotonic time, if the caller has just read it; so everywhere here.
   */
  tryAcquire(now = this.#options.clock.monotonicMs()): Connection | undefined {
    const connection = this.#idle.at(-1);
    if (connection === undefined || this.#isEnding || this.#line.size > 0) return undefined;
    if (now - connection.sinceMs > this.#options.validateAfterIdleMs) return undefined;
    if (now >= connection.expiresAtMs || !connection.isAlive) return undefined;
    this.#idle.pop();
    this.#lend(connection, now);
    connection.heldBy = this.#stack();
    this.#options.events.acquired(connection);
    this.#options.events.waited(0);
    return connection;
  }

  /**
   * Lends a connection: an idle one, else whichever comes first of one given back and a new one.
   *
   * @throws ShardlineError `POOL_ACQUIRE_TIMEOUT`, `QUEUE_FULL`, `ABORTED`, `POOL_ENDED`, or the error
   * of the dial when there is no connection at all to wait for.
   */
  acquire(
    options: AcquireOptions = {},
    now = this.#options.clock.monotonicMs(),
  ): Promise<Connection> {
    const { acquireTimeoutMs, leakReportAfterMs } = this.#options;
    const allowedMs = options.timeoutMs ?? acquireTimeoutMs;
    const isAtOnce = this.#idle.length === 0 && !this.#isEnding && leakReportAfterMs === 0;
    // Under load everybody waits: that path has no promise but the queue's own.
    if (isAtOnce) return this.#takeNext(options.signal, allowedMs, now, now);
    return this.#acquire(options, allowedMs, now);
  }

  /** Takes a connection back. With an error, or `true`, it is closed instead. */
  release(
    connection: Connection,
    error?: Error | boolean,
    now = this.#options.clock.monotonicMs(),
  ): void {
    if (connection.state !== 'lent') return;
    const { events, maxUses } = this.#options;
    const heldMs = now - connection.sinceMs;
    this.#observeHold(heldMs);
    connection.useCount += 1;
    connection.client._poolUseCount = connection.useCount;
    connection.heldBy = undefined;
    connection.isLeakReported = false;
    events.released(error, connection, heldMs);
    const isSpent = connection.useCount >= maxUses || now >= connection.expiresAtMs;
    if (error || this.#isEnding || !connection.isAlive || isSpent) {
      this.#close(connection);
    } else if (connection.isQuiet && !connection.isInTransaction) {
      this.#keep(connection, now);
    } else {
      this.#settle(connection);
    }
  }

  /** Closes what is idle now and the rest as it comes back, and sends away who waits: the role has changed. */
  retireAll(): void {
    this.#line.sendAway('changed its role');
    for (const connection of this.#live) connection.expiresAtMs = Number.NEGATIVE_INFINITY;
    for (const connection of [...this.#idle]) this.#close(connection);
  }

  /** Cuts every connection: the server does not answer, and whoever waits for it is to be told. */
  cutAll(): void {
    this.#line.sendAway('does not answer');
    for (const connection of [...this.#live]) {
      connection.destroy();
      if (connection.state !== 'lent') this.#close(connection);
    }
  }

  /** Lends no more; resolves when the last connection is closed, by force at the deadline. */
  async end(deadlineMs: number): Promise<void> {
    this.#isEnding = true;
    this.#crew.stop();
    this.#sweep.stop();
    this.#line.rejectAll(endedError());
    for (const connection of [...this.#idle]) this.#close(connection);
    if (this.#isEmpty) return;
    const force = () => {
      this.#farewell.cutAll();
      for (const connection of [...this.#live]) {
        connection.destroy();
        this.#close(connection);
      }
    };
    const timer = this.#options.clock.schedule(deadlineMs, force, true);
    await new Promise<void>((resolve) => this.#whenEmpty.push(resolve));
    timer.cancel();
  }

  // Lending.

  async #acquire({ signal }: AcquireOptions, allowedMs: number, startedAtMs: number) {
    const { clock, events } = this.#options;
    const stack = this.#stack();
    if (this.#isEnding) throw endedError();
    const idle = signal?.aborted ? undefined : await this.#takeIdle();
    const now = clock.monotonicMs();
    const connection = idle ?? (await this.#takeNext(signal, allowedMs, startedAtMs, now));
    connection.heldBy = stack;
    if (idle !== undefined) {
      events.acquired(connection);
      events.waited(now - startedAtMs);
    }
    return connection;
  }

  /** An idle connection, once the server has given a sign of life if it idled for long. */
  async #takeIdle(): Promise<Connection | undefined> {
    const { clock, validateAfterIdleMs, validationTimeoutMs: timeoutMs } = this.#options;
    for (;;) {
      const connection = this.#line.size === 0 ? this.#idle.pop() : undefined;
      if (connection === undefined) return undefined;
      const now = clock.monotonicMs();
      const idleMs = now - connection.sinceMs;
      this.#lend(connection, now);
      const isOld = now >= connection.expiresAtMs || !connection.isAlive;
      if (
        !isOld &&
        (idleMs <= validateAfterIdleMs || (await answers(connection, { clock, timeoutMs })))
      ) {
        return connection;
      }
      this.#close(connection);
    }
  }

  #takeNext(
    signal: AbortSignal | undefined,
    allowedMs: number,
    startedAtMs: number,
    now: number,
  ): Promise<Connection> {
    const refusal = this.#crew.refusal;
    if (refusal !== undefined && this.#live.size === 0) return Promise.reject(refusal);
    const waiting = this.#line.wait({ signal, allowedMs, startedAtMs }, now);
    if (this.totalCount < this.#options.max) this.#crew.pulse();
    return waiting;
  }

  #lend(connection: Connection, now: number): void {
    connection.state = 'lent';
    connection.sinceMs = now;
    const { allowExitOnIdle, leakReportAfterMs } = this.#options;
    if (allowExitOnIdle) connection.client.ref();
    if (leakReportAfterMs > 0) this.#sweep.within(leakReportAfterMs, now);
  }

  /** Where the caller stands, for the report of a leak; only if leaks are looked for. */
  #stack(): Error | undefined {
    const isWatched = this.#options.leakReportAfterMs > 0;
    return isWatched ? new Error('The connection was acquired here.') : undefined;
  }

  // Taking in and back.

  #adopt(connection: Connection, durationMs: number): void {
    this.#live.add(connection);
    watchConnection(connection, {
      broke: (error) => this.#onError(connection, error),
      ended: () => this.#close(connection),
      standbyPushed: (inHotStandby) => this.#options.events.standbyPushed(inHotStandby),
    });
    const { clock, events, idleInTransactionMs: timeoutMs } = this.#options;
    if (timeoutMs > 0) endIdleTransactions(connection, { timeoutMs, clock });
    this.#line.noteGrown(clock.monotonicMs());
    events.connected(connection, durationMs);
    // A listener may have begun to set the connection up: it is lent when that is done.
    if (connection.isQuiet) this.#keep(connection, clock.monotonicMs());
    else this.#settle(connection);
  }

  #keep(connection: Connection, now: number): void {
    if (now >= connection.expiresAtMs || this.#isEnding) {
      this.#close(connection);
      return;
    }
    if (this.#line.size > 0) {
      this.#lend(connection, now);
      this.#options.events.acquired(connection);
      this.#line.hand(connection, now);
      return;
    }
    const { allowExitOnIdle, idleTimeoutMs } = this.#options;
    connection.state = 'idle';
    connection.sinceMs = now;
    if (allowExitOnIdle) connection.client.unref();
    this.#idle.push(connection);
    if (idleTimeoutMs > 0) this.#sweep.within(idleTimeoutMs, now);
  }

  #settle(connection: Connection): void {
    const { clock, events, settleTimeoutMs } = this.#options;
    connection.state = 'settling';
    const onLeftOpen = () => events.leftInTransaction(connection);
    settle(connection, { timeoutMs: settleTimeoutMs, clock, onLeftOpen }, (isFit) => {
      if (isFit && !this.#isEnding) return this.#keep(connection, clock.monotonicMs());
      this.#close(connection);
    });
  }

  #close(connection: Connection): void {
    if (connection.state === 'closed') return;
    const wasQuiet = connection.isAlive && connection.isQuiet;
    connection.state = 'closed';
    const at = this.#idle.indexOf(connection);
    if (at >= 0) this.#idle.splice(at, 1);
    this.#live.delete(connection);
    this.#farewell.bid(connection, wasQuiet, () => {
      this.#options.events.removed(connection);
      if (this.#isEmpty) for (const done of this.#whenEmpty.splice(0)) done();
    });
    this.#crew.pulse();
  }

  #onError(connection: Connection, error: Error): void {
    const wasIdle = connection.state === 'idle';
    connection.failure ??= error;
    if (connection.state === 'closed') return;
    this.#options.events.broke(error, connection, wasIdle);
    // A lent one is closed when its holder gives it back, as `pg-pool` does.
    if (wasIdle) this.#close(connection);
  }

  #onDialFailed(error: ShardlineError): void {
    this.#options.events.dialFailed(error);
    if (this.#live.size === 0 && this.#crew.count === 0) this.#line.rejectAll(error);
  }

  #observeHold(holdMs: number): void {
    this.#holdMs =
      this.#holdMs === undefined ? holdMs : this.#holdMs + NEWEST_WEIGHT * (holdMs - this.#holdMs);
  }
}
