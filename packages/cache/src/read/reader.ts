import { isShardlineError, sleep } from '@shardline/core';
import type { Frame } from '../entry/frame.js';
import { cacheErrors } from '../errors.js';
import type { MemoryTicket } from '../tiers/memory/memory-tier.js';
import type { Attempt, FirstLook } from './attempt.js';
import type { Found } from './found.js';
import { type Level, type Look, type LookOptions, lookAt, lookAtOnce, lookOn } from './level.js';
import { type Held, LevelFill } from './level-fill.js';
import { fillMemory } from './memory-fill.js';
import { frameOf, unpack, unpackValue } from './pack.js';
import type { ReaderParts } from './reader-parts.js';
import { type EntryTimes, eagerWindowMs, freshLeftMs, shouldRefreshEarly } from './refresh.js';
import { Source } from './source.js';

const MAX_LEASE_TRIES = 4;
const FIRST_POLL_MS = 3;
const MAX_POLL_MS = 40;
const NO_LEVELS: readonly Level[] = [];

/**
 * The read path below L1, one shared tier after the other and then the source.
 *
 *     look at L2 --fresh--> done
 *        | miss or stale: lease what was seen        (leased by another: wait, or serve what it holds)
 *        v
 *     look at L3 --fresh--> fill L2 under its lease
 *        | lease
 *        v
 *     load ---> fill L3, fill L2, each under its own lease
 *
 * `#below(i)` is the whole of it: find the value in level i or below, and put it into level i on the
 * way back. Each level's lease is taken *before* anything below it is read, so every promotion is a fill
 * like a load's: if the level was invalidated in between, the lease is gone and the fill refused. A level
 * that is unavailable, or whose lease cannot be had, is passed by without being filled.
 */
export class Reader {
  readonly source: Source;
  readonly #fill: LevelFill;

  constructor(readonly parts: ReaderParts) {
    this.source = new Source(parts);
    this.#fill = new LevelFill(parts);
  }

  /** Finds a value and fills L1 with it. */
  async read(key: string, attempt: Attempt): Promise<Found> {
    const { memory, policy } = this.parts;
    const mayFill = policy.usesL1 && attempt.mayFill;
    // A look from before the attempt is answered for by the ticket from before that look.
    const ticket = mayFill ? (attempt.first?.ticket ?? memory.ticket(key)) : undefined;
    const isBlocked = this.parts.isBlocked(key);
    if (isBlocked) attempt.learnFreshness(this.parts.pendingFreshness(key));
    const levels = isBlocked ? NO_LEVELS : this.parts.levels;
    const found = await this.#below(levels, 0, key, attempt);
    if (ticket !== undefined) fillMemory(this.parts, key, ticket, found);
    return found;
  }

  /**
   * The short way for what is fresh in the nearest level: one look, no sharing, nothing to give up. If it was not
   * enough, the long way goes on from what was seen; from nothing if the level cannot be asked.
   *
   * This is every hit of L2, and a promise or an async frame costs it as much as the reading of its frame. So it
   * waits once, for the tier.
   */
  async glance(
    key: string,
    mustAsk: boolean,
    goOn: (first: FirstLook | undefined) => Promise<unknown>,
  ): Promise<unknown> {
    const { levels, memory, policy, clock, isBlocked } = this.parts;
    const [level] = levels;
    if (level === undefined || isBlocked(key)) return goOn(undefined);
    const ticket = policy.usesL1 ? memory.ticket(key) : undefined;
    const options = this.#lookOptions(0, key, this.parts.addresses.value(key), mustAsk);
    let look: Look;
    try {
      if (options.mustAsk) look = await lookAt(level, options);
      else {
        const startedAtMs = clock.monotonicMs();
        const seen = await level.tier.read(options.address);
        look =
          lookAtOnce(level, seen, startedAtMs, options) ??
          (await lookOn(level, seen, startedAtMs, options));
      }
    } catch (error) {
      if (isShardlineError(error, cacheErrors.CACHE_TIER_UNAVAILABLE.code)) return goOn(undefined);
      throw error;
    }
    const { reading } = look;
    const shown =
      reading.state === 'fresh' && !this.#isDueEarly(reading.frame)
        ? this.#show(key, look, reading.frame, ticket)
        : undefined;
    if (shown === undefined) return goOn({ look, ticket });
    // Whoever goes on is counted there.
    this.parts.counters.misses += 1;
    this.#countHit(level);
    return shown.value;
  }

  /** The value of a hit, put into L1 where there is one; undefined if its bytes are corrupt. */
  #show(
    key: string,
    look: Look,
    frame: Frame,
    ticket: MemoryTicket | undefined,
  ): { readonly value: unknown } | undefined {
    if (ticket === undefined) return unpackValue(this.parts, frame);
    const found = unpack(this.parts, look);
    if (found !== undefined) fillMemory(this.parts, key, ticket, found);
    return found;
  }

  #countHit(level: Level): void {
    if (level.tier.name === 'l3') this.parts.counters.l3Hits += 1;
    else this.parts.counters.l2Hits += 1;
  }

  async #below(
    levels: readonly Level[],
    index: number,
    key: string,
    attempt: Attempt,
  ): Promise<Found> {
    const level = levels[index];
    if (level === undefined) return this.source.load(key, attempt);
    const result = await this.#lookAndLease(level, index, key, attempt);
    if (result === undefined) return this.#below(levels, index + 1, key, attempt);
    if ('found' in result) return result.found;
    attempt.holdsLease = true;
    try {
      const found = await this.#below(levels, index + 1, key, attempt);
      return await this.#fill.fill(result.held, key, found);
    } catch (error) {
      const isNoFailure =
        attempt.signal.aborted || isShardlineError(error, cacheErrors.CACHE_NO_LOADER.code);
      await this.#fill.giveBack(result.held, key, isNoFailure);
      throw error;
    }
  }

  /**
   * Looks until there is a value or a lease. Undefined: go on without this level.
   */
  async #lookAndLease(
    level: Level,
    index: number,
    key: string,
    attempt: Attempt,
  ): Promise<{ found: Found } | { held: Held } | undefined> {
    const address = this.parts.addresses.value(key);
    let pollMs = FIRST_POLL_MS;
    for (let tries = 0; tries < MAX_LEASE_TRIES; ) {
      try {
        const look =
          takeFirst(attempt, index) ??
          (await lookAt(level, this.#lookOptions(index, key, address, attempt.mustAsk)));
        const found = this.#use(level, look, key, attempt);
        if (found !== undefined) return { found };
        if (look.reading.state !== 'leased') {
          if (!attempt.mayFill) return undefined;
          const held = await this.#fill.lease(level, look, address);
          if (held !== undefined) return { held };
          const fresh = look.reading.state === 'fresh';
          // A refresh ahead of time that somebody else makes already: the value still stands.
          if (fresh) return { found: unpack(this.parts, look) as Found };
          tries += 1;
          continue;
        }
      } catch (error) {
        if (isShardlineError(error, cacheErrors.CACHE_TIER_UNAVAILABLE.code)) return undefined;
        throw error;
      }
      if (this.parts.clock.monotonicMs() >= attempt.patientUntilMs) return undefined;
      await this.#pause(pollMs, attempt);
      pollMs = Math.min(MAX_POLL_MS, pollMs * 2);
    }
    return undefined;
  }

  #pause(pollMs: number, attempt: Attempt): Promise<void> {
    const { clock, random } = this.parts;
    const delayMs = pollMs * (0.75 + random() / 2);
    return sleep(delayMs, { clock, signal: attempt.signal, doing: 'Waiting for another load' });
  }

  #lookOptions(index: number, key: string, address: string, mustAsk: boolean): LookOptions {
    const { policy, clock, counters } = this.parts;
    return {
      address,
      required: policy.template.stampsOf(key),
      // What is promoted gets fresh stamps above, so it must be judged by fresh ones here.
      mustAsk: mustAsk || policy.coherence === 'strict' || index > 0,
      clock,
      counters,
    };
  }

  /** What can be answered from a look; undefined if the value must come from below. */
  #use(level: Level, look: Look, key: string, attempt: Attempt): Found | undefined {
    const { reading } = look;
    attempt.learnFreshness(look.standing);
    if (reading.state === 'miss') return undefined;
    const frame = frameOf(look);
    const found = frame && unpack(this.parts, look);
    if (found === undefined) {
      if (reading.state === 'backoff') throw attempt.backoffError(key);
      return undefined;
    }
    const isDueEarly = attempt.mayFill && this.#isDueEarly(found, attempt.isEager);
    if (reading.state === 'fresh' && !isDueEarly) {
      this.#countHit(level);
      return found;
    }
    attempt.offerStale(found, reading.state === 'fresh');
    const othersWork = reading.state === 'leased' || reading.state === 'backoff';
    return othersWork && attempt.isStaleAllowed(found, reading.state) ? found : undefined;
  }

  #isDueEarly(found: EntryTimes, isEager = false): boolean {
    const { policy, clock, random } = this.parts;
    if (policy.eagerBeta === 0) return false;
    const leftMs = freshLeftMs(found, clock.now());
    if (leftMs > eagerWindowMs(found.loadMs, policy.eagerBeta)) return false;
    return isEager || shouldRefreshEarly(leftMs, found.loadMs, policy.eagerBeta, random());
  }
}

/** A look made before the attempt began; it is used once. */
function takeFirst(attempt: Attempt, index: number): Look | undefined {
  if (index > 0) return undefined;
  const { first } = attempt;
  attempt.first = undefined;
  return first?.look;
}
