/**
 * The keys asked for most, in bounded memory. Pure.
 *
 * A Misra-Gries summary that is trimmed in one go: it may hold twice what is kept; then the count of the
 * first key beyond is taken from all, and what comes to nothing is dropped. So a count is at most
 * `total / keep` too low and never too high, and summaries of several processes may be added up (Agarwal et al.,
 * "Mergeable Summaries", PODS 2012).
 */
export class TopKeys {
  #counts = new Map<string, number>();

  constructor(private readonly keep: number) {}

  get size(): number {
    return this.#counts.size;
  }

  add(key: string, weight: number): void {
    this.#counts.set(key, (this.#counts.get(key) ?? 0) + weight);
    if (this.#counts.size > 2 * this.keep) this.#trim();
  }

  /** The keys with their counts, most asked for first; counting begins anew. */
  take(): (readonly [key: string, count: number])[] {
    const taken = [...this.#counts].sort(byCount).slice(0, this.keep);
    this.#counts = new Map();
    return taken;
  }

  #trim(): void {
    const sorted = [...this.#counts].sort(byCount);
    const [, beyond] = sorted[this.keep] as readonly [string, number];
    this.#counts = new Map();
    for (const [key, count] of sorted) {
      if (count <= beyond) return;
      this.#counts.set(key, count - beyond);
    }
  }
}

function byCount(a: readonly [string, number], b: readonly [string, number]): number {
  return b[1] - a[1];
}
