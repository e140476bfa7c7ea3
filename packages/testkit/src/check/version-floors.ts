import type { Operation } from './operation.js';
import { compareNs, countWhile } from './sorted.js';

/** The highest version that was established by some moment, and by which operation. */
export interface VersionFloor {
  readonly version: number;
  readonly by: Operation;
}

interface FloorFrom extends VersionFloor {
  readonly fromNs: bigint;
}

/**
 * Answers, per key, what was the highest number established *before* a moment: a running maximum over
 * moments, looked up by halving. Add everything first, then ask.
 */
export class VersionFloors {
  readonly #added = new Map<string, FloorFrom[]>();
  readonly #rising = new Map<string, readonly FloorFrom[]>();

  add(key: string, fromNs: bigint, version: number, by: Operation): void {
    const floors = this.#added.get(key);
    if (floors) floors.push({ fromNs, version, by });
    else this.#added.set(key, [{ fromNs, version, by }]);
  }

  /** Undefined where nothing was established strictly before that moment. */
  before(key: string, momentNs: bigint): VersionFloor | undefined {
    const rising = this.#rising.get(key) ?? this.#raise(key);
    return rising[countWhile(rising, (floor) => floor.fromNs < momentNs) - 1];
  }

  #raise(key: string): readonly FloorFrom[] {
    const rising: FloorFrom[] = [];
    const sorted = [...(this.#added.get(key) ?? [])].sort((a, b) => compareNs(a.fromNs, b.fromNs));
    for (const floor of sorted) {
      if (floor.version > (rising.at(-1)?.version ?? -1)) rising.push(floor);
    }
    this.#rising.set(key, rising);
    return rising;
  }
}
