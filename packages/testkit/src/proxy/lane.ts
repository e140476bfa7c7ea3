import type { Socket } from 'node:net';
import { performance } from 'node:perf_hooks';
import type { CutEnding, Link } from './link.js';
import { resetAfterFlush } from './reset-after-flush.js';

/**
 * One direction of one connection: takes what a socket sends, keeps it as long as the link's faults
 * say, and hands it to the other socket.
 *
 * What always holds:
 *  - Order: an end or a reset travels in the same queue as the bytes, behind them. So a black hole
 *    hides that the server died, as a real one does, and healing delivers the news.
 *  - Nothing is dropped: held bytes flow on after heal(), as TCP would retransmit them.
 *  - Back-pressure: at most MAX_HELD_BYTES are kept; then the source is not read any more, its
 *    window fills, and its sender blocks.
 */
export const MAX_HELD_BYTES = 1024 * 1024;

type Held =
  | { readonly kind: 'bytes'; readonly data: Buffer; dueMs: number }
  | { readonly kind: 'end' | 'reset'; dueMs: number };

export class Lane {
  readonly #source: Socket;
  readonly #destination: Socket;
  readonly #link: Link;
  readonly #onCut: (ending: Exclude<CutEnding, 'silence'>) => void;
  #held: Held[] = [];
  #heldBytes = 0;
  #lastDueMs = 0;
  #timer: NodeJS.Timeout | undefined;
  #isDraining = false;
  #isSilent = false;
  #isDiscarding = false;
  /** The cut that `#passedSinceCut` counts for; another object means another cut. */
  #countedCut: Link['cut'];
  #passedSinceCut = 0;

  constructor(
    source: Socket,
    destination: Socket,
    link: Link,
    onCut: (ending: Exclude<CutEnding, 'silence'>) => void,
  ) {
    this.#source = source;
    this.#destination = destination;
    this.#link = link;
    this.#onCut = onCut;
    source.on('data', (data) => this.#arrive(data as Buffer));
    source.on('end', () => this.#append('end'));
    source.on('error', () => this.#append('reset'));
    destination.on('drain', () => {
      this.#isDraining = false;
      this.pump();
    });
  }

  /** Faults are gone: what is held goes out now, whatever delay it was given. */
  heal(): void {
    this.#isSilent = false;
    this.#lastDueMs = 0;
    for (const held of this.#held) held.dueMs = 0;
    this.#clearTimer();
    this.pump();
  }

  /** From here on whatever the source sends is read and thrown away. */
  discard(): void {
    this.#isDiscarding = true;
    this.#held = [];
    this.#heldBytes = 0;
    this.#clearTimer();
    this.#source.resume();
  }

  /** Hands on whatever may go now. */
  pump(): void {
    while (this.#step());
    if (this.#heldBytes < MAX_HELD_BYTES && this.#source.isPaused()) this.#source.resume();
  }

  #arrive(data: Buffer): void {
    if (this.#isDiscarding) return;
    this.#held.push({ kind: 'bytes', data, dueMs: this.#nextDue() });
    this.#heldBytes += data.length;
    this.pump();
    if (this.#heldBytes >= MAX_HELD_BYTES) this.#source.pause();
  }

  #append(kind: 'end' | 'reset'): void {
    if (this.#isDiscarding) return;
    this.#held.push({ kind, dueMs: this.#nextDue() });
    this.pump();
  }

  #nextDue(): number {
    this.#lastDueMs = this.#link.dueAt(performance.now(), this.#lastDueMs);
    return this.#lastDueMs;
  }

  /** Hands on one thing; false if there is nothing that may go now. */
  #step(): boolean {
    const held = this.#held[0];
    if (held === undefined || this.#timer !== undefined || this.#isDraining) return false;
    if (this.#isSilent || this.#link.isHeld) return false;
    const nowMs = performance.now();
    if (held.dueMs > nowMs) return this.#wakeIn(held.dueMs - nowMs);
    if (held.kind === 'bytes') return this.#pass(held, nowMs);
    this.#held.shift();
    if (held.kind === 'end') this.#destination.end();
    else void resetAfterFlush(this.#destination);
    return true;
  }

  #pass(held: Held & { kind: 'bytes' }, nowMs: number): boolean {
    // Whoever should get this is gone; its own error is already on its way to the source.
    if (this.#destination.destroyed) return false;
    const untilCut = this.#bytesUntilCut();
    if (untilCut === 0) return this.#cut();
    const grant = this.#link.grant(nowMs, Math.min(held.data.length, untilCut));
    if ('waitMs' in grant) return this.#wakeIn(grant.waitMs);
    this.#take(held, grant.bytes);
    this.#isDraining = !this.#destination.write(held.data.subarray(0, grant.bytes));
    return grant.bytes === untilCut ? this.#cut() : true;
  }

  #take(held: Held & { kind: 'bytes' }, bytes: number): void {
    this.#heldBytes -= bytes;
    this.#passedSinceCut += bytes;
    this.#link.passedBytes += bytes;
    if (bytes === held.data.length) this.#held.shift();
    else this.#held[0] = { ...held, data: held.data.subarray(bytes) };
  }

  #bytesUntilCut(): number {
    const cut = this.#link.cut;
    if (cut !== this.#countedCut) {
      this.#countedCut = cut;
      this.#passedSinceCut = 0;
    }
    return cut === undefined ? Number.POSITIVE_INFINITY : cut.bytes - this.#passedSinceCut;
  }

  #cut(): false {
    const cut = this.#link.cut as NonNullable<Link['cut']>;
    cut.connectionsLeft -= 1;
    if (cut.connectionsLeft === 0) this.#link.cut = undefined;
    if (cut.ending === 'silence') this.#isSilent = true;
    else this.#onCut(cut.ending);
    return false;
  }

  #wakeIn(waitMs: number): false {
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.pump();
    }, Math.ceil(waitMs));
    return false;
  }

  #clearTimer(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }
}
