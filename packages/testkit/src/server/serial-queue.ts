/** Runs pieces of work one after the other, in the order in which they were given. */
export class SerialQueue {
  #last: Promise<unknown> = Promise.resolve();

  run<T>(work: () => Promise<T>): Promise<T> {
    // The one before has told its own caller of its failure.
    const result = this.#last.then(work, work);
    this.#last = result.catch(() => {});
    return result;
  }
}
