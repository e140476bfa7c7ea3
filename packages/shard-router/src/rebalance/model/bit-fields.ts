/** What packing is made of: fields of a word, and ranks instead of numbers of which only the order matters. */

/** Numbers of one kind, to be replaced by their ranks. All are small. */
export class Ranks {
  #seen: number;
  constructor(...values: readonly number[]) {
    this.#seen = 0;
    for (const value of values) this.add(value);
  }
  add(value: number): void {
    this.#seen |= 1 << value;
  }
  of(value: number): number {
    let below = this.#seen & ((1 << value) - 1);
    let count = 0;
    for (; below !== 0; below &= below - 1) count += 1;
    return count;
  }
}

/** Writes fields from the lowest bit on. */
export class Fields {
  word = 0;
  #at = 0;
  put(value: number, bits: number): this {
    if (value >= 1 << bits || this.#at + bits > 32) {
      throw new RangeError(`${value} does not fit into ${bits} bits at bit ${this.#at}`);
    }
    this.word |= value << this.#at;
    this.#at += bits;
    return this;
  }
  flag(value: boolean): this {
    return this.put(value ? 1 : 0, 1);
  }
}

/** Reads them back in the same order. */
export class FieldReader {
  #word: number;
  constructor(word: number) {
    this.#word = word;
  }
  take(bits: number): number {
    const value = this.#word & ((1 << bits) - 1);
    this.#word >>>= bits;
    return value;
  }
  flag(): boolean {
    return this.take(1) === 1;
  }
}
