/**
 * Numbers at places 0 to n - 1, some of them switched on, with two quick questions: add to all up to
 * a place, and which switched-on number is the greatest.
 *
 * A node keeps what was added to its whole range beside the maximum of its children, and nothing is
 * pushed down, so an addition touches one path. A place takes part in maxima only once it is
 * switched on, but it collects additions from the first.
 */
export class MaxSegmentTree {
  readonly #leaves: number;
  readonly #added: Float64Array;
  readonly #greatest: Float64Array;

  constructor(size: number) {
    let leaves = 1;
    while (leaves < size) leaves *= 2;
    this.#leaves = leaves;
    this.#added = new Float64Array(2 * leaves);
    this.#greatest = new Float64Array(2 * leaves).fill(Number.NEGATIVE_INFINITY);
  }

  /** Adds to every place from 0 to this one, switched on or not. */
  addUpTo(place: number, amount: number): void {
    let node = this.#leaves + place;
    this.#addAt(node, amount);
    for (; node > 1; node >>= 1) {
      if (node % 2 === 1) this.#addAt(node - 1, amount);
      this.#refresh(node >> 1);
    }
  }

  /** Lets a place take part, with this number beside what was added to it. Once per place. */
  switchOn(place: number, base: number): void {
    let node = this.#leaves + place;
    this.#greatest[node] = base + (this.#added[node] as number);
    for (; node > 1; node >>= 1) this.#refresh(node >> 1);
  }

  /** The greatest number of all places switched on; -Infinity if none is. */
  get greatest(): number {
    return this.#greatest[1] as number;
  }

  /** The first place that holds the greatest number. */
  get placeOfGreatest(): number {
    let node = 1;
    while (node < this.#leaves) {
      const left = this.#greatest[2 * node] as number;
      const right = this.#greatest[2 * node + 1] as number;
      node = left >= right ? 2 * node : 2 * node + 1;
    }
    return node - this.#leaves;
  }

  #addAt(node: number, amount: number): void {
    this.#added[node] = (this.#added[node] as number) + amount;
    this.#greatest[node] = (this.#greatest[node] as number) + amount;
  }

  #refresh(node: number): void {
    const left = this.#greatest[2 * node] as number;
    const right = this.#greatest[2 * node + 1] as number;
    this.#greatest[node] = Math.max(left, right) + (this.#added[node] as number);
  }
}
