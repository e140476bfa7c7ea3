import { NAMESPACE_STAMP } from './key-template.js';

/**
 * Invalidations of one namespace that some tier has not taken yet. While a key is in here, this process
 * asks no tier for it. Bounded: past the limit all keys are one invalidation of the whole namespace.
 */
const MAX_KEYS = 10_000;

export interface PendingInvalidation {
  readonly keys: readonly string[];
  readonly stamps: readonly string[];
  readonly freshness: string | undefined;
  readonly version: number;
}

export class Pending {
  readonly #keys = new Map<string, number>();
  readonly #stamps = new Map<string, number>();
  #freshness: string | undefined;
  #version = 0;

  constructor(private readonly maxKeys = MAX_KEYS) {}

  get size(): number {
    return this.#keys.size + this.#stamps.size;
  }

  /** Whether a key's tiers must not be asked. After a tag or prefix nobody knows which keys it covers. */
  isBlocked(key: string): boolean {
    return this.#stamps.size > 0 || this.#keys.has(key);
  }

  add(keys: readonly string[], stamps: readonly string[], freshness: string | undefined): void {
    this.#version += 1;
    for (const key of keys) this.#keys.set(key, this.#version);
    for (const name of stamps) this.#stamps.set(name, this.#version);
    this.#freshness = freshness ?? this.#freshness;
    if (this.#keys.size + this.#stamps.size <= this.maxKeys) return;
    this.#keys.clear();
    this.#stamps.clear();
    this.#stamps.set(NAMESPACE_STAMP, this.#version);
  }

  take(): PendingInvalidation {
    return {
      keys: [...this.#keys.keys()],
      stamps: [...this.#stamps.keys()],
      freshness: this.#freshness,
      version: this.#version,
    };
  }

  /** Forgets what was taken and has gone through, except what was added again meanwhile. */
  done(taken: PendingInvalidation): void {
    for (const key of taken.keys) {
      if ((this.#keys.get(key) ?? 0) <= taken.version) this.#keys.delete(key);
    }
    for (const name of taken.stamps) {
      if ((this.#stamps.get(name) ?? 0) <= taken.version) this.#stamps.delete(name);
    }
    if (this.size === 0) this.#freshness = undefined;
  }
}
