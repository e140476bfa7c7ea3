/**
 * The gate that every call of a keyspace goes through: holds slots back for a switch, and knows what is
 * in flight.
 *
 * A slot is *open* (calls pass and are counted), or *held* (calls wait in a bounded queue, each to its own
 * deadline, until the hold is released). To hold begins at once; it is *drained* when everything that passed before
 * has ended, and only then does the router acknowledge it. A call that waited looks its owner up anew.
 */

import {
  BoundedQueue,
  type Clock,
  ShardlineError,
  systemClock,
  withDeadline,
} from '@shardline/core';
import { routerErrors } from '../errors.js';

/** How calls wait at a gate. */
export interface SlotGateOptions {
  /** For messages. */
  readonly keyspace: string;
  readonly slots: number;
  /** Most calls that wait at a time, over all held slots. */
  readonly queueLimit: number;
  readonly clock?: Clock;
}

interface Hold {
  readonly id: string;
  readonly slots: ReadonlySet<number>;
  readonly queue: BoundedQueue<void>;
}

/** Counts and holds the calls of one keyspace. */
export class SlotGate {
  readonly #options: SlotGateOptions;
  readonly #clock: Clock;
  readonly #inFlight: Int32Array;
  readonly #holds = new Map<string, Hold>();
  readonly #drains = new Set<{ slots: ReadonlySet<number>; resolve: () => void }>();
  #waiting = 0;

  constructor(options: SlotGateOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#inFlight = new Int32Array(options.slots);
  }

  /** Ids of the holds that stand. */
  get holds(): readonly string[] {
    return [...this.#holds.keys()];
  }

  /** Calls that wait for a release. */
  get waiting(): number {
    return this.#waiting;
  }

  /** Passes the gate if the slot is open. Whoever passes must `leave`. */
  tryEnter(slot: number): boolean {
    if (this.#holds.size > 0 && this.#holdOf(slot) !== undefined) return false;
    this.#inFlight[slot] = (this.#inFlight[slot] as number) + 1;
    return true;
  }

  leave(slot: number): void {
    const left = (this.#inFlight[slot] as number) - 1;
    this.#inFlight[slot] = left;
    if (left === 0 && this.#drains.size > 0) this.#settleDrains();
  }

  /**
   * Waits until the slot is open, then passes.
   *
   * @throws ShardlineError `SLOT_HELD` at the deadline, `QUEUE_FULL`, `ABORTED`.
   */
  async enter(
    slot: number,
    wait: { untilMs: number; signal?: AbortSignal | undefined },
  ): Promise<void> {
    while (!this.tryEnter(slot)) {
      const hold = this.#holdOf(slot) as Hold;
      this.#waiting += 1;
      try {
        await hold.queue.wait({
          timeoutMs: Math.max(0, wait.untilMs - this.#clock.monotonicMs()),
          signal: wait.signal,
          onTimeout: () => this.#heldError(slot, hold),
        });
      } finally {
        this.#waiting -= 1;
      }
    }
  }

  /** Holds slots back from now on. Repeating an id changes nothing. */
  hold(id: string, slots: Iterable<number>): void {
    if (this.#holds.has(id)) return;
    const { keyspace, queueLimit } = this.#options;
    const queue = new BoundedQueue<void>({
      limit: queueLimit,
      doing: `Waiting for held slots of keyspace '${keyspace}'`,
      clock: this.#clock,
    });
    this.#holds.set(id, { id, slots: new Set(slots), queue });
  }

  /** Lets the calls that wait go on, in order of arrival. */
  release(id: string): void {
    const hold = this.#holds.get(id);
    if (hold === undefined) return;
    this.#holds.delete(id);
    while (hold.queue.hand());
  }

  /**
   * Resolves when nothing is in flight on these slots.
   *
   * @throws ShardlineError `DEADLINE_EXCEEDED`, `ABORTED`.
   */
  drained(
    slots: Iterable<number>,
    wait: { timeoutMs: number; signal?: AbortSignal | undefined },
  ): Promise<void> {
    const wanted = new Set(slots);
    if (this.#isIdle(wanted)) return Promise.resolve();
    const doing = `Draining ${wanted.size} slots of keyspace '${this.#options.keyspace}'`;
    return withDeadline({ ...wait, doing, clock: this.#clock }, (stop) => {
      return new Promise<void>((resolve) => {
        const drain = { slots: wanted, resolve };
        this.#drains.add(drain);
        stop.addEventListener('abort', () => this.#drains.delete(drain), { once: true });
      });
    });
  }

  /** Ends every wait with an error: for closing. */
  rejectAll(error: Error): void {
    for (const { queue } of this.#holds.values()) queue.rejectAll(error);
  }

  #holdOf(slot: number): Hold | undefined {
    for (const hold of this.#holds.values()) if (hold.slots.has(slot)) return hold;
    return undefined;
  }

  #isIdle(slots: ReadonlySet<number>): boolean {
    for (const slot of slots) if (this.#inFlight[slot] !== 0) return false;
    return true;
  }

  #settleDrains(): void {
    for (const drain of this.#drains) {
      if (!this.#isIdle(drain.slots)) continue;
      this.#drains.delete(drain);
      drain.resolve();
    }
  }

  #heldError(slot: number, hold: Hold): ShardlineError {
    return new ShardlineError(
      routerErrors.SLOT_HELD,
      `Slot ${slot} of keyspace '${this.#options.keyspace}' was still held (${hold.id}) at the deadline of the call.`,
      {
        details: { keyspace: this.#options.keyspace, slot, hold: hold.id, waiting: this.#waiting },
      },
    );
  }
}
