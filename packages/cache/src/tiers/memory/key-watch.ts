/**
 * Watches of keys that are being written.
 *
 * A read's fill is guarded by striped epochs: a collision with another key costs one fill, and the next
 * reader loads again. A write has nobody to do it again, and many writes at once collide often (512 of them
 * on 4096 stripes, some thirty). So each write watches its own key, exactly, for as long as it takes.
 */
export class KeyWatch {
  isDisturbed = false;
  /** By something else than an update of this process, whose order `write/own-updates.ts` finds out. */
  isDisturbedByOthers = false;

  constructor(readonly key: string) {}

  /** From here on only what comes later counts. */
  renew(): void {
    this.isDisturbed = false;
    this.isDisturbedByOthers = false;
  }

  disturb(by: Disturber): void {
    this.isDisturbed = true;
    if (by === 'others') this.isDisturbedByOthers = true;
  }
}

/** Who took a key away. */
export type Disturber = 'update' | 'others';

/** The watches of one namespace. */
export class KeyWatches {
  readonly #byKey = new Map<string, Set<KeyWatch>>();

  begin(key: string): KeyWatch {
    const watch = new KeyWatch(key);
    const watches = this.#byKey.get(key);
    if (watches === undefined) this.#byKey.set(key, new Set([watch]));
    else watches.add(watch);
    return watch;
  }

  end(watch: KeyWatch): void {
    const watches = this.#byKey.get(watch.key);
    if (watches?.delete(watch) && watches.size === 0) this.#byKey.delete(watch.key);
  }

  /** A key was invalidated. */
  disturb(key: string, by: Disturber): void {
    if (this.#byKey.size === 0) return;
    for (const watch of this.#byKey.get(key) ?? []) watch.disturb(by);
  }

  disturbAll(): void {
    for (const watches of this.#byKey.values()) {
      for (const watch of watches) watch.disturb('others');
    }
  }
}
