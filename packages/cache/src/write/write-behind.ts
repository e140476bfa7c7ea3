import { type ScheduledCall, ShardlineError, withDeadline } from '@shardline/core';
import { encodeValue } from '../entry/codec.js';
import { cacheErrors, closedError } from '../errors.js';
import type { Invalidator } from '../invalidate/invalidator.js';
import type { Found } from '../read/found.js';
import type { NamespaceRuntime } from '../runtime.js';
import { freezeAndMeasure } from '../tiers/memory/freeze.js';
import { BehindBuffer, type BufferedWrite } from './behind-buffer.js';
import { BehindPlaces } from './behind-places.js';
import type { BehindPolicy, FlushReport, UnwrittenWrite } from './behind-policy.js';
import { BehindSource } from './behind-source.js';
import {
  abandonWrites,
  type BegunWrite,
  beginWrite,
  finishWrite,
  type WriteOptions,
  writeOf,
} from './write.js';

/**
 * Write-behind: `set` is answered when the value is in this process's buffer; the source takes it later.
 *
 *     accepted --interval or full batch--> leases taken, `store` called --> filled as a write through
 *        ^                                        | failed
 *        +-------- back-off, alone ---------------+------ too often --> `onUnwritten`
 *
 * A flush is a write-through of many keys at once: leases are taken before the source is written, so no
 * other reader's load can outlive it. Until then this process reads what it wrote and other processes read
 * what the source says; with its flush a write enters the order of all others, the last to reach the
 * source wins.
 *
 * A failed `store` may have done its work all the same (so it must be one that can be repeated), and one
 * that ran out of time may still be doing it: the next attempt waits for its end, as long again, so that
 * it is not overtaken by an older write of the same key.
 */

interface Flush {
  readonly upTo: number;
  readonly unwritten: UnwrittenWrite[];
  written: number;
  readonly done: () => void;
}

const FIRST_BACKOFF_MS = 100;
const MAX_BACKOFF_MS = 30_000;
const NOTHING: FlushReport = { written: 0, unwritten: [] };

export class WriteBehind {
  readonly #runtime: NamespaceRuntime;
  readonly #policy: BehindPolicy;
  readonly #invalidator: Invalidator;
  readonly #buffer = new BehindBuffer();
  readonly #source: BehindSource;
  readonly #places: BehindPlaces;
  readonly #flushes = new Set<Flush>();
  #urgentUpTo = 0;
  #timer: ScheduledCall | undefined;
  #pumping: Promise<void> | undefined;
  #isClosed = false;
  #isEnded = false;

  constructor(runtime: NamespaceRuntime, policy: BehindPolicy, invalidator: Invalidator) {
    this.#runtime = runtime;
    this.#policy = policy;
    this.#invalidator = invalidator;
    this.#source = new BehindSource(runtime, policy.storeMany);
    this.#places = new BehindPlaces(policy, {
      name: runtime.name,
      clock: runtime.clock,
      taken: () => this.#buffer.size,
      takenBytes: () => this.#buffer.bytes,
    });
  }

  /** Writes that the source has not acknowledged. */
  get backlog(): number {
    return this.#buffer.size;
  }

  /** Memory that they take, estimated. */
  get backlogBytes(): number {
    return this.#buffer.bytes;
  }

  /** How many callers wait for a place. */
  get waiters(): number {
    return this.#places.waiters;
  }

  /** How long the oldest of them has waited, in milliseconds. */
  get oldestMs(): number {
    const sinceMs = this.#buffer.oldestSinceMs();
    return sinceMs === undefined ? 0 : this.#runtime.clock.monotonicMs() - sinceMs;
  }

  /** The newest value of a key that is not in the source yet. */
  newest(key: string): { readonly value: unknown } | undefined {
    return this.#buffer.size === 0 ? undefined : this.#buffer.newest(key);
  }

  /**
   * Takes a value in.
   *
   * @throws ShardlineError `CACHE_VALUE_INVALID`; `CACHE_WRITE_BEHIND_FULL` at once (`whenFull: 'reject'`) or
   * after `fullWait`; `ABORTED`; `CLOSED`.
   */
  async add(
    key: string,
    value: unknown,
    options: WriteOptions & { readonly signal?: AbortSignal | undefined },
  ): Promise<void> {
    const runtime = this.#runtime;
    const { kept, bytes } = this.#keepable(key, value, options);
    if (!this.#places.isFree(bytes, this.#buffer.waitingOf(key))) {
      await this.#places.wait(bytes, options.signal);
      this.#places.take(bytes);
    }
    if (this.#isClosed) throw closedError(this.#runtime.name);
    const nowMs = runtime.clock.monotonicMs();
    const dueAtMs = nowMs + this.#policy.intervalMs;
    const { tags, ttlMs } = options;
    const write = { key, value: kept, bytes, options: { tags, ttlMs }, dueAtMs };
    if (this.#buffer.put(write, nowMs)) {
      runtime.counters.behindCoalesced += 1;
      this.#places.hand();
    }
    // From here on this process's L1 must not answer with what was there before.
    runtime.dropLocally([key], []);
    if (this.#buffer.waiting >= this.#policy.batch) {
      this.#urgentUpTo = this.#buffer.lastSequence;
      this.#pump();
    } else this.#plan();
  }

  /**
   * Writes everything that was accepted before this call.
   *
   * @throws ShardlineError `DEADLINE_EXCEEDED`, `ABORTED`: the writes stay in the buffer.
   */
  async flush(timeoutMs: number, signal?: AbortSignal): Promise<FlushReport> {
    const upTo = this.#buffer.lastSequence;
    if (!this.#buffer.holdsUpTo(upTo)) return NOTHING;
    const doing = `Flushing the write-behind buffer of '${this.#runtime.name}'`;
    const { clock } = this.#runtime;
    let flush: Flush | undefined;
    try {
      return await withDeadline({ timeoutMs, clock, signal, doing }, async () => {
        await new Promise<void>((done) => {
          flush = { upTo, unwritten: [], written: 0, done };
          this.#flushes.add(flush);
          this.#urgentUpTo = upTo;
          this.#pump();
        });
        const { written, unwritten } = flush as Flush;
        return { written, unwritten };
      });
    } finally {
      if (flush !== undefined) this.#flushes.delete(flush);
    }
  }

  /** Flushes within the deadline; what is left then is reported and given up. */
  async close(timeoutMs: number): Promise<FlushReport> {
    this.#isClosed = true;
    this.#places.close(closedError(this.#runtime.name));
    let report = NOTHING;
    try {
      report = await this.flush(timeoutMs);
    } catch {
      // What is left is told below.
    }
    this.#isEnded = true;
    this.#timer?.cancel();
    const { underWay, waiting } = this.#buffer.takeAll();
    const left = [
      ...underWay.map((write) => this.#unwritten(write, 'under way')),
      ...waiting.map((write) => this.#unwritten(write, 'waiting')),
    ];
    for (const one of left) this.#tell(one);
    return { written: report.written, unwritten: [...report.unwritten, ...left] };
  }

  /** A value that nobody can change afterwards and that the tiers can take, and the memory that it takes. */
  #keepable(
    key: string,
    value: unknown,
    options: WriteOptions,
  ): { readonly kept: unknown; readonly bytes: number } {
    const { policy, levels, name } = this.#runtime;
    if (this.#isClosed) throw closedError(this.#runtime.name);
    writeOf(this.#runtime, key, value, options);
    if (levels.length > 0) encodeValue(policy.codec, value, `namespace '${name}'`);
    const kept = policy.clone ? structuredClone(value) : value;
    const bytes = freezeAndMeasure(kept) + 2 * key.length;
    const { maxPendingBytes } = this.#policy;
    if (bytes <= maxPendingBytes) return { kept, bytes };
    throw new ShardlineError(
      cacheErrors.CACHE_VALUE_INVALID,
      `'${name}:${key}' takes about ${bytes} bytes; its write-behind buffer has room for ${maxPendingBytes} in all.`,
      {
        remedy: 'Raise `writeBehind.maxPendingBytes`, or write what is so large to its source.',
        details: { bytes, maxPendingBytes },
      },
    );
  }

  /** Sets the alarm for the next write that falls due. */
  #plan(): void {
    this.#timer?.cancel();
    const dueAtMs = this.#buffer.nextDueAtMs();
    if (dueAtMs === undefined || this.#pumping !== undefined || this.#isEnded) return;
    const { clock } = this.#runtime;
    const waitMs = Math.max(0, dueAtMs - clock.monotonicMs());
    this.#timer = clock.schedule(waitMs, () => this.#pump(), true);
  }

  #pump(): void {
    this.#pumping ??= this.#writeDue().finally(() => {
      this.#pumping = undefined;
      this.#plan();
    });
  }

  async #writeDue(): Promise<void> {
    const { clock } = this.#runtime;
    for (;;) {
      const batch = this.#buffer.take({
        limit: this.#policy.batch,
        nowMs: clock.monotonicMs(),
        urgentUpTo: this.#urgentUpTo,
      });
      if (batch.length === 0) return;
      await this.#write(batch);
      this.#places.hand();
      this.#endFlushes();
    }
  }

  /** One batch: leases, source, tiers. Never throws. */
  async #write(batch: readonly BufferedWrite[]): Promise<void> {
    const runtime = this.#runtime;
    const writes = batch.map((buffered) => {
      const { key, value, options } = buffered;
      return { buffered, found: writeOf(runtime, key, value, options) };
    });
    const begun = await Promise.all(
      writes.map(({ buffered, found }) => beginWrite(runtime, buffered.key, found.tagNames)),
    );
    try {
      await this.#finish(writes, begun);
    } finally {
      for (const { watch } of begun) runtime.memory.watches.end(watch);
    }
  }

  async #finish(
    writes: readonly { readonly buffered: BufferedWrite; readonly found: Found }[],
    begun: readonly BegunWrite[],
  ): Promise<void> {
    const runtime = this.#runtime;
    const failed = await this.#source.store(writes.map(({ buffered }) => buffered));
    await Promise.all(
      writes.map(async ({ buffered, found }, index) => {
        if (failed.has(buffered)) return;
        const started = begun[index] as BegunWrite;
        const mayRemember = () => this.#buffer.settle(buffered);
        await finishWrite(runtime, this.#invalidator, started, found, mayRemember).catch(() => {
          // A strict namespace's invalidation that is queued: the write itself is done.
        });
        this.#buffer.settle(buffered);
        runtime.counters.behindWritten += 1;
        for (const flush of this.#flushes) if (buffered.sequence <= flush.upTo) flush.written += 1;
      }),
    );
    if (failed.size === 0) return;
    await abandonWrites(
      runtime,
      this.#invalidator,
      [...failed.keys()].map(({ key }) => key),
    );
    for (const [buffered, error] of failed) this.#retryOrGiveUp(buffered, error);
  }

  #retryOrGiveUp(write: BufferedWrite, error: unknown): void {
    const { clock, random, counters } = this.#runtime;
    counters.behindFailures += 1;
    // Reported by `close` already, as under way.
    if (this.#isEnded) return;
    if (write.attempts + 1 < this.#policy.attempts) {
      const growing = FIRST_BACKOFF_MS * 2 ** write.attempts;
      const backoffMs = Math.min(MAX_BACKOFF_MS, growing) * (0.5 + random() / 2);
      this.#buffer.putBack(write, clock.monotonicMs() + backoffMs, error);
      return;
    }
    this.#buffer.settle(write);
    const attempts = write.attempts + 1;
    const lost = this.#unwritten({ ...write, attempts, lastError: error }, 'failed');
    for (const flush of this.#flushes) {
      if (write.sequence <= flush.upTo) flush.unwritten.push(lost);
    }
    this.#tell(lost);
  }

  #endFlushes(): void {
    for (const flush of this.#flushes) {
      if (!this.#buffer.holdsUpTo(flush.upTo)) flush.done();
    }
  }

  #unwritten(write: BufferedWrite, state: UnwrittenWrite['state']): UnwrittenWrite {
    const { key, value, attempts, lastError } = write;
    return { namespace: this.#runtime.name, key, value, state, attempts, lastError };
  }

  #tell(lost: UnwrittenWrite): void {
    this.#runtime.counters.behindUnwritten += 1;
    try {
      this.#policy.onUnwritten(lost);
    } catch (error) {
      // Whoever is told of a loss must not stop the others' writes; but it must not go unheard either.
      process.emitWarning(error as Error);
    }
  }
}
