/**
 * What a statement says to be equal: columns, parameters and constants, each by a name, in classes
 * (a union-find). `a.k = b.k AND b.k = $1` puts all three into one.
 */
export class Equalities {
  readonly #parents: Map<string, string>;

  constructor(parents: Iterable<readonly [string, string]> = []) {
    this.#parents = new Map(parents);
  }

  /** A copy that may learn more. */
  fork(): Equalities {
    return new Equalities(this.#parents);
  }

  /** States that two terms are equal. */
  join(a: string, b: string): void {
    const x = this.#rootOf(a);
    const y = this.#rootOf(b);
    if (x !== y) this.#parents.set(x, y);
  }

  areEqual(a: string, b: string): boolean {
    return this.#rootOf(a) === this.#rootOf(b);
  }

  #rootOf(term: string): string {
    let root = term;
    for (let up = this.#parents.get(root); up !== undefined; up = this.#parents.get(root))
      root = up;
    return root;
  }
}
