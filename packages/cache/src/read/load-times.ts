/**
 * How long the last loads took, foreground and background alike: what warming watches, so that it
 * stands back when the source grows slow under those who wait.
 */
const WINDOW = 128;

export class LoadTimes {
  readonly #ring = new Float64Array(WINDOW);
  #count = 0;

  /** How many loads the answer of `quantileMs` rests on. */
  get size(): number {
    return Math.min(this.#count, WINDOW);
  }

  add(loadMs: number): void {
    this.#ring[this.#count % WINDOW] = loadMs;
    this.#count += 1;
  }

  /** The time within which a share of the last loads ended; 0 if there were none. */
  quantileMs(share: number): number {
    if (this.size === 0) return 0;
    const sorted = this.#ring.slice(0, this.size).sort();
    return sorted[Math.min(this.size - 1, Math.floor(this.size * share))] as number;
  }
}
