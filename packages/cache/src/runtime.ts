import { type Clock, SingleFlight } from '@shardline/core';
import type { Bus, BusMessage } from './bus/bus.js';
import type { Coherence } from './coherence.js';
import { Counters } from './counters.js';
import type { StandingFreshness } from './entry/frame.js';
import type { InvalidationTarget, Invalidator } from './invalidate/invalidator.js';
import { NAMESPACE_STAMP } from './invalidate/key-template.js';
import { Pending } from './invalidate/pending.js';
import { ANY_TAG_STAMP } from './invalidate/tag-stamp.js';
import { TierStamps } from './invalidate/tier-stamps.js';
import { Addresses } from './keys.js';
import type { Policy } from './policy.js';
import { type Inconsistency, Probe } from './probe/probe.js';
import { Sampler } from './probe/sampler.js';
import { RecentFailures } from './read/attempt.js';
import type { Found } from './read/found.js';
import type { Level } from './read/level.js';
import { Reader } from './read/reader.js';
import type { CoarseClock } from './tiers/memory/coarse-clock.js';
import type { Disturber } from './tiers/memory/key-watch.js';
import { MemoryTier } from './tiers/memory/memory-tier.js';
import type { SharedTier } from './tiers/tier.js';
import type { Tracing } from './tracing.js';
import type { HotKeys } from './warm/hot-keys.js';
import { OwnUpdates } from './write/own-updates.js';
import { WriteBehind } from './write/write-behind.js';

/** What a namespace is given by the partition that it lives in. */
export interface RuntimeOptions {
  readonly policy: Policy;
  readonly prefix: string;
  readonly l2: SharedTier | undefined;
  readonly l3: SharedTier | undefined;
  readonly bus: Bus | undefined;
  readonly coherence: Coherence;
  readonly clock: Clock;
  readonly coarse: CoarseClock;
  readonly random: () => number;
  readonly tombstoneMs: number;
  readonly closing: AbortController;
  readonly invalidator: Invalidator;
  /** Since when a read must be proven good, for the caller at hand. */
  readonly provenSince: () => number | undefined;
  readonly tracing: Tracing;
  readonly hotKeys: HotKeys | undefined;
  readonly onInconsistency: ((found: Inconsistency) => void) | undefined;
}

/** Everything that one namespace consists of, joined. */
export class NamespaceRuntime implements InvalidationTarget {
  readonly name: string;
  readonly policy: Policy;
  readonly addresses: Addresses;
  readonly memory: MemoryTier;
  readonly ownUpdates = new OwnUpdates();
  readonly levels: readonly Level[];
  readonly bus: Bus | undefined;
  readonly coherence: Coherence;
  readonly clock: Clock;
  readonly coarse: CoarseClock;
  readonly random: () => number;
  readonly isStrict: boolean;
  readonly boundMs: number;
  readonly freshness: string | undefined;
  readonly tombstoneMs: number;
  readonly closing: AbortController;
  readonly provenSince: () => number | undefined;
  readonly tracing: Tracing;
  readonly counters = new Counters();
  readonly pending: Pending;
  readonly failures: RecentFailures;
  readonly reader: Reader;
  readonly behind: WriteBehind | undefined;
  readonly hotKeys: HotKeys | undefined;
  readonly #onInconsistency: ((found: Inconsistency) => void) | undefined;
  /** Reads under way, shared by those who ask for the same key. */
  flights = new SingleFlight<string, Found>();
  readonly #background = new Set<Promise<unknown>>();

  constructor(options: RuntimeOptions) {
    const { policy, clock, coherence, random } = options;
    this.name = policy.name;
    this.policy = policy;
    this.addresses = new Addresses(options.prefix, policy.name);
    this.memory = new MemoryTier({
      maxEntries: policy.l1MaxEntries,
      maxBytes: policy.l1MaxBytes,
    });
    this.bus = options.bus;
    this.coherence = coherence;
    this.clock = clock;
    this.coarse = options.coarse;
    this.random = random;
    this.isStrict = policy.coherence === 'strict';
    this.boundMs = policy.boundMs;
    this.freshness = policy.freshness;
    this.tombstoneMs = options.tombstoneMs;
    this.pending = new Pending({
      holdMs: options.tombstoneMs,
      monotonicMs: () => clock.monotonicMs(),
    });
    this.closing = options.closing;
    this.provenSince = options.provenSince;
    this.tracing = options.tracing;
    this.hotKeys = options.hotKeys;
    this.#onInconsistency = options.onInconsistency;
    this.failures = new RecentFailures(policy.loadBackoffMs, clock);
    this.levels = [
      ...(policy.usesL2 && options.l2 ? [this.#level(options.l2, policy.maxL2Bytes)] : []),
      ...(policy.usesL3 && options.l3 ? [this.#level(options.l3, policy.maxL3Bytes)] : []),
    ];
    const { memory, levels, addresses, counters, pending } = this;
    const isBlocked = (key: string) => pending.size > 0 && pending.isBlocked(key);
    this.reader = new Reader({
      policy,
      addresses,
      memory,
      levels,
      coherence,
      counters,
      clock,
      random,
      tracing: this.tracing,
      isBlocked,
      pendingFreshness: (key) => this.#pendingFreshness(key),
      isWrittenBehind: (key) => this.behind?.newest(key) !== undefined,
    });
    this.behind = policy.behind && new WriteBehind(this, policy.behind, options.invalidator);
  }

  /** What looks at a share of the reads; undefined if nobody wants to. */
  makeSampler(read: (key: string) => Promise<unknown>): Sampler | undefined {
    const { probeShare } = this.policy;
    const probe = probeShare > 0 ? new Probe(this, read, this.#onInconsistency) : undefined;
    if (probe === undefined && this.hotKeys === undefined) return undefined;
    return new Sampler(this.random, this.hotKeys, probe, probeShare);
  }

  isClosed(): boolean {
    return this.closing.signal.aborted;
  }

  dropLocally(keys: readonly string[], stamps: readonly string[]): void {
    for (const key of keys) this.dropKey(key, 'others');
    if (stamps.length === 0) return;
    // Which keys a stamp covers is not known: nobody may join a read that began before.
    this.flights = new SingleFlight();
    for (const name of stamps) this.#dropStamp(name);
  }

  /** Drops one key from this process's memory. */
  dropKey(key: string, by: Disturber): void {
    this.memory.invalidate(key, by);
    this.flights.forget(key);
    this.failures.forget(key);
  }

  /** What another process invalidated. */
  onMessage({ keys = [], stamps = [] }: BusMessage): void {
    this.dropLocally(keys, stamps);
  }

  /** Something was missed: nothing in this process's memory counts any more. */
  forgetAll(): void {
    this.flights = new SingleFlight();
    this.memory.clear();
    for (const { stamps } of this.levels) stamps.forgetAll();
  }

  /** Remembers work that nobody waits for, so that `close` can. */
  track(work: Promise<unknown>): void {
    this.#background.add(work);
    const forget = () => this.#background.delete(work);
    work.then(forget, forget);
  }

  async idle(): Promise<void> {
    await Promise.allSettled(this.#background);
  }

  #dropStamp(name: string): void {
    for (const { stamps } of this.levels) {
      stamps.forget(name);
      stamps.forget(ANY_TAG_STAMP);
    }
    if (name === NAMESPACE_STAMP) this.memory.clear();
    else this.memory.invalidateName(name);
  }

  #pendingFreshness(key: string): StandingFreshness | undefined {
    const freshness = this.pending.freshnessOf(key);
    return freshness === undefined
      ? undefined
      : { freshness, untilMs: this.clock.now() + this.tombstoneMs };
  }

  #level(tier: SharedTier, maxValueBytes: number): Level {
    const stamps = new TierStamps(
      tier,
      (name) => this.addresses.stamp(name),
      this.memory.stamps,
      this.coherence,
      this.policy.boundMs,
      () => this.clock.monotonicMs(),
    );
    return { tier, stamps, maxValueBytes };
  }
}
