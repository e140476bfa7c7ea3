/**
 * Epochs compared after the read.
 *
 * A read that was routed by a topology of which nobody vouches is checked against the shard's own record once its
 * answer is there: the slot must be owned, and owned *since the epoch that it was routed by*. Asked before
 * the read it would be a race; without the epoch a slot that went away and came back would pass.
 *
 * The question goes to the primary, since a replica's record may be as old as its rows. Many reads share one
 * question: whoever has its answer while a question is under way waits for the next one, never for that one,
 * which may have read the record before that read was done.
 */

import type { Queryable } from '../shard/queryable.js';
import verifySql from './verify.sql';

interface Batch {
  readonly slots: Set<number>;
  readonly answer: Promise<ReadonlyMap<number, number>>;
}

/** Checks reads of one keyspace on one shard. */
export class OwnershipCheck {
  readonly #primary: Queryable;
  readonly #keyspace: string;
  #running: Promise<unknown> | undefined;
  #next: Batch | undefined;
  /** Questions that were asked. */
  asked = 0;

  constructor(primary: Queryable, keyspace: string) {
    this.#primary = primary;
    this.#keyspace = keyspace;
  }

  /** Whether the shard owns the slot, and has since that epoch. Call it when the read has ended. */
  async isOwnedSince(slot: number, epoch: number): Promise<boolean> {
    const batch = this.#next ?? this.#open();
    batch.slots.add(slot);
    return (await batch.answer).get(slot) === epoch;
  }

  #open(): Batch {
    const slots = new Set<number>();
    const answer = this.#askAfter(this.#running, slots);
    this.#next = { slots, answer };
    return this.#next;
  }

  async #askAfter(
    previous: Promise<unknown> | undefined,
    slots: Set<number>,
  ): Promise<ReadonlyMap<number, number>> {
    // Even the first waits a moment: reads that ended in the same tick join in.
    await (previous ?? Promise.resolve());
    this.#next = undefined;
    const asking = this.#ask(slots);
    const settled = asking.then(
      () => {},
      () => {},
    );
    this.#running = settled;
    try {
      return await asking;
    } finally {
      if (this.#running === settled) this.#running = undefined;
    }
  }

  async #ask(slots: ReadonlySet<number>): Promise<ReadonlyMap<number, number>> {
    this.asked += 1;
    const { rows } = await this.#primary.query<{ slot: number; epoch: string }>(verifySql, [
      this.#keyspace,
      [...slots],
    ]);
    return new Map(rows.map(({ slot, epoch }) => [slot, Number(epoch)]));
  }
}
