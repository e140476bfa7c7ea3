/**
 * A set of packed states that remembers how each was first reached.
 *
 * A state is a fixed number of 32-bit words. All states stand one after another in one typed array, so ten
 * million of them cost a few hundred megabytes and no garbage collection; an open-addressing index of their numbers
 * finds them again. States are numbered in the order of discovery.
 */

const FIRST_STATES = 1 << 12;

/** Packed states, numbered, each with the number of the state from which it was first reached. */
export class StateTable {
  readonly wordsPerState: number;
  #words: Uint32Array;
  #parents: Int32Array;
  /** Number of a state plus one, by hash; zero is free. At most half of it is in use. */
  #index: Int32Array;
  #size = 0;

  constructor(wordsPerState: number) {
    this.wordsPerState = wordsPerState;
    this.#words = new Uint32Array(FIRST_STATES * wordsPerState);
    this.#parents = new Int32Array(FIRST_STATES);
    this.#index = new Int32Array(FIRST_STATES * 2);
  }

  /** How many states there are. */
  get size(): number {
    return this.#size;
  }

  /** The words of all states; state `n` begins at `n * wordsPerState`. Not to be kept over an `add`. */
  get words(): Uint32Array {
    return this.#words;
  }

  /** The state from which this one was first reached, or -1. */
  parentOf(state: number): number {
    return this.#parents[state] as number;
  }

  /**
   * Finds a state or adds it.
   *
   * @returns its number; `size` has grown by one if it is new.
   */
  add(packed: Uint32Array, parent: number): number {
    const { wordsPerState } = this;
    const mask = this.#index.length - 1;
    let place = hashWords(packed, 0, wordsPerState) & mask;
    for (let known = this.#index[place] as number; known !== 0; ) {
      if (this.#isEqual(known - 1, packed)) return known - 1;
      place = (place + 1) & mask;
      known = this.#index[place] as number;
    }
    const state = this.#size;
    if ((state + 1) * 2 > this.#index.length) {
      this.#grow();
      return this.add(packed, parent);
    }
    const start = state * wordsPerState;
    for (let at = 0; at < wordsPerState; at += 1) this.#words[start + at] = packed[at] as number;
    this.#parents[state] = parent;
    this.#index[place] = state + 1;
    this.#size += 1;
    return state;
  }

  #isEqual(state: number, packed: Uint32Array): boolean {
    const start = state * this.wordsPerState;
    for (let at = 0; at < this.wordsPerState; at += 1) {
      if (this.#words[start + at] !== packed[at]) return false;
    }
    return true;
  }

  #grow(): void {
    const { wordsPerState } = this;
    const capacity = this.#parents.length * 2;
    const words = new Uint32Array(capacity * wordsPerState);
    words.set(this.#words);
    this.#words = words;
    const parents = new Int32Array(capacity);
    parents.set(this.#parents);
    this.#parents = parents;
    this.#index = new Int32Array(capacity * 2);
    const mask = this.#index.length - 1;
    for (let state = 0; state < this.#size; state += 1) {
      let place = hashWords(words, state * wordsPerState, wordsPerState) & mask;
      while (this.#index[place] !== 0) place = (place + 1) & mask;
      this.#index[place] = state + 1;
    }
  }
}

/** The mixing of murmur3 (public domain), word by word. */
function hashWords(words: Uint32Array, start: number, count: number): number {
  let hash = count;
  for (let at = start; at < start + count; at += 1) {
    let word = Math.imul(words[at] as number, 0xcc9e2d51);
    word = Math.imul((word << 15) | (word >>> 17), 0x1b873593);
    hash ^= word;
    hash = Math.imul((hash << 13) | (hash >>> 19), 5) + 0xe6546b64;
  }
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return hash ^ (hash >>> 16);
}
