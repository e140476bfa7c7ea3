/**
 * Gathers what one tick asks for and answers it with one call.
 *
 * Code that loads a list and then each item by itself (the N + 1 pattern) is the natural way to write
 * and the slow way to run. Here every `load` of the same tick joins one batch, which is closed once all
 * promise callbacks that are ready have run: a lone caller pays no timer, and `Promise.all` over a
 * hundred keys is one statement per shard. (The idea is DataLoader's; unlike it,
 * nothing is memoised: the cache in front does that, and it knows about invalidation.)
 */
export interface BatchOptions<Key, Value> {
  /** Answers many keys at once; a key that is missing from the answer has no value. */
  readonly loadMany: (keys: readonly Key[]) => Promise<ReadonlyMap<string, Value>>;
  /** What makes two keys the same. */
  readonly identityOf: (key: Key) => string;
  /** Most keys of one call; more of them go into the next, side by side. */
  readonly maxBatch: number;
}

interface OpenBatch<Key, Value> {
  readonly keys: Map<string, Key>;
  readonly answer: Promise<ReadonlyMap<string, Value>>;
}

/** One call for all the keys that a tick asks for. */
export class Batcher<Key, Value> {
  readonly #options: BatchOptions<Key, Value>;
  #open: OpenBatch<Key, Value> | undefined;

  constructor(options: BatchOptions<Key, Value>) {
    this.#options = options;
  }

  /** The value of a key, or undefined if it has none. Fails if the call for its batch fails. */
  async load(key: Key): Promise<Value | undefined> {
    const identity = this.#options.identityOf(key);
    const batch = this.#batchWithRoom();
    batch.keys.set(identity, key);
    return (await batch.answer).get(identity);
  }

  #batchWithRoom(): OpenBatch<Key, Value> {
    if (this.#open !== undefined && this.#open.keys.size < this.#options.maxBatch) {
      return this.#open;
    }
    const keys = new Map<string, Key>();
    const batch = { keys, answer: this.#answerSoon(keys) };
    this.#open = batch;
    return batch;
  }

  async #answerSoon(keys: Map<string, Key>): Promise<ReadonlyMap<string, Value>> {
    // Behind the microtasks: callers resumed in this very tick, however deep, still get to ask.
    await new Promise<void>((resolve) => process.nextTick(resolve));
    if (this.#open?.keys === keys) this.#open = undefined;
    return this.#options.loadMany([...keys.values()]);
  }
}
