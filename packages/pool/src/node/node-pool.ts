import { BoundedQueue, type Clock, type ScheduledCall, type ShardlineError } from '@shardline/core';
import { messageOf, poolError } from '../errors.js';
import type { Connection } from './connection.js';
import { DialCrew } from './dial-crew.js';
import type { Dialer } from './dialer.js';
import { settle } from './settle.js';

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
export interface NodePoolOptions {
  readonly node: string;
  readonly dialer: Dialer;
  readonly max: number;
  readonly min: number;
  readonly maxWaiting: number;
  readonly acquireTimeoutMs: number;
  /** 0: idle connections are kept. */
  readonly idleTimeoutMs: number;
  /** Idle for longer than this, a connection is asked for a sign of life before it is lent. */
  readonly validateAfterIdleMs: number;
  readonly validationTimeoutMs: number;
  readonly maxUses: number;
  /** How long a connection that was given back may take to become quiet. */
  readonly settleTimeoutMs: number;
  /** 0: leaks are not reported. */
  readonly leakReportAfterMs: number;
  readonly allowExitOnIdle: boolean;
  readonly clock: Clock;
  readonly random: () => number;
  readonly events: NodePoolEvents;
}

/** What a pool tells its owner. */
export interface NodePoolEvents {
  connected(connection: Connection, durationMs: number): void;
  acquired(connection: Connection): void;
  released(error: Error | boolean | undefined, connection: Connection): void;
  removed(connection: Connection): void;
  /** A connection broke; whether it was idle then. */
  broke(error: Error, connection: Connection, wasIdle: boolean): void;
  dialFailed(error: ShardlineError): void;
  leaked(connection: Connection, heldMs: number): void;
  leftInTransaction(connection: Connection): void;
  acquireTimedOut(): void;
  /** `in_hot_standby` was pushed by the server. */
  standbyPushed(inHotStandby: boolean): void;
}

/** How full a pool is. */
export interface NodePoolCounts {
  readonly total: number;
  readonly idle: number;
  readonly busy: number;
  readonly dialing: number;
  readonly waiting: number;
}

/** How one acquire waits. */
export interface AcquireOptions {
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal | undefined;
}

/** Weight of the newest observation in the running average of how long connections are held. */
const NEWEST_WEIGHT = 0.1;
const SHORTEST_SWEEP_MS = 10;

/** What the server must not say to a connection that asked nothing. */
const OUT_OF_TURN = ['readyForQuery', 'parseComplete', 'bindComplete', 'noData', 'closeComplete'];

/** The connections of one server. */
export class NodePool {
  readonly #options: NodePoolOptions;
  readonly #queue: BoundedQueue<Connection>;
  readonly #crew: DialCrew;
  readonly #idle: Connection[] = [];
  readonly #live = new Set<Connection>();
  /** Closed for us, but their sockets are not yet. */
  readonly #closing = new Set<Connection>();
  #sweep: ScheduledCall | undefined;
  #sweepDueMs = Number.POSITIVE_INFINITY;
  #holdMs: number | undefined;
  #servedAtMs = 0;
  #isEnding = false;
  readonly #whenEmpty: (() => void)[] = [];

  constructor(options: NodePoolOptions) {
    this.#options = options;
    const { node, maxWaiting, clock, dialer, max, min, random } = options;
    this.#queue = new BoundedQueue<Connection>({
      limit: maxWaiting,
      doing: `Waiting for a connection to ${node}`,
      clock,
    });
    this.#crew = new DialCrew({
      dialer,
      max,
      min,
      clock,
      random,
      situation: () => ({
        waiting: this.#queue.size,
        live: this.#live.size,
        headWaitMs: clock.monotonicMs() - this.#servedAtMs,
        holdMs: this.#holdMs,
      }),
      onConnected: (connection, durationMs) => this.#adopt(connection, durationMs),
      onFailed: (error) => this.#onDialFailed(error),
    });
  }

  get counts(): NodePoolCounts {
    const total = this.#live.size;
    const idle = this.#idle.length;
    const dialing = this.#crew.count;
    return { total, idle, busy: total - idle, dialing, waiting: this.#queue.size };
  }

  get idleCount(): number {
    return this.#idle.length;
  }

  /** Connections that exist or are being opened. */
  get totalCount(): number {
    return this.#live.size + this.#crew.count;
  }

  get waitingCount(): number {
    return this.#queue.size;
  }

  /** Connections that are past their lifetime but still lent. */
  get expiredCount(): number {
    const now = this.#options.clock.monotonicMs();
    let count = 0;
    for (const connection of this.#live) if (connection.expiresAtMs <= now) count += 1;
    return count;
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

  /** Lends an idle connection that needs no check, or nothing: the path without a promise. */
  tryAcquire(): Connection | undefined {
    const connection = this.#idle.at(-1);
    if (connection === undefined || this.#isEnding || this.#queue.size > 0) return undefined;
    const now = this.#options.clock.monotonicMs();
    if (now - connection.sinceMs > this.#options.validateAfterIdleMs) return undefined;
    if (now >= connection.expiresAtMs || !connection.isAlive) return undefined;
    this.#idle.pop();
    this.#lend(connection, now);
    connection.heldBy = this.#stack();
    this.#options.events.acquired(connection);
    return connection;
  }

  /**
   * Lends a connection: an idle one, else whichever comes first of one given back and a new one.
   *
   * @throws ShardlineError `POOL_ACQUIRE_TIMEOUT`, `QUEUE_FULL`, `ABORTED`, `POOL_ENDED`, or the error
   * of the dial when there is no connection at all to wait for.
   */
  acquire(options: AcquireOptions = {}): Promise<Connection> {
    const { clock, acquireTimeoutMs, leakReportAfterMs } = this.#options;
    const allowedMs = options.timeoutMs ?? acquireTimeoutMs;
    const deadlineMs = clock.monotonicMs() + allowedMs;
    const isAtOnce = this.#idle.length === 0 && !this.#isEnding && leakReportAfterMs === 0;
    // Under load everybody waits: that path has no promise but the queue's own.
    if (isAtOnce) return this.#takeNext(options.signal, deadlineMs, allowedMs);
    return this.#acquire(options, deadlineMs, allowedMs);
  }

  /** Takes a connection back. With an error, or `true`, it is closed instead. */
  release(connection: Connection, error?: Error | boolean): void {
    if (connection.state !== 'lent') return;
    const { clock, events, maxUses } = this.#options;
    const now = clock.monotonicMs();
    this.#observeHold(now - connection.sinceMs);
    connection.useCount += 1;
    connection.client._poolUseCount = connection.useCount;
    connection.heldBy = undefined;
    connection.isLeakReported = false;
    events.released(error, connection);
    const isSpent = connection.useCount >= maxUses || now >= connection.expiresAtMs;
    if (error || this.#isEnding || !connection.isAlive || isSpent) {
      this.#close(connection);
    } else if (connection.isQuiet && !connection.isInTransaction) {
      this.#keep(connection, now);
    } else {
      this.#settle(connection);
    }
  }

  /** Closes what is idle now and the rest as it comes back: the server's role has changed. */
  retireAll(): void {
    for (const connection of this.#live) connection.expiresAtMs = Number.NEGATIVE_INFINITY;
    for (const connection of [...this.#idle]) this.#close(connection);
  }

  /** Lends no more; resolves when the last connection is closed, by force at the deadline. */
  async end(deadlineMs: number): Promise<void> {
    this.#isEnding = true;
    this.#crew.stop();
    this.#sweep?.cancel();
    this.#queue.rejectAll(this.#endedError());
    for (const connection of [...this.#idle]) this.#close(connection);
    if (this.#live.size + this.#closing.size === 0) return;
    const force = () => {
      for (const connection of [...this.#live, ...this.#closing]) {
        connection.destroy();
        this.#close(connection);
      }
    };
    const timer = this.#options.clock.schedule(deadlineMs, force, true);
    await new Promise<void>((resolve) => this.#whenEmpty.push(resolve));
    timer.cancel();
  }

  // Lending.

  async #acquire({ signal }: AcquireOptions, deadlineMs: number, allowedMs: number) {
    const stack = this.#stack();
    if (this.#isEnding) throw this.#endedError();
    const idle = signal?.aborted ? undefined : await this.#takeIdle();
    const connection = idle ?? (await this.#takeNext(signal, deadlineMs, allowedMs));
    connection.heldBy = stack;
    if (idle !== undefined) this.#options.events.acquired(connection);
    return connection;
  }

  /** An idle connection, once the server has given a sign of life if it idled for long. */
  async #takeIdle(): Promise<Connection | undefined> {
    const { clock, validateAfterIdleMs } = this.#options;
    for (;;) {
      const connection = this.#queue.size === 0 ? this.#idle.pop() : undefined;
      if (connection === undefined) return undefined;
      const now = clock.monotonicMs();
      const idleMs = now - connection.sinceMs;
      this.#lend(connection, now);
      const isOld = now >= connection.expiresAtMs || !connection.isAlive;
      if (!isOld && (idleMs <= validateAfterIdleMs || (await this.#answers(connection)))) {
        return connection;
      }
      this.#close(connection);
    }
  }

  #takeNext(signal: AbortSignal | undefined, deadlineMs: number, allowedMs: number) {
    const { clock, events } = this.#options;
    const refusal = this.#crew.refusal;
    if (refusal !== undefined && this.#live.size === 0) return Promise.reject(refusal);
    const now = clock.monotonicMs();
    if (this.#queue.size === 0) this.#servedAtMs = now;
    const waiting = this.#queue.wait({
      timeoutMs: Math.max(0, deadlineMs - now),
      signal,
      onTimeout: () => {
        events.acquireTimedOut();
        return this.#timeoutError(allowedMs);
      },
    });
    this.#crew.pulse();
    return waiting;
  }

  #lend(connection: Connection, now: number): void {
    connection.state = 'lent';
    connection.sinceMs = now;
    const { allowExitOnIdle, leakReportAfterMs } = this.#options;
    if (allowExitOnIdle) connection.client.ref();
    if (leakReportAfterMs > 0) this.#sweepIn(leakReportAfterMs);
  }

  /** Where the caller stands, for the report of a leak; only if leaks are looked for. */
  #stack(): Error | undefined {
    const isWatched = this.#options.leakReportAfterMs > 0;
    return isWatched ? new Error('The connection was acquired here.') : undefined;
  }

  /** An empty statement: the cheapest thing that a server, or a pooler, must answer. */
  #answers(connection: Connection): Promise<boolean> {
    const { clock, validationTimeoutMs } = this.#options;
    return new Promise((resolve) => {
      const timer = clock.schedule(validationTimeoutMs, () => {
        connection.destroy();
        resolve(false);
      });
      connection.client.query('', (error: Error | null) => {
        timer.cancel();
        resolve(error === null || error === undefined);
      });
    });
  }

  // Taking in and back.

  #adopt(connection: Connection, durationMs: number): void {
    const { client } = connection;
    this.#live.add(connection);
    client.on('error', (error: Error) => this.#onError(connection, error));
    client.on('end', () => this.#close(connection));
    const onOutOfTurn = () => {
      if (connection.state !== 'idle') return;
      this.#onError(connection, new Error('The server spoke on an idle connection.'));
    };
    // Before the driver's own listeners: they call back, and then the connection may be idle already.
    for (const event of OUT_OF_TURN) client.connection?.prependListener(event, onOutOfTurn);
    this.#watchRole(connection);
    this.#options.events.connected(connection, durationMs);
    // A listener may have begun to set the connection up: it is lent when that is done.
    if (connection.isQuiet) this.#keep(connection, this.#options.clock.monotonicMs());
    else this.#settle(connection);
  }

  #watchRole(connection: Connection): void {
    const tell = this.#options.events.standbyPushed;
    if (connection.inHotStandby !== undefined) tell(connection.inHotStandby);
    connection.client.connection?.on(
      'parameterStatus',
      (message: { parameterName: string; parameterValue: string }) => {
        if (message.parameterName !== 'in_hot_standby') return;
        connection.inHotStandby = message.parameterValue === 'on';
        tell(connection.inHotStandby);
      },
    );
  }

  #keep(connection: Connection, now: number): void {
    if (now >= connection.expiresAtMs || this.#isEnding) {
      this.#close(connection);
      return;
    }
    if (this.#queue.size > 0) {
      this.#servedAtMs = now;
      this.#lend(connection, now);
      this.#options.events.acquired(connection);
      this.#queue.hand(connection);
      return;
    }
    const { allowExitOnIdle, idleTimeoutMs } = this.#options;
    connection.state = 'idle';
    connection.sinceMs = now;
    if (allowExitOnIdle) connection.client.unref();
    this.#idle.push(connection);
    if (idleTimeoutMs > 0) this.#sweepIn(idleTimeoutMs);
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
    // A farewell can be sent only where nothing is owed; anything else is cut, so that nothing hangs.
    if (!wasQuiet) connection.destroy();
    this.#closing.add(connection);
    connection.client.end(() => {
      this.#closing.delete(connection);
      this.#options.events.removed(connection);
      if (this.#live.size + this.#closing.size > 0) return;
      for (const done of this.#whenEmpty.splice(0)) done();
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
    if (this.#live.size === 0 && this.#crew.count === 0) this.#queue.rejectAll(error);
  }

  // Time.

  #sweepIn(delayMs: number): void {
    const { clock } = this.#options;
    const dueMs = clock.monotonicMs() + delayMs;
    if (dueMs >= this.#sweepDueMs) return;
    this.#sweep?.cancel();
    this.#sweepDueMs = dueMs;
    this.#sweep = clock.schedule(Math.max(SHORTEST_SWEEP_MS, delayMs), () => {
      this.#sweepDueMs = Number.POSITIVE_INFINITY;
      this.#sweepNow();
    });
  }

  /** Closes what idled or lived too long, reports what is held too long, and comes again when due. */
  #sweepNow(): void {
    const { clock, idleTimeoutMs, leakReportAfterMs, min } = this.#options;
    const now = clock.monotonicMs();
    let nextMs = Number.POSITIVE_INFINITY;
    for (const connection of [...this.#idle]) {
      const idleLeftMs = idleTimeoutMs - (now - connection.sinceMs);
      const isIdleTooLong = idleTimeoutMs > 0 && idleLeftMs <= 0 && this.#live.size > min;
      if (isIdleTooLong || now >= connection.expiresAtMs) this.#close(connection);
      else {
        if (idleTimeoutMs > 0 && idleLeftMs > 0) nextMs = Math.min(nextMs, idleLeftMs);
        nextMs = Math.min(nextMs, connection.expiresAtMs - now);
      }
    }
    if (leakReportAfterMs > 0) nextMs = Math.min(nextMs, this.#reportLeaks(now));
    if (Number.isFinite(nextMs) && !this.#isEnding) this.#sweepIn(nextMs);
  }

  #reportLeaks(now: number): number {
    const { leakReportAfterMs, events } = this.#options;
    let nextMs = Number.POSITIVE_INFINITY;
    for (const connection of this.#live) {
      if (connection.state !== 'lent' || connection.isLeakReported) continue;
      const heldMs = now - connection.sinceMs;
      if (heldMs < leakReportAfterMs) nextMs = Math.min(nextMs, leakReportAfterMs - heldMs);
      else {
        connection.isLeakReported = true;
        events.leaked(connection, heldMs);
      }
    }
    return nextMs;
  }

  #observeHold(holdMs: number): void {
    this.#holdMs =
      this.#holdMs === undefined ? holdMs : this.#holdMs + NEWEST_WEIGHT * (holdMs - this.#holdMs);
  }

  // Errors.

  #endedError(): ShardlineError {
    return poolError('POOL_ENDED', 'Cannot use a pool after calling end on the pool.');
  }

  #timeoutError(waitedMs: number): ShardlineError {
    const { node, max } = this.#options;
    const counts = this.counts;
    const { total, idle, busy, dialing, waiting } = counts;
    const failure = this.lastDialError;
    const last = failure === undefined ? '' : ` The last dial failed: ${messageOf(failure.cause)}.`;
    return poolError(
      'POOL_ACQUIRE_TIMEOUT',
      `timeout exceeded when trying to connect: no connection to ${node} within ${waitedMs} ms ` +
        `(${total} of ${max} open, ${idle} idle, ${busy} busy, ${dialing} dialling, ${waiting} waiting).${last}`,
      { details: { node, waitedMs, max, ...counts }, ...(failure ? { cause: failure } : {}) },
    );
  }
}
