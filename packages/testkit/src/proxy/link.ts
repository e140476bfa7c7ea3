/** Which way bytes go: `up` from client to server, `down` from server to client. */
export type Direction = 'up' | 'down';

/** How a connection ends once its bytes are used up. */
export type CutEnding = 'close' | 'reset' | 'silence';

/** A connection is cut once so many bytes have passed on it. */
export interface Cut {
  readonly bytes: number;
  readonly ending: CutEnding;
  /** How many more connections this cut will end. */
  connectionsLeft: number;
}

/** What a link says to bytes that want to pass: so many now, or ask again later. */
export type Grant = { readonly bytes: number } | { readonly waitMs: number };

/** A throttled link lets bytes through in portions of this length, so that they flow, not lurch. */
const PORTION_MS = 20;

/**
 * One direction of the proxy: the faults that lie on it, and how they bear on bytes. All connections
 * of the proxy share the link, as they would share a cable: bandwidth is for all of them together.
 * Nothing here knows sockets or the time; both are the caller's.
 */
export class Link {
  latencyMs = 0;
  jitterMs = 0;
  bytesPerSecond: number | undefined;
  /** A black hole: everything that arrives is kept back, ends and resets too. */
  isHeld = false;
  cut: Cut | undefined;
  /** Bytes handed on so far. */
  passedBytes = 0;

  readonly #random: () => number;
  #freeAtMs = 0;

  constructor(random: () => number) {
    this.#random = random;
  }

  /** When something that arrives now may be handed on: never before what came before it. */
  dueAt(nowMs: number, previousDueMs: number): number {
    const jitterMs = this.jitterMs === 0 ? 0 : this.#random() * this.jitterMs;
    return Math.max(previousDueMs, nowMs + this.latencyMs + jitterMs);
  }

  /** How many of the wanted bytes (at least one is wanted) may pass now. */
  grant(nowMs: number, wantedBytes: number): Grant {
    const rate = this.bytesPerSecond;
    if (rate === undefined) return { bytes: wantedBytes };
    if (nowMs < this.#freeAtMs) return { waitMs: this.#freeAtMs - nowMs };
    const portionBytes = Math.max(1, Math.floor((rate * PORTION_MS) / 1000));
    const bytes = Math.min(wantedBytes, portionBytes);
    // A late timer must not cost bandwidth: what was missed is caught up, one portion's worth at most.
    this.#freeAtMs = Math.max(this.#freeAtMs, nowMs - PORTION_MS) + (bytes * 1000) / rate;
    return { bytes };
  }

  heal(): void {
    this.latencyMs = 0;
    this.jitterMs = 0;
    this.bytesPerSecond = undefined;
    this.isHeld = false;
    this.cut = undefined;
    this.#freeAtMs = 0;
  }
}
