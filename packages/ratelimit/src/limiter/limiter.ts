import {
  type BreakerState,
  checkOptions,
  coreErrors,
  type Duration,
  durationMs,
  ShardlineError,
  withDeadline,
} from '@shardline/core';
import { type AbandonOptions, abandonable } from '../abandonable.js';
import { ConcurrencyLimiter, type ConcurrencyOptions } from '../concurrency/concurrency-limiter.js';
import { checkLeasable, LeasedLimiter, type LeasedOptions } from '../lease/leased-limiter.js';
import { PolicyBook } from '../policy/policy-book.js';
import { policiesSchema } from '../policy/policy-options.js';
import { firstConnection } from '../store/first-connection.js';
import type { Scripts } from '../store/scripts.js';
import { Admission, type AdmissionName } from './admission.js';
import { makeChange } from './changes.js';
import type { Decision, LimitPart } from './decision.js';
import { decideTogether, type JointDecision } from './joint-admission.js';
import { LimiterMetrics } from './limiter-metrics.js';
import {
  type LimiterOptions,
  type PoliciesOptions,
  resolveLimiterOptions,
  type TierResolver,
} from './limiter-options.js';
import { type LimiterResources, openResources } from './limiter-resources.js';
import {
  type CheckOptions,
  checkAmount,
  checkFits,
  type LimitRequest,
  mergeParts,
  partsOf,
} from './request.js';

/** A decision on as much as there is. */
export interface TakeDecision extends Decision {
  /** Tokens taken: from 0 to what was asked for. */
  readonly granted: number;
}

/** How a limiter is doing. */
export interface LimiterHealth {
  /** Whether checks are decided by Redis, or by memory where that was chosen. */
  readonly isReady: boolean;
  readonly store: 'redis' | 'memory';
  readonly breaker: BreakerState;
  /** Processes that share the limits, as last heard; 1 where nobody counts. */
  readonly liveInstances: number;
  /** Keys with use that Redis has yet to be told of. */
  readonly localDebts: number;
  /** The last connection failure, until a connection succeeds. */
  readonly lastError: Error | undefined;
}

type ChangeOptions = Pick<CheckOptions, 'policy' | 'tier' | 'signal'>;

/**
 * Makes a limiter. It connects in the background; the first checks wait for that within `timeout`.
 *
 * @throws ShardlineError `CONFIG_INVALID`, naming every fault at once.
 *
 * @example
 * ```ts
 * import { createLimiter } from '@shardline/ratelimit';
 *
 * await using limiter = createLimiter({
 *   redis: 'redis://127.0.0.1:6379',
 *   tiers: {
 *     premium: { limit: 10_000, window: '1m' },
 *     standard: { limit: 1000, window: '1m' },
 *     free: { limit: 100, window: '1m', burst: 20 },
 *     suspicious: { limit: 10, window: '1m' },
 *   },
 *   tierOf: (subject) => (subject.startsWith('key:') ? 'standard' : 'free'),
 * });
 *
 * const decision = await limiter.check('user:42', { cost: 1 });
 * if (!decision.allowed) console.error(`again in ${decision.retryAfterMs} ms`);
 * ```
 */
export function createLimiter(options: LimiterOptions): RateLimiter {
  return new RateLimiter(options);
}

/** Limits by name, decided exactly, for any number of processes. See `createLimiter`. */
export class RateLimiter implements AsyncDisposable {
  readonly #resources: LimiterResources;
  readonly #prefix: string;
  readonly #tierOf: TierResolver | undefined;
  readonly #metrics: LimiterMetrics;
  readonly #owned = new Set<AsyncDisposable>();
  #book: PolicyBook;
  #closing: Promise<void> | undefined;

  /** @internal Use createLimiter(). Scripts of their own are for tests that step the clock. */
  constructor(options: LimiterOptions, scripts?: Scripts) {
    const resolved = resolveLimiterOptions(options);
    this.#book = new PolicyBook(resolved.policies);
    this.#prefix = resolved.prefix;
    this.#tierOf = resolved.tierOf;
    this.#resources = openResources(resolved, scripts);
    this.#metrics = new LimiterMetrics({
      book: () => this.#book,
      breaker: () => this.#resources.core.breaker?.state,
      leases: () => this.#leasedLimiters(),
    });
  }

  /**
   * Asks for admission. Several policies are decided at once: all admit, or nothing is charged.
   *
   * @throws ShardlineError `RATELIMIT_COST_ABOVE_CAPACITY`, `RATELIMIT_COST_INVALID`,
   * `RATELIMIT_SUBJECT_INVALID`, `RATELIMIT_POLICY_UNKNOWN`, `RATELIMIT_TIER_UNKNOWN`, `ABORTED`.
   * Never because Redis is away: then the declared fallback decides and `degraded` says so.
   */
  check(subject: string, options: CheckOptions = {}): Promise<Decision> {
    return this.#admit('check', subject, options, (decision) => decision);
  }

  /**
   * Takes as many tokens as there are, up to `cost`.
   *
   * @throws ShardlineError as `check`, except that a cost above the capacity is cut down to it.
   */
  take(subject: string, options: CheckOptions = {}): Promise<TakeDecision> {
    return this.#admit('take', subject, options, (decision, granted) => ({ ...decision, granted }));
  }

  /**
   * Answers as `check` would and changes nothing.
   *
   * @throws ShardlineError as `check`.
   */
  peek(subject: string, options: CheckOptions = {}): Promise<Decision> {
    return this.#admit('peek', subject, options, (decision) => decision);
  }

  /**
   * Decides several subjects together: all admit, or nothing is charged. One step where their keys
   * lie together (always, outside a Cluster). Else each is reserved in turn, in the order given (most specific
   * first), and given back if a later one denies: for that moment others may be denied for it.
   *
   * @throws ShardlineError as `check`.
   */
  checkAll(
    requests: readonly LimitRequest[],
    options: AbandonOptions = {},
  ): Promise<JointDecision> {
    const doing = `Checking the limits of ${requests.length} subjects together`;
    return abandonable(options.signal, doing, async (stop) => {
      const parts: LimitPart[] = [];
      for (const request of requests) parts.push(...(await this.#parts(request.subject, request)));
      const merged = mergeParts(parts);
      checkFits(merged);
      stop?.throwIfAborted();
      return decideTogether(this.#resources.core, requests[0]?.subject ?? '', merged, stop);
    });
  }

  /**
   * Gives tokens back, never above what a bucket holds: for work that was admitted and not done.
   *
   * @throws ShardlineError `RATELIMIT_UNAVAILABLE`; `RATELIMIT_OUTCOME_UNKNOWN` or, if the caller gave up,
   * `ABORTED` when it may have been done.
   */
  async refund(subject: string, tokens: number, options: ChangeOptions = {}): Promise<void> {
    checkAmount(tokens, 'tokens');
    await this.#change('refund', subject, tokens, options);
  }

  /**
   * Takes tokens whether they are there or not: a debt of at most one capacity, which flows in first.
   *
   * @throws ShardlineError as `refund`.
   */
  async penalize(subject: string, tokens: number, options: ChangeOptions = {}): Promise<void> {
    checkAmount(tokens, 'tokens');
    await this.#change('penalize', subject, tokens, options);
  }

  /**
   * Forgets use, debts and blocks: the subject starts afresh.
   *
   * @throws ShardlineError as `refund`.
   */
  async reset(subject: string, options: ChangeOptions = {}): Promise<void> {
    await this.#change('reset', subject, 0, options);
  }

  /**
   * Admits nothing for a while, whatever the level. `'0ms'` ends a block.
   *
   * @throws ShardlineError as `refund`; `DURATION_INVALID`.
   */
  async block(subject: string, duration: Duration, options: ChangeOptions = {}): Promise<void> {
    await this.#change('block', subject, durationMs(duration, 'block') * 1000, options);
  }

  /**
   * Replaces the limits from now on. Each policy says by `inheritance` what subjects keep.
   *
   * @throws ShardlineError `CONFIG_INVALID`; the old limits then stay.
   */
  configure(options: PoliciesOptions): void {
    const resolved = checkOptions(policiesSchema, options, 'the limiter');
    this.#book = new PolicyBook(resolved, this.#book);
    this.#resources.core.denialCache?.clear();
  }

  /**
   * Checks without a round trip, by leasing tokens in batches; exact all the same.
   *
   * @throws ShardlineError `CONFIG_INVALID` for a policy that cannot be leased from.
   */
  leased(options: LeasedOptions = {}): LeasedLimiter {
    this.#assertOpen();
    const policy = options.policy ?? this.#book.all[0]?.name;
    const partOf = async (subject: string, cost: number) => {
      const [part] = await this.#parts(subject, { policy, cost });
      return checkLeasable(part as LimitPart);
    };
    const leased = new LeasedLimiter(this.#resources.core, partOf, options);
    this.#owned.add(leased);
    return leased;
  }

  /**
   * Limits work in flight rather than per time.
   *
   * @throws ShardlineError `CONFIG_INVALID`.
   */
  concurrency(options: ConcurrencyOptions): ConcurrencyLimiter {
    this.#assertOpen();
    const live = () => this.#resources.instances?.live ?? 1;
    const limiter = new ConcurrencyLimiter(this.#resources.core, this.#prefix, live, options);
    this.#owned.add(limiter);
    return limiter;
  }

  /** Subjects denied most by this process, for people to look at: never a metric's label. */
  topDenied(count = 10): { subject: string; denials: number; excess: number }[] {
    return this.#resources.core.topDenied.top(count);
  }

  /** @throws ShardlineError `REDIS_UNREACHABLE` when there is no connection in time. */
  async ready(options: { deadline?: Duration; signal?: AbortSignal } = {}): Promise<void> {
    const { deadline = '5s', signal } = options;
    const { connection } = this.#resources;
    if (connection === undefined) return;
    await firstConnection(connection, {
      timeoutMs: durationMs(deadline, 'deadline'),
      ...(signal === undefined ? {} : { signal }),
    });
  }

  health(): LimiterHealth {
    const { core, connection, instances } = this.#resources;
    this.#metrics.refresh();
    const breaker = core.breaker?.state ?? 'closed';
    return {
      isReady: breaker === 'closed' && (connection?.client.status ?? 'ready') === 'ready',
      store: core.store.kind,
      breaker,
      liveInstances: instances?.live ?? 1,
      localDebts: core.fallback?.debts ?? 0,
      lastError: connection?.lastError,
    };
  }

  /** Returns leases and places, and ends the connection if it is ours. */
  close(options: { deadline?: Duration } = {}): Promise<void> {
    this.#closing ??= this.#close(durationMs(options.deadline ?? '2s', 'deadline'));
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close(timeoutMs: number): Promise<void> {
    this.#metrics.close();
    try {
      await withDeadline({ timeoutMs, doing: 'Closing the limiter' }, async () => {
        await Promise.all([...this.#owned].map((owned) => owned[Symbol.asyncDispose]()));
        await this.#resources.instances?.close();
      });
    } catch {
      // What could not be returned in time ends by itself on the server.
    }
    await this.#resources.core.fallback?.close();
    await this.#resources.core.store.close({ timeoutMs });
  }

  #admit<T>(
    name: AdmissionName,
    subject: string,
    options: CheckOptions,
    compose: (decision: Decision, granted: number) => T,
  ): Promise<T> {
    try {
      const parts = this.#parts(subject, options);
      if (parts instanceof Promise || options.signal !== undefined) {
        return this.#admitSlowly(name, subject, parts, options.signal, compose);
      }
      return this.#start(name, subject, parts, compose);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  #start<T>(
    name: AdmissionName,
    subject: string,
    parts: readonly LimitPart[],
    compose: (decision: Decision, granted: number) => T,
  ): Promise<T> {
    if (name !== 'take') checkFits(parts);
    return new Promise((resolve) => {
      const settle = (decision: Decision, granted: number) => resolve(compose(decision, granted));
      new Admission(this.#resources.core, subject, name, parts, settle).start();
    });
  }

  /** With a resolver that must be awaited, or a caller who may give up. */
  #admitSlowly<T>(
    name: AdmissionName,
    subject: string,
    parts: readonly LimitPart[] | Promise<LimitPart[]>,
    signal: AbortSignal | undefined,
    compose: (decision: Decision, granted: number) => T,
  ): Promise<T> {
    const doing = `Checking the limits of '${subject.slice(0, 100)}'`;
    return abandonable(signal, doing, async (stop) => {
      const known = await parts;
      stop?.throwIfAborted();
      return this.#start(name, subject, known, compose);
    });
  }

  #parts(subject: string, options: CheckOptions): LimitPart[] | Promise<LimitPart[]> {
    this.#assertOpen();
    const cost = options.cost ?? 1;
    checkAmount(cost, 'cost');
    const tier =
      options.tier ??
      (this.#tierOf !== undefined && this.#book.hasTiers ? this.#tierOf(subject) : undefined);
    if (tier instanceof Promise) {
      return tier.then((name) => partsOf(this.#book, this.#prefix, subject, options, cost, name));
    }
    return partsOf(this.#book, this.#prefix, subject, options, cost, tier);
  }

  async #change(
    name: 'refund' | 'penalize' | 'reset' | 'block',
    subject: string,
    amount: number,
    options: ChangeOptions,
  ): Promise<void> {
    const doing = `The ${name} of '${subject.slice(0, 100)}'`;
    await abandonable(options.signal, doing, async (stop) => {
      const parts = await this.#parts(subject, options);
      stop?.throwIfAborted();
      const isTokens = name === 'refund' || name === 'penalize';
      // More than twice a capacity changes nothing more, and could leave the exact range.
      const amountFor = (part: LimitPart) =>
        isTokens ? Math.min(amount, 2 * part.rate.burst) : amount;
      const changed = parts.map((part) => ({ ...part, amount: amountFor(part) }));
      await makeChange(this.#resources.core, name, changed);
    });
  }

  *#leasedLimiters(): Iterable<LeasedLimiter> {
    for (const owned of this.#owned) if (owned instanceof LeasedLimiter) yield owned;
  }

  #assertOpen(): void {
    if (this.#closing === undefined) return;
    throw new ShardlineError(coreErrors.CLOSED, 'The limiter was closed.');
  }
}
