import { LRUCache } from 'lru-cache';
import { FifoQueue, QueueMember } from './fifo-queue.js';

/**
 * Who may stay in L1: S3-FIFO.
 *
 * Most keys of a skewed workload are asked for once and never again; plain LRU gives each of them a way
 * through the whole cache, past keys that are worth more. Here a newcomer enters a small queue, a tenth
 * of the room. If it is asked for again before it reaches the end it moves to the main queue, else it
 * leaves, and only its name is remembered for a while: should it come back soon, it goes to main
 * at once. In main, whoever was asked for since its last turn gets another turn. (Yang et al., "FIFO
 * queues are all you need for cache eviction", SOSP 2023; figures against LRU, SIEVE and TinyLFU in
 * docs/decisions.)
 *
 * A hit finds the entry in one index, whichever queue it is in, changes one small number in it and moves nothing:
 * that is why it is also faster than an LRU.
 */

/** What is kept. */
export class AdmissibleEntry extends QueueMember {
  /** Hits since its last turn, up to a small limit. */
  visits = 0;
}

export interface AdmissionOptions {
  readonly maxEntries: number;
  readonly maxBytes: number;
}

const SMALL_SHARE = 0.1;
const MAX_VISITS = 3;

/** Hits that move a newcomer to main: one, since a second request is already above the common fate. */
const PROMOTION_VISITS = 1;

export class AdmittedEntries<Entry extends AdmissibleEntry> {
  readonly #index = new Map<string, Entry>();
  readonly #small = new FifoQueue<Entry>();
  readonly #main = new FifoQueue<Entry>();
  readonly #ghosts: LRUCache<string, true>;
  readonly #options: AdmissionOptions;
  readonly #smallEntries: number;
  evictions = 0;

  constructor(options: AdmissionOptions) {
    this.#options = options;
    this.#ghosts = new LRUCache({ max: options.maxEntries + 1 });
    this.#smallEntries = Math.max(1, Math.floor(options.maxEntries * SMALL_SHARE));
  }

  get size(): number {
    return this.#index.size;
  }

  get bytes(): number {
    return this.#small.bytes + this.#main.bytes;
  }

  /** The entry, counted as asked for. */
  hit(key: string): Entry | undefined {
    const entry = this.#index.get(key);
    if (entry !== undefined && entry.visits < MAX_VISITS) entry.visits += 1;
    return entry;
  }

  /** The entry, without being counted. */
  look(key: string): Entry | undefined {
    return this.#index.get(key);
  }

  /** Takes an entry in, in place of one of the same key. False if it is larger than the whole room. */
  put(entry: Entry): boolean {
    const before = this.#index.get(entry.key);
    if (entry.bytes > this.#options.maxBytes) {
      if (before !== undefined) this.#remove(before);
      return false;
    }
    if (before !== undefined) entry.visits = before.visits;
    const queue = this.#queueFor(entry.key, before);
    if (before !== undefined) queue.remove(before);
    queue.push(entry);
    this.#index.set(entry.key, entry);
    while (this.size > this.#options.maxEntries || this.bytes > this.#options.maxBytes) {
      this.#evictOne();
    }
    return true;
  }

  delete(key: string): boolean {
    const entry = this.#index.get(key);
    if (entry !== undefined) this.#remove(entry);
    return entry !== undefined;
  }

  clear(): void {
    for (const entry of this.#index.values()) this.#queueOf(entry).remove(entry);
    this.#index.clear();
    this.#ghosts.clear();
  }

  keys(): IterableIterator<string> {
    return this.#index.keys();
  }

  #queueFor(key: string, before: Entry | undefined): FifoQueue<Entry> {
    if (before !== undefined) return this.#queueOf(before);
    return this.#ghosts.delete(key) ? this.#main : this.#small;
  }

  #queueOf(entry: Entry): FifoQueue<Entry> {
    return entry.queue === this.#main ? this.#main : this.#small;
  }

  #evictOne(): void {
    const smallIsFull =
      this.#small.size > this.#smallEntries ||
      this.#small.bytes > this.#options.maxBytes * SMALL_SHARE;
    if (this.#small.size > 0 && (smallIsFull || this.#main.size === 0)) this.#turnOfSmall();
    else this.#turnOfMain();
  }

  #turnOfSmall(): void {
    const entry = this.#small.shift();
    if (entry === undefined) return;
    if (entry.visits >= PROMOTION_VISITS) {
      entry.visits = 0;
      this.#main.push(entry);
      return;
    }
    this.#ghosts.set(entry.key, true);
    this.#drop(entry);
  }

  #turnOfMain(): void {
    const entry = this.#main.shift();
    if (entry === undefined) return;
    if (entry.visits > 0) {
      entry.visits -= 1;
      this.#main.push(entry);
      return;
    }
    this.#drop(entry);
  }

  #remove(entry: Entry): void {
    this.#queueOf(entry).remove(entry);
    this.#index.delete(entry.key);
  }

  #drop(entry: Entry): void {
    this.#index.delete(entry.key);
    this.evictions += 1;
  }
}
