import { LRUCache } from 'lru-cache';

/**
 * Who may stay in L1: S3-FIFO over two `lru-cache`s.
 *
 * Most keys of a skewed workload are asked for once and never again; plain LRU gives each of them a way
 * through the whole cache, past keys that are worth more. Here a newcomer enters a small queue, a tenth
 * of the room. If it is asked for again before it reaches the end it moves to the main queue, else it
 * leaves, and only its name is remembered for a while: should it come back soon, it goes to main
 * at once. In main, whoever was asked for since its last turn gets another turn. (Yang et al., "FIFO
 * queues are all you need for cache eviction", SOSP 2023; figures against LRU, SIEVE and TinyLFU in
 * docs/decisions.)
 *
 * A hit changes one small number in the entry and moves nothing, which is why it is also faster than an LRU:
 * the two caches are read with `peek` and written at one end, so they are first-in, first-out queues.
 */

/** What an entry must have to be kept. */
export interface Admissible {
  readonly key: string;
  readonly bytes: number;
  /** Hits since its last turn, up to a small limit. */
  visits: number;
}

export interface AdmissionOptions {
  readonly maxEntries: number;
  readonly maxBytes: number;
}

const SMALL_SHARE = 0.1;
const MAX_VISITS = 3;
/** Else `peek` makes itself an object of options for each hit: garbage wherever it is not inlined. */
const AS_IT_IS = {};

/** Hits that move a newcomer to main: one, since a second request is already above the common fate. */
const PROMOTION_VISITS = 1;

export class AdmittedEntries<Entry extends Admissible> {
  readonly #small: LRUCache<string, Entry>;
  readonly #main: LRUCache<string, Entry>;
  readonly #ghosts: LRUCache<string, true>;
  readonly #options: AdmissionOptions;
  readonly #smallEntries: number;
  #bytes = 0;
  #smallBytes = 0;
  evictions = 0;

  constructor(options: AdmissionOptions) {
    this.#options = options;
    const max = options.maxEntries + 1;
    this.#small = new LRUCache({ max });
    this.#main = new LRUCache({ max });
    this.#ghosts = new LRUCache({ max });
    this.#smallEntries = Math.max(1, Math.floor(options.maxEntries * SMALL_SHARE));
  }

  get size(): number {
    return this.#small.size + this.#main.size;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** The entry, counted as asked for. */
  hit(key: string): Entry | undefined {
    const entry = this.#main.peek(key, AS_IT_IS) ?? this.#small.peek(key, AS_IT_IS);
    if (entry !== undefined && entry.visits < MAX_VISITS) entry.visits += 1;
    return entry;
  }

  /** The entry, without being counted. */
  look(key: string): Entry | undefined {
    return this.#main.peek(key, AS_IT_IS) ?? this.#small.peek(key, AS_IT_IS);
  }

  /** Takes an entry in, in place of one of the same key. False if it is larger than the whole room. */
  put(entry: Entry): boolean {
    const { key, bytes } = entry;
    const before = this.look(key);
    if (bytes > this.#options.maxBytes) {
      this.delete(key);
      return false;
    }
    if (before !== undefined) {
      this.#replace(before, entry);
    } else if (this.#ghosts.delete(key)) {
      this.#main.set(key, entry);
      this.#bytes += bytes;
    } else {
      this.#small.set(key, entry);
      this.#bytes += bytes;
      this.#smallBytes += bytes;
    }
    while (this.size > this.#options.maxEntries || this.#bytes > this.#options.maxBytes) {
      this.#evictOne();
    }
    return true;
  }

  delete(key: string): boolean {
    const entry = this.look(key);
    if (entry === undefined) return false;
    if (this.#small.delete(key)) this.#smallBytes -= entry.bytes;
    else this.#main.delete(key);
    this.#bytes -= entry.bytes;
    return true;
  }

  clear(): void {
    this.#small.clear();
    this.#main.clear();
    this.#ghosts.clear();
    this.#bytes = 0;
    this.#smallBytes = 0;
  }

  *keys(): IterableIterator<string> {
    yield* this.#main.keys();
    yield* this.#small.keys();
  }

  #replace(before: Entry, entry: Entry): void {
    entry.visits = before.visits;
    this.#bytes += entry.bytes - before.bytes;
    if (this.#small.has(entry.key)) {
      this.#smallBytes += entry.bytes - before.bytes;
      this.#small.set(entry.key, entry);
    } else {
      this.#main.set(entry.key, entry);
    }
  }

  #evictOne(): void {
    const smallIsFull =
      this.#small.size > this.#smallEntries ||
      this.#smallBytes > this.#options.maxBytes * SMALL_SHARE;
    if (this.#small.size > 0 && (smallIsFull || this.#main.size === 0)) this.#turnOfSmall();
    else this.#turnOfMain();
  }

  #turnOfSmall(): void {
    const entry = this.#small.pop();
    if (entry === undefined) return;
    this.#smallBytes -= entry.bytes;
    if (entry.visits >= PROMOTION_VISITS) {
      entry.visits = 0;
      this.#main.set(entry.key, entry);
      return;
    }
    this.#ghosts.set(entry.key, true);
    this.#drop(entry);
  }

  #turnOfMain(): void {
    const entry = this.#main.pop();
    if (entry === undefined) return;
    if (entry.visits > 0) {
      entry.visits -= 1;
      this.#main.set(entry.key, entry);
      return;
    }
    this.#drop(entry);
  }

  #drop(entry: Entry): void {
    this.#bytes -= entry.bytes;
    this.evictions += 1;
  }
}
