/**
 * How long the last loads took, foreground and background alike: what warming watches, so that it
 * stands back when the source grows slow under those who wait.
 */
const WINDOW = 128;

export class LoadTimes {
  readonly #tookMs = new Float64Array(WINDOW);
  readonly #endedAtMs = new Float64Array(WINDOW);
  #count = 0;

  add(tookMs: number, endedAtMs: number): void {
    this.#tookMs[this.#count % WINDOW] = tookMs;
    this.#endedAtMs[this.#count % WINDOW] = endedAtMs;
    this.#count += 1;
  }

  /** Of the loads that ended since a moment, at most the last 128: how long, shortest first. */
  since(sinceMs: number): readonly number[] {
    const size = Math.min(this.#count, WINDOW);
    const took: number[] = [];
    for (let index = 0; index < size; index += 1) {
      if ((this.#endedAtMs[index] as number) >= sinceMs) took.push(this.#tookMs[index] as number);
    }
    return took.sort((a, b) => a - b);
  }
}
