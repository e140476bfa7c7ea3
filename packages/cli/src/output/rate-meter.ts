/**
 * Bytes per second of what grows (pure). Smoothed, so that a server that reports in bursts does not make the figure
 * jump; it begins anew when the figure falls, since then something else is being counted.
 */
export class RateMeter {
  /** Weight of the newest sample: about the last ten count. */
  static readonly #SMOOTHING = 0.2;
  /** Shorter spans say more about the clock than about the copy. */
  static readonly #SHORTEST_MS = 200;
  #last: { readonly bytes: number; readonly atMs: number } | undefined;
  #rate: number | undefined;

  /** @returns bytes per second, or undefined while it is not known. */
  add(bytes: number, atMs: number): number | undefined {
    const last = this.#last;
    if (last === undefined || bytes < last.bytes) {
      this.#last = { bytes, atMs };
      this.#rate = undefined;
      return undefined;
    }
    const spanMs = atMs - last.atMs;
    if (spanMs < RateMeter.#SHORTEST_MS) return this.#rate;
    const now = ((bytes - last.bytes) * 1000) / spanMs;
    this.#rate =
      this.#rate === undefined ? now : this.#rate + RateMeter.#SMOOTHING * (now - this.#rate);
    this.#last = { bytes, atMs };
    return this.#rate;
  }
}

/** A meter for each of several things that grow. */
export class RateMeters {
  readonly #meters = new Map<string, RateMeter>();

  /** @returns bytes per second of the named one, or undefined while it is not known. */
  add(name: string, bytes: number, atMs: number): number | undefined {
    const meter = this.#meters.get(name) ?? new RateMeter();
    this.#meters.set(name, meter);
    return meter.add(bytes, atMs);
  }
}
