import { isDeepStrictEqual } from 'node:util';
import { sleep } from '@shardline/core';
import type { StandingFreshness } from '../entry/frame.js';
import { Attempt } from '../read/attempt.js';
import { lookAt } from '../read/level.js';
import type { NamespaceRuntime } from '../runtime.js';

/**
 * The probe: now and then a value that was just shown is compared with its source.
 *
 * What differs need not be wrong: the change may be younger than its invalidation. So the cache is asked
 * again after the bound has passed, and again after a minute and after ten; it is inconsistent as long as
 * it goes on to show a value other than the source's (Polaris at Meta asks in this way). Each stage reached
 * is counted. The source is read through the loader with the freshness mark of the entry: a replica that
 * lags behind the cache must not make the cache look wrong.
 */
export interface Inconsistency {
  readonly namespace: string;
  readonly key: string;
  /** For how long at least the cache has shown something else than the source. */
  readonly stage: ProbeStage;
}

export type ProbeStage = 'bound' | '1m' | '10m';

const STAGES = [
  { stage: 'bound', afterMs: 0, counter: 'inconsistentBeyondBound' },
  { stage: '1m', afterMs: 60_000, counter: 'inconsistentBeyond1m' },
  { stage: '10m', afterMs: 600_000, counter: 'inconsistentBeyond10m' },
] as const;
/** Beyond the bound: the time that a message, a load and a busy loop may take. */
const MARGIN_MS = 1000;
/** Keys that may be followed up at a time; further ones are not probed. */
const MAX_UNDER_WAY = 8;

export class Probe {
  readonly #runtime: NamespaceRuntime;
  readonly #read: (key: string) => Promise<unknown>;
  readonly #onInconsistency: ((found: Inconsistency) => void) | undefined;
  readonly #underWay = new Set<string>();

  constructor(
    runtime: NamespaceRuntime,
    read: (key: string) => Promise<unknown>,
    onInconsistency: ((found: Inconsistency) => void) | undefined,
  ) {
    this.#runtime = runtime;
    this.#read = read;
    this.#onInconsistency = onInconsistency;
  }

  /** Checks a value that was shown, in the background. */
  offer(key: string, shown: unknown): void {
    if (this.#underWay.size >= MAX_UNDER_WAY || this.#underWay.has(key)) return;
    this.#underWay.add(key);
    const work = this.#check(key, shown)
      .catch(() => {
        // The source did not answer, or the cache was closed: nothing is known, nothing is counted.
      })
      .finally(() => this.#underWay.delete(key));
    this.#runtime.track(work);
  }

  async #check(key: string, shown: unknown): Promise<void> {
    const { counters, clock, closing, policy } = this.#runtime;
    counters.probes += 1;
    if (await this.#agrees(key, shown)) return;
    const foundAtMs = clock.monotonicMs();
    const boundMs = Number.isFinite(policy.boundMs) ? policy.boundMs : 0;
    for (const { stage, afterMs, counter } of STAGES) {
      const waitMs = foundAtMs + boundMs + MARGIN_MS + afterMs - clock.monotonicMs();
      await sleep(waitMs, { signal: closing.signal, clock });
      if (await this.#agrees(key, await this.#read(key))) return;
      counters[counter] += 1;
      this.#onInconsistency?.({ namespace: policy.name, key, stage });
    }
  }

  /** Whether a value is the source's, both as the codec would have them. */
  async #agrees(key: string, shown: unknown): Promise<boolean> {
    const { policy, clock, closing, reader } = this.#runtime;
    const attempt = new Attempt({
      policy,
      clock,
      failures: this.#runtime.failures,
      signal: closing.signal,
      mayFill: false,
    });
    attempt.learnFreshness(await this.#freshnessOf(key));
    // It takes no lease because it fills nothing, and is not to be counted as a load without one.
    attempt.holdsLease = true;
    const { value } = await reader.source.load(key, attempt);
    if (value === undefined || shown === undefined) return value === shown;
    const { encode, decode } = policy.codec;
    return isDeepStrictEqual(decode(encode(value)), decode(encode(shown)));
  }

  async #freshnessOf(key: string): Promise<StandingFreshness | undefined> {
    const { levels, addresses, policy, clock, counters } = this.#runtime;
    const [level] = levels;
    if (level === undefined) return undefined;
    const { standing } = await lookAt(level, {
      address: addresses.value(key),
      required: policy.template.stampsOf(key),
      mustAsk: false,
      clock,
      counters,
    });
    return standing;
  }
}
