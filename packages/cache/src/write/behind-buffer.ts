import type { WriteOptions } from './write.js';

/**
 * Writes that the source has not taken yet. Pure: plain data and the time go in, batches come out.
 *
 * - Newest wins: a second write of a key takes the first one's place in the line, and its turn.
 * - In order per key: while a write of a key is under way, a newer one waits for its end.
 * - A write whose batch failed goes on alone, so that one that cannot be written holds no other up.
 */
export interface BufferedWrite {
  readonly key: string;
  readonly value: unknown;
  /** Memory that it takes, estimated. */
  readonly bytes: number;
  readonly options: WriteOptions;
  /** Number of the oldest write that this one stands for, in the order of acceptance. */
  readonly sequence: number;
  /** When the oldest write that this one stands for was accepted, on the monotonic clock. */
  readonly sinceMs: number;
  /** Not to be tried before this moment. */
  readonly dueAtMs: number;
  /** How often it was tried and failed. */
  readonly attempts: number;
  readonly lastError: unknown;
}

/** How a batch is taken. */
export interface TakeOptions {
  readonly limit: number;
  readonly nowMs: number;
  /** Writes up to this number are taken before they are due, unless they have failed before. */
  readonly urgentUpTo: number;
}

export class BehindBuffer {
  readonly #waiting = new Map<string, BufferedWrite>();
  readonly #underWay = new Map<string, BufferedWrite>();
  #sequence = 0;
  #bytes = 0;

  /** Places taken: a key whose write is under way and has a newer one waiting takes two. */
  get size(): number {
    return this.#waiting.size + this.#underWay.size;
  }

  /** Memory that the writes take, estimated. */
  get bytes(): number {
    return this.#bytes;
  }

  get waiting(): number {
    return this.#waiting.size;
  }

  get underWay(): number {
    return this.#underWay.size;
  }

  get lastSequence(): number {
    return this.#sequence;
  }

  /** The newest write of a key that the source has not acknowledged. */
  newest(key: string): BufferedWrite | undefined {
    return this.#waiting.get(key) ?? this.#underWay.get(key);
  }

  /** The write whose place a write of this key would take. */
  waitingOf(key: string): BufferedWrite | undefined {
    return this.#waiting.get(key);
  }

  /** Takes a write in; true if it took the place of an older one. */
  put(
    write: Pick<BufferedWrite, 'key' | 'value' | 'bytes' | 'options' | 'dueAtMs'>,
    nowMs: number,
  ): boolean {
    const older = this.#waiting.get(write.key);
    this.#bytes += write.bytes - (older?.bytes ?? 0);
    this.#sequence += 1;
    this.#waiting.set(write.key, {
      ...write,
      sequence: older?.sequence ?? this.#sequence,
      sinceMs: older?.sinceMs ?? nowMs,
      dueAtMs: older?.dueAtMs ?? write.dueAtMs,
      attempts: 0,
      lastError: undefined,
    });
    return older !== undefined;
  }

  /** The next batch, oldest first; its writes are under way until they are settled or put back. */
  take({ limit, nowMs, urgentUpTo }: TakeOptions): BufferedWrite[] {
    const batch: BufferedWrite[] = [];
    for (const write of this.#waiting.values()) {
      if (batch.length === limit) break;
      const isDue = nowMs >= write.dueAtMs;
      const isUrgent = write.attempts === 0 && write.sequence <= urgentUpTo;
      if (!(isDue || isUrgent) || this.#underWay.has(write.key)) continue;
      if (write.attempts > 0) {
        if (batch.length > 0) continue;
        batch.push(write);
        break;
      }
      batch.push(write);
    }
    for (const write of batch) {
      this.#waiting.delete(write.key);
      this.#underWay.set(write.key, write);
    }
    return batch;
  }

  /** The source has taken it, or it was given up. True if no newer write of its key waits. */
  settle(write: BufferedWrite): boolean {
    if (this.#underWay.get(write.key) === write) {
      this.#underWay.delete(write.key);
      this.#bytes -= write.bytes;
    }
    return !this.#waiting.has(write.key) && !this.#underWay.has(write.key);
  }

  /** It failed and is to be tried again, unless a newer one has taken its place: then that goes instead. */
  putBack(write: BufferedWrite, dueAtMs: number, error: unknown): void {
    this.#underWay.delete(write.key);
    const newer = this.#waiting.get(write.key);
    if (newer !== undefined) {
      this.#bytes -= write.bytes;
      const { sequence, sinceMs } = write;
      this.#waiting.set(write.key, { ...newer, sequence, sinceMs });
      return;
    }
    const attempts = write.attempts + 1;
    this.#waiting.set(write.key, { ...write, dueAtMs, attempts, lastError: error });
  }

  /** When the next write that is not under way may be tried; undefined if none waits. */
  nextDueAtMs(): number | undefined {
    let earliestMs: number | undefined;
    for (const { key, dueAtMs } of this.#waiting.values()) {
      if (this.#underWay.has(key)) continue;
      if (earliestMs === undefined || dueAtMs < earliestMs) earliestMs = dueAtMs;
    }
    return earliestMs;
  }

  /** Whether a write up to this number is still here. */
  holdsUpTo(sequence: number): boolean {
    const isOld = (write: BufferedWrite) => write.sequence <= sequence;
    return [...this.#waiting.values()].some(isOld) || [...this.#underWay.values()].some(isOld);
  }

  /** When the oldest write was accepted; undefined if there is none. */
  oldestSinceMs(): number | undefined {
    let oldestMs: number | undefined;
    for (const writes of [this.#waiting, this.#underWay]) {
      for (const { sinceMs } of writes.values()) {
        if (oldestMs === undefined || sinceMs < oldestMs) oldestMs = sinceMs;
      }
    }
    return oldestMs;
  }

  /** Everything that is here, those under way first; the buffer is empty afterwards. */
  takeAll(): {
    readonly underWay: readonly BufferedWrite[];
    readonly waiting: readonly BufferedWrite[];
  } {
    const all = { underWay: [...this.#underWay.values()], waiting: [...this.#waiting.values()] };
    this.#underWay.clear();
    this.#waiting.clear();
    this.#bytes = 0;
    return all;
  }
}
