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
  readonly #invalidatedAt = new Map<string, number>();

  constructor(private readonly maxNames = MAX_NAMES) {}

  invalidate(name: string): void {
    this.sequence += 1;
    // Taken out first, so that the map stays in the order of the numbers.
    this.#invalidatedAt.delete(name);
    this.#invalidatedAt.set(name, this.sequence);
    if (this.#invalidatedAt.size > this.maxNames) this.#forgetOldest();
  }

  #forgetOldest(): void {
    for (const [name, sequence] of this.#invalidatedAt) {
      this.#floor = Math.max(this.#floor, sequence);
      this.#invalidatedAt.delete(name);
      return;
    }
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
      if ((this.#invalidatedAt.get(name) ?? 0) > sequence) return false;
    }
    return true;
  }

  isUnchangedSince(sequence: number, name: string): boolean {
    return sequence >= this.#floor && (this.#invalidatedAt.get(name) ?? 0) <= sequence;
  }
}
