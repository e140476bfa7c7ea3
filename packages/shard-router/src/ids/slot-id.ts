/**
 * Time-ordered 64-bit ids that carry a slot (pure).
 *
 * ```
 *  63 | 62 ……………………………… 22 | 21 ……………… | …………………… | …… 0
 *   0 | milliseconds, 41 bits | slot, 8-16 | worker     | sequence
 * ```
 * The slot takes as many bits as its keyspace needs (12 for 4096 slots); what is left of 22 is shared by worker and
 * sequence: 7 and 3 with 4096 slots, so 128 workers make 8 ids per slot and millisecond each. A bet's id then says
 * on which shard the bet is, without its owner being known.
 *
 * Always holds: an id is never made twice. Within a process, since time and sequence only rise: a clock that steps
 * back is waited out on the generator's own time, and a full sequence borrows from the next millisecond. Between processes, since a
 * worker number is leased to one at a time, with the range of time that it may use; whoever gets the number next
 * begins where that range ended, whatever the clocks say.
 */

import { ShardlineError } from '@shardline/core';
import { routerErrors } from '../errors.js';

/** 2025-01-01. With 41 bits the ids last until 2094. */
const EPOCH_MS = Date.UTC(2025, 0, 1);
const TIME_BITS = 41;
const LOW_BITS = 22;
const SEQUENCE_BITS_WANTED = 3;

/** Where the parts of an id stand. */
export interface SlotIdLayout {
  readonly slotBits: number;
  readonly workerBits: number;
  readonly sequenceBits: number;
}

/** The layout for a number of slots. */
export function slotIdLayout(slots: number): SlotIdLayout {
  const slotBits = Math.max(1, Math.log2(slots));
  const left = LOW_BITS - slotBits;
  const sequenceBits = Math.min(SEQUENCE_BITS_WANTED, Math.max(1, left - 5));
  return { slotBits, sequenceBits, workerBits: left - sequenceBits };
}

/** How many workers a layout tells apart. */
export function workerLimit(slots: number): number {
  return 2 ** slotIdLayout(slots).workerBits;
}

/** What a generator may use: one worker number, and a range of time, in milliseconds since 1970. */
export interface WorkerLease {
  readonly worker: number;
  readonly fromMs: number;
  readonly untilMs: number;
}

/** The parts of an id. */
export interface SlotIdParts {
  readonly at: Date;
  readonly slot: number;
  readonly worker: number;
  readonly sequence: number;
}

/** Takes an id apart. @throws ShardlineError `ID_INVALID` for a value that is none. */
export function readSlotId(id: bigint | string, slots: number): SlotIdParts {
  const value = typeof id === 'string' && /^\d{1,19}$/.test(id) ? BigInt(id) : id;
  if (typeof value !== 'bigint' || value < 0n || value >= 2n ** 63n) {
    throw invalid('A value is no id of 63 bits.');
  }
  const { slotBits, workerBits, sequenceBits } = slotIdLayout(slots);
  const low = Number(value & (2n ** BigInt(LOW_BITS) - 1n));
  return {
    at: new Date(Number(value >> BigInt(LOW_BITS)) + EPOCH_MS),
    slot: low >>> (LOW_BITS - slotBits),
    worker: (low >>> sequenceBits) & (2 ** workerBits - 1),
    sequence: low & (2 ** sequenceBits - 1),
  };
}

/** How far the generator's own time may run ahead of the clock, or a stepped clock fall behind it. */
const MAX_AHEAD_MS = 10_000;

/** Makes ids of one worker number. */
export class SlotIdGenerator {
  readonly #layout: SlotIdLayout;
  readonly #slots: number;
  readonly #now: () => number;
  #lease: WorkerLease;
  #timeMs: number;
  /** Ids made in the current millisecond, by slot. */
  #used = new Map<number, number>();

  constructor(slots: number, lease: WorkerLease, now: () => number = Date.now) {
    this.#layout = slotIdLayout(slots);
    this.#slots = slots;
    this.#now = now;
    if (lease.worker < 0 || lease.worker >= workerLimit(slots)) {
      throw invalid(`Worker ${lease.worker} is out of range: there are ${workerLimit(slots)}.`);
    }
    this.#lease = lease;
    this.#timeMs = lease.fromMs;
  }

  /** The first millisecond of which no id has been made. */
  get unusedFromMs(): number {
    return this.#timeMs + 1;
  }

  /** Goes on under a renewed lease of the same worker. */
  renew(lease: WorkerLease): void {
    if (lease.worker !== this.#lease.worker) {
      this.#timeMs = Math.max(this.#timeMs, lease.fromMs);
      this.#used.clear();
    }
    this.#lease = lease;
  }

  /**
   * The next id of a slot.
   *
   * @throws ShardlineError `ID_INVALID` if the lease has ended, or the clock fell back too far.
   */
  next(slot: number): bigint {
    if (!Number.isInteger(slot) || slot < 0 || slot >= this.#slots) {
      throw invalid(`Slot ${slot} is out of range: there are ${this.#slots}.`);
    }
    const nowMs = this.#now();
    if (nowMs > this.#timeMs) this.#advance(nowMs);
    let sequence = this.#used.get(slot) ?? 0;
    if (sequence >= 2 ** this.#layout.sequenceBits) {
      this.#advance(this.#timeMs + 1);
      sequence = 0;
    }
    this.#checkTime(nowMs);
    this.#used.set(slot, sequence + 1);
    return this.#compose(slot, sequence);
  }

  #advance(timeMs: number): void {
    this.#timeMs = timeMs;
    this.#used.clear();
  }

  #checkTime(nowMs: number): void {
    if (this.#timeMs >= this.#lease.untilMs) {
      throw invalid(`The lease of worker ${this.#lease.worker} has ended.`, true);
    }
    if (this.#timeMs - nowMs > MAX_AHEAD_MS) {
      throw invalid(
        `The clock is ${this.#timeMs - nowMs} ms behind the ids that were made; it has been set back.`,
        true,
      );
    }
    const sinceMs = this.#timeMs - EPOCH_MS;
    if (sinceMs < 0 || sinceMs >= 2 ** TIME_BITS) {
      throw invalid(
        `The clock shows ${new Date(this.#timeMs).toISOString()}, which ids cannot tell.`,
      );
    }
  }

  #compose(slot: number, sequence: number): bigint {
    const { slotBits, sequenceBits } = this.#layout;
    const low =
      slot * 2 ** (LOW_BITS - slotBits) + this.#lease.worker * 2 ** sequenceBits + sequence;
    return (BigInt(this.#timeMs - EPOCH_MS) << BigInt(LOW_BITS)) | BigInt(low);
  }
}

function invalid(happened: string, retryable = false): ShardlineError {
  return new ShardlineError(routerErrors.ID_INVALID, happened, { retryable });
}
