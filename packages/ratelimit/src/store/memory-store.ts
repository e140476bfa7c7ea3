import type { Clock } from '@shardline/core';
import { type Entry, isFresh, lifeUs } from '../bucket/entry.js';
import { decideLease, type LeaseGrant, type LeaseRequest } from '../bucket/lease-operation.js';
import {
  decide,
  type OpenEntry,
  type Operation,
  openEntry,
  type Part,
} from '../bucket/operation.js';
import type { ConcurrencyRequest, LimitStore, OutcomeReceiver } from './store.js';

/** Entries looked at for one to give up when the store is full. */
const EVICTION_SAMPLE = 16;

interface Stored {
  readonly entry: Entry;
  /** From when on the entry is as good as none. */
  freshAtUs: number;
}

/**
 * The same decisions in one process, without a server, in bounded memory.
 *
 * When full it first gives up entries that have filled up again, which loses nothing. If none of a
 * sample of the longest unused has, the one that will be full soonest goes: it forgives least. Such
 * evictions are counted, for a forgotten bucket is a full one.
 */
export class MemoryStore implements LimitStore {
  readonly kind = 'memory';
  /** Entries given up before they were full again. */
  evictions = 0;
  readonly #clock: Clock;
  readonly #maxKeys: number;
  /** In order of last use: a Map keeps the order of insertion. */
  readonly #entries = new Map<string, Stored>();
  readonly #inFlight = new Map<string, Map<string, number>>();

  constructor(options: { clock: Clock; maxKeys: number }) {
    this.#clock = options.clock;
    this.#maxKeys = options.maxKeys;
  }

  /** Keys that are remembered. */
  get size(): number {
    return this.#entries.size;
  }

  run(operation: Operation, receiver: OutcomeReceiver): void {
    const nowUs = this.#nowUs();
    const opened = operation.parts.map((part) => this.#open(part, nowUs));
    const amounts = operation.parts.map((part) => part.amount);
    const outcome = decide(operation.name, opened, amounts, nowUs);
    opened.forEach((open, index) => {
      this.#keep((operation.parts[index] as Part).key, open, nowUs);
    });
    receiver.succeed(outcome);
  }

  lease(part: Part, request: LeaseRequest): Promise<LeaseGrant> {
    const nowUs = this.#nowUs();
    const open = this.#open(part, nowUs);
    const grant = decideLease(open.entry, request, nowUs);
    this.#keep(part.key, { ...open, isDirty: true }, nowUs);
    return Promise.resolve(grant);
  }

  concurrency(request: ConcurrencyRequest): Promise<readonly number[]> {
    return Promise.resolve(this.#countInFlight(request));
  }

  liesTogether(): boolean {
    return true;
  }

  close(): Promise<void> {
    this.#entries.clear();
    this.#inFlight.clear();
    return Promise.resolve();
  }

  #nowUs(): number {
    return Math.floor(this.#clock.monotonicMs() * 1000);
  }

  #open(part: Part, nowUs: number): OpenEntry {
    return openEntry(this.#entries.get(part.key)?.entry, part.rate, part.inheritance, nowUs);
  }

  #keep(key: string, open: OpenEntry, nowUs: number): void {
    if (!open.isDirty) return;
    this.#entries.delete(key);
    if (isFresh(open.entry)) return;
    if (this.#entries.size >= this.#maxKeys) this.#makeRoom(nowUs);
    this.#entries.set(key, { entry: open.entry, freshAtUs: nowUs + lifeUs(open.entry, nowUs) });
  }

  #makeRoom(nowUs: number): void {
    let soonest: string | undefined;
    let soonestUs = Number.POSITIVE_INFINITY;
    let looked = 0;
    for (const [key, { freshAtUs }] of this.#entries) {
      if (freshAtUs <= nowUs) {
        this.#entries.delete(key);
        soonest = undefined;
        if (looked === 0) continue;
        return;
      }
      if (freshAtUs < soonestUs) [soonest, soonestUs] = [key, freshAtUs];
      looked += 1;
      if (looked >= EVICTION_SAMPLE) break;
    }
    if (soonest === undefined || this.#entries.size < this.#maxKeys) return;
    this.#entries.delete(soonest);
    this.evictions += 1;
  }

  #countInFlight({ action, key, lengthMs, limit, ids }: ConcurrencyRequest): readonly number[] {
    const nowMs = this.#clock.monotonicMs();
    const held = this.#inFlight.get(key) ?? new Map<string, number>();
    for (const [id, untilMs] of held) if (untilMs <= nowMs) held.delete(id);
    this.#inFlight.set(key, held);
    try {
      if (action === 'release') return [ids.filter((id) => held.delete(id)).length];
      if (action === 'renew') {
        return ids.map((id) => {
          if (!held.has(id)) return 0;
          held.set(id, nowMs + lengthMs);
          return 1;
        });
      }
      if (held.size < limit) {
        held.set(ids[0] as string, nowMs + lengthMs);
        return [1, held.size, 0];
      }
      return [0, held.size, Math.ceil((Math.min(...held.values()) - nowMs) * 1000)];
    } finally {
      if (held.size === 0) this.#inFlight.delete(key);
    }
  }
}
