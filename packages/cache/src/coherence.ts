/**
 * Up to when this process has heard every invalidation, on its own monotonic clock.
 *
 * The bus raises `asOfMs` to the moment at which it *sent* the question whose answer showed that
 * nothing more was there: that is proof, without comparing two machines' clocks. See `MemoryEntry` for
 * what rests on it.
 */
export class Coherence {
  asOfMs = Number.NEGATIVE_INFINITY;

  heardOut(asOfMs: number): void {
    if (asOfMs > this.asOfMs) this.asOfMs = asOfMs;
  }

  /** Whether something known good at a time may still be shown, given a bound in milliseconds. */
  isWithin(boundMs: number, goodAsOfMs: number, nowMs: number): boolean {
    return nowMs <= goodAsOfMs + boundMs || nowMs <= this.asOfMs + boundMs;
  }
}
