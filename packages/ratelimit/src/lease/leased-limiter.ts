import { randomBytes } from 'node:crypto';
import {
  checkOptions,
  configurationError,
  coreErrors,
  type Duration,
  durationOption,
  integerOption,
  type ScheduledCall,
  ShardlineError,
} from '@shardline/core';
import * as v from 'valibot';
import { type AbandonOptions, abandonable } from '../abandonable.js';
import { waitUs } from '../bucket/token-bucket.js';
import { Admission } from '../limiter/admission.js';
import { composeDecision, type Decision, type LimitPart, limitState } from '../limiter/decision.js';
import type { LimiterCore } from '../limiter/limiter-core.js';
import { checkAmount, checkFits } from '../limiter/request.js';
import { LeasedBucket } from './leased-bucket.js';

/** How tokens are leased. */
export interface LeasedOptions {
  /** The policy to lease from: a token bucket. @default the only one declared */
  readonly policy?: string | undefined;
  /**
   * How long leased tokens may be held. A process that dies takes what it had not spent out of use for
   * this long. @default '2s'
   */
  readonly duration?: Duration | undefined;
  /** Most subjects with leases at a time; others are checked one by one. @default 10_000 */
  readonly maxSubjects?: number | undefined;
}

/** How much to spend, and how to give up. */
export interface LeasedCheckOptions extends AbandonOptions {
  /** Tokens to spend; a whole number. @default 1 */
  readonly cost?: number | undefined;
}

const schema = v.strictObject({
  policy: v.optional(v.string()),
  duration: v.optional(durationOption({ min: '100ms', max: '5m' }), '2s'),
  maxSubjects: v.optional(integerOption(1), 10_000),
});

/** After a request that failed, and at least after one that gave nothing. */
const PAUSE_MS = 10;

/** How often, per length of a lease, idle and ending leases are looked for. */
const TICKS_PER_LEASE = 5;

/** What leasing has done so far. */
export interface LeaseStatistics {
  readonly requests: number;
  readonly tokensLeased: number;
  readonly tokensSpent: number;
  readonly tokensReturned: number;
  readonly subjects: number;
}

interface Account {
  readonly bucket: LeasedBucket;
  request: Promise<void> | undefined;
  /** Not before this time, unless a caller needs it. */
  notBeforeMs: number;
  holders: number;
  /** Level on the server when last heard of, and the error if it was not heard. */
  units: number;
  error: Error | undefined;
  needed: number;
}

/**
 * Checks without a round trip: tokens are leased in batches and spent locally.
 *
 * However many processes lease, together they admit no more than the bucket alone would: leased
 * tokens are out of the level, and the level refills only up to what the leases leave. Should Redis go
 * away, leases go on to their end; then the limiter's fallback decides. Should the server's clock be
 * stepped forward, leases end there before they end here, and for that once another capacity may pass.
 */
export class LeasedLimiter implements AsyncDisposable {
  readonly #core: LimiterCore;
  readonly #partOf: (subject: string, cost: number) => LimitPart | Promise<LimitPart>;
  readonly #durationMs: number;
  readonly #maxSubjects: number;
  readonly #accounts = new Map<string, Account>();
  readonly #instance = randomBytes(6).toString('base64url');
  #sequence = 0;
  #tick: ScheduledCall | undefined;
  #isClosed = false;
  #requests = 0;
  #leased = 0;
  #returned = 0;
  #spentByGone = 0;

  constructor(
    core: LimiterCore,
    partOf: (subject: string, cost: number) => LimitPart | Promise<LimitPart>,
    options: LeasedOptions,
  ) {
    const resolved = checkOptions(schema, options, 'the leased limiter');
    this.#core = core;
    this.#partOf = partOf;
    this.#durationMs = resolved.duration;
    this.#maxSubjects = resolved.maxSubjects;
    this.#scheduleTick();
  }

  get statistics(): LeaseStatistics {
    let tokensSpent = this.#spentByGone;
    for (const { bucket } of this.#accounts.values()) tokensSpent += bucket.spent;
    return {
      requests: this.#requests,
      tokensLeased: this.#leased,
      tokensSpent,
      tokensReturned: this.#returned,
      subjects: this.#accounts.size,
    };
  }

  /**
   * Spends tokens that are here, at once. False means that there are none *here*: more are then asked
   * for in the background. Use `check` where a denial must be certain.
   */
  tryTake(subject: string, cost = 1): boolean {
    const account = this.#accounts.get(subject) ?? this.#open(subject);
    return account?.bucket.take(cost) ?? false;
  }

  /**
   * The tokens of one subject, to be held by a caller that asks very often.
   *
   * @throws ShardlineError `QUEUE_FULL` when `maxSubjects` have leases already.
   */
  bucket(subject: string): LeasedBucket {
    const account = this.#accounts.get(subject) ?? this.#open(subject);
    if (account === undefined) {
      throw new ShardlineError(
        coreErrors.QUEUE_FULL,
        `${this.#accounts.size} subjects have leases already.`,
      );
    }
    account.bucket.isPinned = true;
    return account.bucket;
  }

  /**
   * Spends tokens, asking for more if they are not here. A denial is the server's. A caller who gives up
   * waiting has spent no leased token: what was asked for is there for the next one, or is returned.
   *
   * @throws ShardlineError as `RateLimiter.check`.
   */
  check(subject: string, options: LeasedCheckOptions = {}): Promise<Decision> {
    const doing = `Checking the leased limit of '${subject.slice(0, 100)}'`;
    return abandonable(options.signal, doing, (stop) =>
      this.#check(subject, options.cost ?? 1, stop),
    );
  }

  async #check(subject: string, cost: number, stop: AbortSignal | undefined): Promise<Decision> {
    checkAmount(cost, 'cost');
    const part = await this.#partOf(subject, cost);
    checkFits([part]);
    stop?.throwIfAborted();
    const account = this.#accounts.get(subject) ?? this.#open(subject);
    if (account === undefined) return this.#checkPlainly(subject, part);
    if (account.bucket.take(cost)) return this.#decision(account, part, true);
    // What others ask for at the same time is asked for in one request; it may take a second one.
    for (let attempt = 0; attempt < 2; attempt += 1) {
      account.needed += cost;
      await this.#request(account, part);
      stop?.throwIfAborted();
      if (account.bucket.take(cost)) return this.#decision(account, part, true);
      if (account.error !== undefined) return this.#fallBack(subject, part, account.error);
    }
    return this.#decision(account, part, false);
  }

  /** Returns what was not spent. */
  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#tick?.cancel();
    await Promise.all([...this.#accounts.values()].map((account) => this.#giveBack(account)));
    for (const { bucket } of this.#accounts.values()) this.#spentByGone += bucket.spent;
    this.#accounts.clear();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #open(subject: string): Account | undefined {
    if (this.#isClosed)
      throw new ShardlineError(coreErrors.CLOSED, 'The leased limiter is closed.');
    if (this.#accounts.size >= this.#maxSubjects) return undefined;
    const account: Account = {
      bucket: new LeasedBucket(subject, this.#core.clock, () => this.#askAhead(account)),
      request: undefined,
      notBeforeMs: 0,
      holders: 0,
      units: 0,
      error: undefined,
      needed: 0,
    };
    this.#accounts.set(subject, account);
    return account;
  }

  /** Asks in the background, unless that is under way or was in vain a moment ago. */
  #askAhead(account: Account): void {
    if (account.request !== undefined || this.#isClosed) return;
    if (this.#core.clock.monotonicMs() < account.notBeforeMs) return;
    account.needed = Math.max(account.needed, 1);
    void this.#ask(account);
  }

  async #ask(account: Account): Promise<void> {
    try {
      await this.#request(account, await this.#partOf(account.bucket.subject, 1));
    } catch (error) {
      // A resolver or a subject that fails: the caller meets the same error in check().
      account.notBeforeMs = this.#core.clock.monotonicMs() + PAUSE_MS;
      account.error = error as Error;
    }
  }

  /** One request per subject at a time; whoever comes meanwhile waits for it. */
  #request(account: Account, part: LimitPart): Promise<void> {
    account.request ??= this.#lease(account, part).finally(() => {
      account.request = undefined;
    });
    return account.request;
  }

  async #lease(account: Account, part: LimitPart): Promise<void> {
    const { bucket } = account;
    const { clock, store } = this.#core;
    const askedMs = clock.monotonicMs();
    const id = this.#nextId();
    const want = bucket.wanted(account.needed, part.rate.burst, account.holders);
    account.needed = 0;
    this.#requests += 1;
    try {
      const grant = await store.lease(part, {
        id,
        want,
        lengthUs: this.#durationMs * 1000,
        returnId: bucket.nextUsedUp(),
        unused: 0,
      });
      account.error = undefined;
      account.holders = grant.holders;
      account.units = grant.units;
      if (grant.granted > 0) {
        this.#leased += grant.granted;
        if (this.#isClosed) await this.#returnLease(part, id, grant.granted);
        else bucket.add(id, grant.granted, askedMs, this.#durationMs);
      }
      const isShort = grant.granted < want;
      account.notBeforeMs = isShort ? clock.monotonicMs() + this.#pauseMs(part, grant) : 0;
    } catch (error) {
      account.error = error as Error;
      account.notBeforeMs = clock.monotonicMs() + PAUSE_MS;
    }
  }

  /** After a request that was not met, the next token must have flowed in before it makes sense to ask. */
  #pauseMs(part: LimitPart, grant: { granted: number; units: number }): number {
    if (grant.granted < 0) return Math.min(this.#durationMs, -grant.granted / 1000);
    if (part.rate.algorithm !== 'token-bucket') return PAUSE_MS;
    return Math.min(this.#durationMs, Math.max(PAUSE_MS, waitUs(grant.units, part.rate, 1) / 1000));
  }

  #nextId(): string {
    this.#sequence += 1;
    return `${this.#instance}.${this.#sequence.toString(36)}`;
  }

  #decision(account: Account, part: LimitPart, isAllowed: boolean): Decision {
    const { counters } = part.limit;
    if (isAllowed) counters.allowed += 1;
    else counters.denied += 1;
    const view = { units: account.units, previous: 0, current: 0, positionMs: 0 };
    const state = limitState(part, view, 0);
    return composeDecision(
      isAllowed,
      [{ ...state, remaining: state.remaining + account.bucket.tokens }],
      'lease',
    );
  }

  #fallBack(subject: string, part: LimitPart, error: Error): Promise<Decision> {
    return new Promise((resolve) => {
      new Admission(this.#core, subject, 'check', [part], resolve).fail(error);
    });
  }

  #checkPlainly(subject: string, part: LimitPart): Promise<Decision> {
    return new Promise((resolve) => {
      new Admission(this.#core, subject, 'check', [part], resolve).start();
    });
  }

  get #tickMs(): number {
    return this.#durationMs / TICKS_PER_LEASE;
  }

  #scheduleTick(): void {
    this.#tick = this.#core.clock.schedule(this.#tickMs, () => {
      for (const [subject, account] of this.#accounts) this.#tidy(subject, account);
      if (!this.#isClosed) this.#scheduleTick();
    });
  }

  /** What an idle subject holds is of more use to others, and what a lease takes to its end is lost. */
  #tidy(subject: string, account: Account): void {
    const { bucket } = account;
    if (account.request !== undefined) return;
    if (!bucket.wasIdle()) {
      void this.#giveBack(account, this.#core.clock.monotonicMs() + 2 * this.#tickMs);
      return;
    }
    void this.#giveBack(account);
    if (bucket.isPinned) return;
    this.#spentByGone += bucket.spent;
    this.#accounts.delete(subject);
  }

  async #giveBack(account: Account, endingBeforeMs?: number): Promise<void> {
    await account.request;
    const leases = account.bucket.surrender(endingBeforeMs);
    if (leases.length === 0) return;
    try {
      const part = await this.#partOf(account.bucket.subject, 1);
      await Promise.all(leases.map(({ id, unused }) => this.#returnLease(part, id, unused)));
    } catch {
      // Redis or the resolver is away. The leases end by themselves, which is what their length is for.
    }
  }

  async #returnLease(part: LimitPart, returnId: string, unused: number): Promise<void> {
    await this.#core.store.lease(part, {
      id: this.#nextId(),
      want: 0,
      lengthUs: 1,
      returnId,
      unused,
    });
    this.#returned += unused;
  }
}

/** @throws ShardlineError `CONFIG_INVALID`: a window has no tokens to hand out. */
export function checkLeasable(part: LimitPart): LimitPart {
  if (part.rate.algorithm === 'token-bucket') return part;
  throw configurationError('the leased limiter', [
    {
      path: 'policy',
      message: `'${part.limit.policy.name}' is a sliding window; lease a token bucket`,
    },
  ]);
}
