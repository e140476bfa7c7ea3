/**
 * Who is denied most, in bounded memory (Space-Saving: Metwally, Agrawal, El Abbadi, 2005). When all
 * places are taken a newcomer inherits the smallest count: a count may be too high by at most that
 * much, and whoever is denied more often than that is surely on the list.
 */
export class TopDenied {
  readonly #places: number;
  readonly #counts = new Map<string, { count: number; excess: number }>();

  constructor(places: number) {
    this.#places = places;
  }

  add(subject: string): void {
    const known = this.#counts.get(subject);
    if (known !== undefined) {
      known.count += 1;
      return;
    }
    if (this.#counts.size < this.#places) {
      this.#counts.set(subject, { count: 1, excess: 0 });
      return;
    }
    let smallest: [string, { count: number; excess: number }] | undefined;
    for (const entry of this.#counts) {
      if (smallest === undefined || entry[1].count < smallest[1].count) smallest = entry;
    }
    if (smallest === undefined) return;
    this.#counts.delete(smallest[0]);
    this.#counts.set(subject, { count: smallest[1].count + 1, excess: smallest[1].count });
  }

  /** The most denied first; `denials` is at most `excess` too high. */
  top(count: number): { subject: string; denials: number; excess: number }[] {
    return [...this.#counts]
      .sort((a, b) => b[1].count - a[1].count)
      .slice(0, count)
      .map(([subject, entry]) => ({ subject, denials: entry.count, excess: entry.excess }));
  }
}
