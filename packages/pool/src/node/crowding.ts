/**
 * For how long somebody has lately been waiting for a connection.
 *
 * One moment in which callers wait says nothing of the next: a burst is over before a new connection is up. But a pool
 * whose callers wait again and again is short of connections, however soon each of them is served. So the time in
 * which anybody waited is added up, and fades about as fast as an idle connection is given up: when it comes to as
 * much as a dial takes, a connection dialled at the start would have paid for itself by now.
 */
const FADES_IN_MS = 10_000;

/** Time in which somebody waited, fading. Pure: time comes in as an argument. */
export class Crowding {
  #totalMs = 0;
  #isCrowded = false;
  #atMs = 0;

  /** Somebody waits from now on, or nobody does. */
  set(isCrowded: boolean, nowMs: number): void {
    // Those who waited last gave up, nobody saw when: nothing of what has passed since counts.
    if (isCrowded) this.#isCrowded = false;
    this.#totalMs = this.totalMs(nowMs);
    this.#atMs = nowMs;
    this.#isCrowded = isCrowded;
  }

  totalMs(nowMs: number): number {
    const passedMs = Math.max(0, nowMs - this.#atMs);
    if (this.#totalMs === 0 && !this.#isCrowded) return 0;
    const kept = this.#totalMs * Math.exp(-passedMs / FADES_IN_MS);
    return this.#isCrowded ? kept + passedMs : kept;
  }

  /** There is a connection more: whether that is enough is to be seen anew. */
  forget(nowMs: number): void {
    this.#totalMs = 0;
    this.#atMs = nowMs;
  }
}
