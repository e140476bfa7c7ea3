import type { Clock } from '@shardline/core';

/**
 * Tokens of one bucket that this process may spend on its own.
 *
 * A lease lives, here, from the moment before it was asked for, on the monotonic clock and a little
 * shortened; on the server it begins later and is not shortened. So it has ended here before the
 * server gives its room away. The clock is read at every taking: a timer would be late exactly when the
 * event loop is busiest.
 *
 * Pure but for the clock: asking for leases is the limiter's part.
 */
interface HeldLease {
  readonly id: string;
  tokens: number;
  readonly endsMs: number;
}

/** The share of a lease's life given up for clocks that run apart, and a little for good measure. */
const DRIFT_SHARE = 0.01;
const DRIFT_FLOOR_MS = 2;
/** How much of the coming demand a lease should cover. */
const COVER_MS = 100;
/** Ask for more when this share of the last grant is left. */
const LOW_WATER_SHARE = 0.25;

/** Told when tokens run low; starts a request in the background. */
export type LowWater = (bucket: LeasedBucket) => void;

/** One subject's tokens in this process. */
export class LeasedBucket {
  readonly subject: string;
  /** Kept for the life of its limiter, because the caller holds it. */
  isPinned = false;
  /** Tokens spent here since the bucket was made. */
  spent = 0;
  readonly #clock: Clock;
  readonly #onLowWater: LowWater;
  #head: HeldLease | undefined;
  readonly #queue: HeldLease[] = [];
  /** Used up, to be given back so that the bucket may refill higher. */
  readonly #usedUp: string[] = [];
  #lowWater = 0;
  #ratePerMs = 0;
  #spentAtRenewal = 0;
  #renewedMs: number;
  #spentAtTick = 0;

  constructor(subject: string, clock: Clock, onLowWater: LowWater) {
    this.subject = subject;
    this.#clock = clock;
    this.#onLowWater = onLowWater;
    this.#renewedMs = clock.monotonicMs();
  }

  /** Spends tokens if they are here; never waits. False also sets off a request for more. */
  take(cost = 1): boolean {
    const head = this.#head;
    if (head !== undefined && head.tokens >= cost && this.#clock.monotonicMs() < head.endsMs) {
      head.tokens -= cost;
      this.spent += cost;
      if (head.tokens <= this.#lowWater) this.#onLowWater(this);
      return true;
    }
    return this.#takeAcross(cost);
  }

  /** Live tokens. */
  get tokens(): number {
    this.#dropEnded();
    let tokens = this.#head?.tokens ?? 0;
    for (const lease of this.#queue) tokens += lease.tokens;
    return tokens;
  }

  /** How many tokens to ask for: demand for a moment ahead, and no more than a fair part of the bucket. */
  wanted(atLeast: number, burst: number, holders: number): number {
    const nowMs = this.#clock.monotonicMs();
    const elapsedMs = Math.max(1, nowMs - this.#renewedMs);
    const ratePerMs = (this.spent - this.#spentAtRenewal) / elapsedMs;
    this.#ratePerMs = this.#ratePerMs === 0 ? ratePerMs : (this.#ratePerMs + ratePerMs) / 2;
    this.#renewedMs = nowMs;
    this.#spentAtRenewal = this.spent;
    const fairPart = Math.max(1, Math.floor(burst / (2 * Math.max(1, holders))));
    const ahead = Math.min(fairPart, Math.ceil(this.#ratePerMs * COVER_MS * 2));
    return Math.min(burst, Math.max(atLeast, ahead, 1));
  }

  /** Takes in a lease that was asked for at a time. */
  add(id: string, tokens: number, askedMs: number, lengthMs: number): void {
    const lifeMs = lengthMs * (1 - DRIFT_SHARE) - DRIFT_FLOOR_MS;
    const lease = { id, tokens, endsMs: askedMs + lifeMs };
    this.#lowWater = Math.floor(tokens * LOW_WATER_SHARE);
    this.#dropEnded();
    if (this.#head === undefined) this.#head = lease;
    else this.#queue.push(lease);
  }

  /** A used-up lease to give back with the next request, if there is one. */
  nextUsedUp(): string {
    this.#dropEnded();
    return this.#usedUp.shift() ?? '';
  }

  /** Gives up the leases that end before a time: what is returned here can no longer be spent. */
  surrender(endingBeforeMs = Number.POSITIVE_INFINITY): { id: string; unused: number }[] {
    this.#dropEnded();
    const leases = [this.#head, ...this.#queue].filter((lease) => lease !== undefined);
    const kept = leases.filter(({ endsMs }) => endsMs >= endingBeforeMs);
    this.#head = kept.shift();
    this.#queue.splice(0, this.#queue.length, ...kept);
    const returned = leases
      .filter(({ endsMs }) => endsMs < endingBeforeMs)
      .map(({ id, tokens }) => ({ id, unused: tokens }));
    for (const id of this.#usedUp.splice(0)) returned.push({ id, unused: 0 });
    return returned;
  }

  /** Whether nothing was spent since the last call. */
  wasIdle(): boolean {
    const isIdle = this.spent === this.#spentAtTick;
    this.#spentAtTick = this.spent;
    return isIdle;
  }

  #takeAcross(cost: number): boolean {
    if (this.tokens < cost) {
      this.#onLowWater(this);
      return false;
    }
    let due = cost;
    while (due > 0) {
      const head = this.#head as HeldLease;
      const part = Math.min(due, head.tokens);
      head.tokens -= part;
      due -= part;
      if (head.tokens === 0) this.#advance();
    }
    this.spent += cost;
    if ((this.#head?.tokens ?? 0) <= this.#lowWater) this.#onLowWater(this);
    return true;
  }

  #dropEnded(): void {
    const nowMs = this.#clock.monotonicMs();
    while (this.#head !== undefined && (this.#head.tokens === 0 || nowMs >= this.#head.endsMs)) {
      this.#advance();
    }
    for (let index = this.#queue.length - 1; index >= 0; index -= 1) {
      if (nowMs >= (this.#queue[index] as HeldLease).endsMs) this.#queue.splice(index, 1);
    }
  }

  #advance(): void {
    if (this.#head?.tokens === 0) this.#usedUp.push(this.#head.id);
    if (this.#usedUp.length > 8) this.#usedUp.shift();
    this.#head = this.#queue.shift();
  }
}
