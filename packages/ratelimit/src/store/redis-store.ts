import {
  type Breaker,
  type Clock,
  coreErrors,
  deadlineError,
  ShardlineError,
  systemClock,
  withDeadline,
} from '@shardline/core';
import type { RedisConnection } from '@shardline/core/redis';
import keySlot from 'cluster-key-slot';
import type { LeaseGrant, LeaseRequest } from '../bucket/lease-operation.js';
import type { Operation, Part } from '../bucket/operation.js';
import { firstConnection } from './first-connection.js';
import { MicroBatch } from './micro-batch.js';
import { encodeRate } from './plan.js';
import { readFailure } from './redis-failure.js';
import type { StoreRequest } from './request.js';
import { composeScripts, type Scripts } from './scripts.js';
import { type SentRequest, SentRequests } from './sent-requests.js';
import type { ConcurrencyRequest, LimitStore, OutcomeReceiver } from './store.js';

/** What a Redis store needs. */
export interface RedisStoreOptions {
  readonly connection: RedisConnection;
  /** Longest wait for one answer. */
  readonly timeoutMs: number;
  /** Most operations that may wait for an answer. */
  readonly maxPending: number;
  readonly breaker: Breaker;
  /** Replicas that must have an admission before it counts. */
  readonly waitForReplicas?: { readonly count: number; readonly timeoutMs: number } | undefined;
  /** Where the present is read: tests put a clock in its place that they can step. */
  readonly scripts?: Scripts;
  readonly clock?: Clock;
}

/** Levels in Redis, decided by scripts on the server's clock. */
export class RedisStore implements LimitStore {
  readonly kind = 'redis';
  readonly #options: RedisStoreOptions;
  readonly #scripts: Scripts;
  readonly #batch: MicroBatch;
  readonly #clock: Clock;
  readonly #sent: SentRequests;
  #pending = 0;
  #wasConnected = false;

  constructor(options: RedisStoreOptions) {
    this.#options = options;
    this.#scripts = options.scripts ?? composeScripts();
    this.#clock = options.clock ?? systemClock;
    this.#sent = new SentRequests(this.#clock, options.timeoutMs);
    const { isCluster } = options.connection;
    this.#batch = new MicroBatch({
      slotOf: isCluster ? keySlot : () => 0,
      send: (request, onAnswer) => this.#send(request, onAnswer),
    });
  }

  /** Operations that wait for an answer. */
  get pending(): number {
    return this.#pending;
  }

  run(operation: Operation, receiver: OutcomeReceiver): void {
    if (this.#pending >= this.#options.maxPending) {
      receiver.fail(this.#fullError());
      return;
    }
    this.#pending += 1;
    this.#batch.add(operation, receiver);
  }

  lease(part: Part, request: LeaseRequest): Promise<LeaseGrant> {
    const { id, want, lengthUs, returnId, unused } = request;
    const plan = `[${encodeRate(part.rate, part.inheritance)},${want},${lengthUs},${unused}]`;
    return this.#guarded('Leasing tokens', async () => {
      const { client } = this.#options.connection;
      const args = [plan, part.rate.text, id, returnId];
      const reply = (await this.#scripts.lease.call(client, [part.key], args)) as number[];
      const [nowUs, granted, units, holders] = reply as [number, number, number, number];
      return { nowUs, granted, units, holders };
    });
  }

  concurrency({ action, key, lengthMs, limit, ids }: ConcurrencyRequest) {
    return this.#guarded(`Counting work in flight (${action})`, async () => {
      const { client } = this.#options.connection;
      const args = [action, String(lengthMs * 1000), String(limit), ...ids];
      const reply = await this.#scripts.concurrency.call(client, [key], args);
      return (Array.isArray(reply) ? reply : [reply]) as number[];
    });
  }

  /** Says that an instance is alive, or leaves, and counts those that are. */
  instances(action: 'beat' | 'leave', key: string, id: string, lengthMs: number): Promise<number> {
    return this.#guarded('Counting instances', async () => {
      const { client } = this.#options.connection;
      const args = [action, id, String(lengthMs * 1000)];
      return (await this.#scripts.instances.call(client, [key], args)) as number;
    });
  }

  liesTogether(key: string, other: string): boolean {
    return !this.#options.connection.isCluster || keySlot(key) === keySlot(other);
  }

  async close({ timeoutMs }: { timeoutMs: number }): Promise<void> {
    this.#sent.close();
    await this.#options.connection.close({ timeoutMs });
  }

  #send(request: StoreRequest, onAnswer: () => void): void {
    const { breaker } = this.#options;
    // Counted down before the answer is handed out: whoever asks again at once has room.
    const onEnd = () => {
      this.#pending -= request.size;
      onAnswer();
    };
    if (!breaker.tryPass()) {
      onEnd();
      request.fail(readFailure(this.#openError(), 'Asking Redis for a decision').error);
      return;
    }
    const fail = (cause: unknown) => {
      onEnd();
      const failure = readFailure(cause, 'Asking Redis for a decision');
      if (failure.isAgainstServer) breaker.failed();
      else breaker.succeeded();
      request.fail(failure.error);
    };
    const sent: SentRequest = {
      dueMs: this.#sent.dueMs(),
      onDue: () => fail(deadlineError('Asking Redis', this.#options.timeoutMs)),
    };
    this.#sent.add(sent);
    // An answer that comes after its time finds that everything has been said.
    this.#decide(request).then(
      (reply) => {
        if (!this.#sent.end(sent)) return;
        onEnd();
        breaker.succeeded();
        request.deliver(reply);
      },
      (cause) => {
        if (this.#sent.end(sent)) fail(cause);
      },
    );
  }

  #decide(request: StoreRequest): Promise<readonly number[]> {
    const { connection, waitForReplicas } = this.#options;
    // What most checks are is not worth a frame of its own.
    if (this.#wasConnected && waitForReplicas === undefined) {
      return request.ask(this.#scripts, connection.client);
    }
    return this.#decideSlowly(request);
  }

  async #decideSlowly(request: StoreRequest): Promise<readonly number[]> {
    const { connection, waitForReplicas } = this.#options;
    const { client } = connection;
    if (!this.#wasConnected) await this.#firstConnection();
    const reply = await request.ask(this.#scripts, client);
    if (waitForReplicas === undefined) return reply;
    const acknowledged = await client.wait(waitForReplicas.count, waitForReplicas.timeoutMs);
    if (acknowledged >= waitForReplicas.count) return reply;
    throw new Error(
      `${acknowledged} of ${waitForReplicas.count} replicas acknowledged within ${waitForReplicas.timeoutMs} ms`,
    );
  }

  /**
   * A service that has just begun has a connection on its way: its first checks wait for it rather
   * than be answered by the fallback. Later on nobody waits for a connection that was lost.
   */
  async #firstConnection(): Promise<void> {
    const { connection, timeoutMs } = this.#options;
    await firstConnection(connection, { timeoutMs });
    this.#wasConnected = true;
  }

  async #guarded<T>(doing: string, work: () => Promise<T>): Promise<T> {
    const { breaker, timeoutMs } = this.#options;
    if (!breaker.tryPass()) throw readFailure(this.#openError(), doing).error;
    try {
      const result = await withDeadline({ timeoutMs, doing, clock: this.#clock }, async () => {
        if (!this.#wasConnected) await this.#firstConnection();
        return work();
      });
      breaker.succeeded();
      return result;
    } catch (cause) {
      const failure = readFailure(cause, doing);
      if (failure.isAgainstServer) breaker.failed();
      else breaker.succeeded();
      throw failure.error;
    }
  }

  #openError(): ShardlineError {
    const retryAfterMs = Math.ceil(this.#options.breaker.retryAfterMs);
    return new ShardlineError(
      coreErrors.CIRCUIT_OPEN,
      `Redis is left alone for another ${retryAfterMs} ms after failures.`,
      { details: { retryAfterMs } },
    );
  }

  #fullError(): ShardlineError {
    return new ShardlineError(
      coreErrors.QUEUE_FULL,
      `${this.#pending} of ${this.#options.maxPending} decisions are under way.`,
      { details: { pending: this.#pending, limit: this.#options.maxPending } },
    );
  }
}
