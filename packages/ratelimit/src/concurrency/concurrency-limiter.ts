import { randomBytes } from 'node:crypto';
import {
  checkOptions,
  coreErrors,
  type Duration,
  durationOption,
  integerOption,
  type ScheduledCall,
  ShardlineError,
} from '@shardline/core';
import * as v from 'valibot';
import { type AbandonOptions, abandonable } from '../abandonable.js';
import type { LimiterCore } from '../limiter/limiter-core.js';
import { subjectTag } from '../limiter/subject.js';
import { MemoryStore } from '../store/memory-store.js';
import type { LimitStore } from '../store/store.js';
import { ConcurrencySlot } from './concurrency-slot.js';

/** How many at a time. */
export interface ConcurrencyOptions {
  /** Part of the keys: limits of different names do not mix. */
  readonly name: string;
  /** Most in flight per subject, over all processes. */
  readonly limit: number;
  /**
   * A place whose holder has not been heard of for this long is given back: the longest that a crash can
   * hold it. Heartbeats keep it three times as often. @default '15s'
   */
  readonly leaseDuration?: Duration | undefined;
}

const schema = v.strictObject({
  name: v.pipe(v.string(), v.regex(/^[A-Za-z0-9_.-]{1,64}$/, 'must be a plain name')),
  limit: integerOption(1),
  leaseDuration: v.optional(durationOption({ min: '300ms', max: '1h' }), '15s'),
});

/** The answer to a request for a place. */
export type ConcurrencyDecision =
  | {
      readonly allowed: true;
      readonly inFlight: number;
      readonly limit: number;
      readonly degraded: boolean;
      /** The place: release it when the work is done. */
      readonly slot: ConcurrencySlot;
    }
  | {
      readonly allowed: false;
      readonly inFlight: number;
      readonly limit: number;
      readonly degraded: boolean;
      /** Milliseconds after which a place may be free even if its holder has died. */
      readonly retryAfterMs: number;
    };

const HEARTBEATS_PER_LEASE = 3;

/** Limits work in flight, over all processes, and gives places back when their holders die. */
export class ConcurrencyLimiter implements AsyncDisposable {
  readonly #core: LimiterCore;
  readonly #prefix: string;
  readonly #name: string;
  readonly #limit: number;
  readonly #lengthMs: number;
  readonly #liveInstances: () => number;
  readonly #local: MemoryStore;
  readonly #held = new Map<string, ConcurrencySlot>();
  readonly #instance = randomBytes(9).toString('base64url');
  #sequence = 0;
  #heartbeat: ScheduledCall | undefined;
  #isClosed = false;

  constructor(
    core: LimiterCore,
    prefix: string,
    liveInstances: () => number,
    options: ConcurrencyOptions,
  ) {
    const resolved = checkOptions(schema, options, 'the concurrency limiter');
    this.#core = core;
    this.#prefix = prefix;
    this.#name = resolved.name;
    this.#limit = resolved.limit;
    this.#lengthMs = resolved.leaseDuration;
    this.#liveInstances = liveInstances;
    this.#local = new MemoryStore({ clock: core.clock, maxKeys: 100_000 });
  }

  /** Places held by this process. */
  get held(): number {
    return this.#held.size;
  }

  /**
   * Asks for a place. If the caller gives up waiting and a place comes after all, it is released at once.
   *
   * @throws ShardlineError `RATELIMIT_SUBJECT_INVALID`, `CLOSED`, `ABORTED`.
   */
  acquire(subject: string, options: AbandonOptions = {}): Promise<ConcurrencyDecision> {
    const doing = `Asking for a place of '${subject.slice(0, 100)}'`;
    return abandonable(options.signal, doing, async (stop) => {
      const decision = await this.#acquire(subject);
      // Nobody else could: heartbeats would keep it for as long as this process lives.
      if (stop?.aborted && decision.allowed) await decision.slot.release();
      return decision;
    });
  }

  async #acquire(subject: string): Promise<ConcurrencyDecision> {
    if (this.#isClosed) {
      throw new ShardlineError(coreErrors.CLOSED, 'The concurrency limiter is closed.');
    }
    const key = `${this.#prefix}{${subjectTag(subject)}}:${this.#name}:in-flight`;
    this.#sequence += 1;
    const id = `${this.#instance}.${this.#sequence.toString(36)}`;
    try {
      return await this.#acquireFrom(this.#core.store, key, id, this.#limit, false);
    } catch (error) {
      // The place may have been taken all the same; if it was, it must not stay so for a whole lease.
      this.#releaseLater(key, id);
      return this.#fallBack(key, id, error);
    }
  }

  /**
   * Runs work in a place, or does not.
   *
   * @param options its signal ends the wait for a place; work that has begun has `slot.signal`, and what it
   * brings along.
   * @returns what the work returns, or undefined when there was no place.
   */
  async run<T>(
    subject: string,
    work: (slot: ConcurrencySlot) => Promise<T>,
    options: AbandonOptions = {},
  ): Promise<T | undefined> {
    const decision = await this.acquire(subject, options);
    if (!decision.allowed) return undefined;
    try {
      return await work(decision.slot);
    } finally {
      await decision.slot.release();
    }
  }

  /** Gives all places of this process back. */
  async close(): Promise<void> {
    this.#isClosed = true;
    this.#heartbeat?.cancel();
    this.#heartbeat = undefined;
    await Promise.all([...this.#held.values()].map((slot) => slot.release()));
    await this.#local.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #acquireFrom(
    store: LimitStore,
    key: string,
    id: string,
    limit: number,
    degraded: boolean,
  ): Promise<ConcurrencyDecision> {
    const askedMs = this.#core.clock.monotonicMs();
    const request = { action: 'acquire' as const, key, lengthMs: this.#lengthMs, limit, ids: [id] };
    const [granted, inFlight, waitUs] = await store.concurrency(request);
    if (granted !== 1) {
      const retryAfterMs = Math.max(1, Math.ceil((waitUs ?? 0) / 1000));
      return { allowed: false, inFlight: inFlight ?? limit, limit, degraded, retryAfterMs };
    }
    const slot = this.#hold(store, key, id, askedMs);
    return { allowed: true, inFlight: inFlight ?? 1, limit, degraded, slot };
  }

  #hold(store: LimitStore, key: string, id: string, askedMs: number): ConcurrencySlot {
    const slot = new ConcurrencySlot(store, key, id, askedMs + this.#lengthMs, async () => {
      if (!this.#held.delete(id)) return;
      // A Redis that is away gives the place back by itself when the lease ends.
      await store
        .concurrency({ action: 'release', key, lengthMs: this.#lengthMs, limit: 0, ids: [id] })
        .catch(() => {});
    });
    this.#held.set(id, slot);
    this.#heartbeat ??= this.#core.clock.schedule(
      this.#lengthMs / HEARTBEATS_PER_LEASE,
      this.#beat,
    );
    return slot;
  }

  readonly #beat = (): void => {
    this.#heartbeat = undefined;
    if (this.#isClosed || this.#held.size === 0) return;
    const byKey = new Map<string, ConcurrencySlot[]>();
    for (const slot of this.#held.values()) {
      // The same key may be held in Redis and, since an outage, here.
      const place = `${slot.store.kind} ${slot.key}`;
      const slots = byKey.get(place);
      if (slots === undefined) byKey.set(place, [slot]);
      else slots.push(slot);
    }
    for (const slots of byKey.values()) void this.#renew(slots);
    this.#heartbeat = this.#core.clock.schedule(this.#lengthMs / HEARTBEATS_PER_LEASE, this.#beat);
  };

  async #renew(slots: readonly ConcurrencySlot[]): Promise<void> {
    const askedMs = this.#core.clock.monotonicMs();
    const { store, key } = slots[0] as ConcurrencySlot;
    let renewed: readonly number[] = [];
    try {
      const ids = slots.map((slot) => slot.id);
      renewed = await store.concurrency({
        action: 'renew',
        key,
        lengthMs: this.#lengthMs,
        limit: 0,
        ids,
      });
    } catch {
      // Not heard: the slots live on until the end of what they had.
    }
    slots.forEach((slot, index) => {
      if (renewed[index] === 1) slot.endsMs = askedMs + this.#lengthMs;
      else if (renewed[index] === 0 || this.#core.clock.monotonicMs() >= slot.endsMs)
        this.#lose(slot);
    });
  }

  #lose(slot: ConcurrencySlot): void {
    if (!this.#held.delete(slot.id)) return;
    slot.lose();
  }

  #releaseLater(key: string, id: string): void {
    this.#core.clock.schedule(this.#lengthMs / HEARTBEATS_PER_LEASE, () => {
      if (this.#isClosed) return;
      const request = {
        action: 'release' as const,
        key,
        lengthMs: this.#lengthMs,
        limit: 0,
        ids: [id],
      };
      // Still away: the lease ends by itself.
      this.#core.store.concurrency(request).catch(() => {});
    });
  }

  #fallBack(key: string, id: string, _error: unknown): Promise<ConcurrencyDecision> {
    const { onRedisDown, breaker } = this.#core;
    if (onRedisDown === 'closed') {
      const retryAfterMs = Math.max(1, Math.ceil(breaker?.retryAfterMs ?? 0));
      return Promise.resolve({
        allowed: false,
        inFlight: this.#limit,
        limit: this.#limit,
        degraded: true,
        retryAfterMs,
      });
    }
    const share =
      onRedisDown === 'open'
        ? Number.MAX_SAFE_INTEGER
        : Math.max(1, Math.floor(this.#limit / this.#liveInstances()));
    return this.#acquireFrom(this.#local, key, id, share, true);
  }
}
