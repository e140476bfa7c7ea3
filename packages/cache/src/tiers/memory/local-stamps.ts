import { LRUCache } from 'lru-cache';

/**
 * Tags and prefixes as L1 knows them: when each was last invalidated, as a number that only grows.
 *
 * An entry notes the number before its value is read. It is valid while none of its names was
 * invalidated since. Usually nothing at all was, which one comparison tells; only after an invalidation is
 * an entry's list of names looked through, once.
 *
 * Names are forgotten oldest first; a forgotten one counts as invalidated at the highest number ever
 * forgotten, so forgetting costs hits and never freshness.
 */
const MAX_NAMES = 10_000;

export class LocalStamps {
  /** The number now. Read on every hit, hence a plain field. */
  sequence = 0;
  #floor = 0;
  readonly #invalidatedAt: LRUCache<string, number>;

  constructor(maxNames = MAX_NAMES) {
    this.#invalidatedAt = new LRUCache({
      max: maxNames,
      dispose: (sequence, _name, reason) => {
        if (reason === 'evict') this.#floor = Math.max(this.#floor, sequence);
      },
    });
  }

  invalidate(name: string): void {
    this.sequence += 1;
    this.#invalidatedAt.set(name, this.sequence);
  }

  /** After a gap in what was heard: anything may have been invalidated. */
  invalidateAll(): void {
    this.sequence += 1;
    this.#floor = this.sequence;
    this.#invalidatedAt.clear();
  }

  /** Whether none of the names was invalidated after the given number. */
  areUnchangedSince(sequence: number, names: readonly string[]): boolean {
    if (sequence < this.#floor) return false;
    for (const name of names) {
      if ((this.#invalidatedAt.peek(name) ?? 0) > sequence) return false;
    }
    return true;
  }

  isUnchangedSince(sequence: number, name: string): boolean {
    return sequence >= this.#floor && (this.#invalidatedAt.peek(name) ?? 0) <= sequence;
  }
}
