import type { Clock } from '@shardline/core';
import type { OperationName, Outcome } from '../bucket/operation.js';
import { type Rate, slidingWindowRate, tokenBucketFault, tokenBucketRate } from '../bucket/rate.js';
import type { LimitPart } from '../limiter/decision.js';
import { MemoryStore } from '../store/memory-store.js';
import type { LimitStore } from '../store/store.js';

/**
 * Limits without Redis: each process admits its share, rate and burst divided by the live processes.
 *
 * Bound: while Redis is away, n processes that know n admit together at most max(burst, n) + rate x time:
 * a share is never below one token, else small limits would deny everyone. The local buckets live on
 * between outages, so a Redis that comes and goes hands out that burst once per time to fill, not once
 * per outage. What was admitted is charged to Redis as debt when it is back, at most one burst per
 * key, so an outage is no holiday either.
 */
export class LocalFallback {
  readonly #store: MemoryStore;
  readonly #maxKeys: number;
  readonly #liveInstances: () => number;
  readonly #shares = new Map<Rate, { instances: number; rate: Rate | undefined }>();
  #debts = new Map<string, { part: LimitPart; tokens: number }>();

  constructor(options: { clock: Clock; maxKeys: number; liveInstances: () => number }) {
    this.#store = new MemoryStore(options);
    this.#maxKeys = options.maxKeys;
    this.#liveInstances = options.liveInstances;
  }

  /** Keys whose local use is still to be charged. */
  get debts(): number {
    return this.#debts.size;
  }

  /** Decides by this process' share; undefined where a share cannot be counted. */
  decide(
    name: OperationName,
    parts: readonly LimitPart[],
  ): { outcome: Outcome; parts: LimitPart[] } | undefined {
    const shared: LimitPart[] = [];
    for (const part of parts) {
      const rate = this.#shareOf(part.rate);
      if (rate === undefined) return undefined;
      shared.push({ ...part, rate, inheritance: 'proportional' });
    }
    let outcome: Outcome | undefined;
    this.#store.run(
      { name, parts: shared },
      {
        succeed: (decided) => {
          outcome = decided;
        },
        fail: () => {},
      },
    );
    if (outcome === undefined) return undefined;
    if (name !== 'peek' && outcome.granted > 0) this.#remember(name, parts, outcome.granted);
    return { outcome, parts: shared };
  }

  /** Charges what was admitted here, one penalty per key. */
  settle(store: LimitStore): void {
    const debts = this.#debts;
    this.#debts = new Map();
    for (const [key, { part, tokens }] of debts) {
      const amount = Math.min(tokens, part.rate.burst);
      const again = (error: Error) => {
        // Only what certainly was not charged is charged again.
        if ('code' in error && error.code === 'RATELIMIT_OUTCOME_UNKNOWN') return;
        this.#add(key, part, amount);
      };
      store.run(
        { name: 'penalize', parts: [{ ...part, amount }] },
        { succeed: () => {}, fail: again },
      );
    }
  }

  close(): Promise<void> {
    this.#debts.clear();
    this.#shares.clear();
    return this.#store.close();
  }

  #remember(name: OperationName, parts: readonly LimitPart[], granted: number): void {
    for (const part of parts) this.#add(part.key, part, name === 'take' ? granted : part.amount);
  }

  #add(key: string, part: LimitPart, tokens: number): void {
    const debt = this.#debts.get(key);
    if (debt !== undefined) debt.tokens += tokens;
    else if (this.#debts.size < this.#maxKeys) this.#debts.set(key, { part, tokens });
  }

  #shareOf(rate: Rate): Rate | undefined {
    const instances = this.#liveInstances();
    const known = this.#shares.get(rate);
    if (known?.instances === instances) return known.rate;
    const share = shareOf(rate, instances);
    // A live change leaves rates behind that nobody asks for any more.
    if (this.#shares.size > 1000) this.#shares.clear();
    this.#shares.set(rate, { instances, rate: share });
    return share;
  }
}

/** A rate divided by a number of processes; undefined if it cannot be counted exactly. */
export function shareOf(rate: Rate, instances: number): Rate | undefined {
  const burst = Math.max(1, Math.floor(rate.burst / instances));
  if (rate.algorithm === 'sliding-window') return slidingWindowRate(burst, rate.windowMs);
  const windowMs = rate.windowMs * instances;
  if (tokenBucketFault(rate.limit, windowMs, burst) !== undefined) return undefined;
  return tokenBucketRate(rate.limit, windowMs, burst);
}
