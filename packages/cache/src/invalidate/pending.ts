import { joinedMark } from '../entry/standing-freshness.js';
import { NAMESPACE_STAMP } from './key-template.js';

/**
 * Invalidations of one namespace that some tier has not taken yet. While a key is in here, this process
 * asks no tier for it. Each key has its own freshness mark; marks that come for one key are joined.
 *
 * Bounded: past the limit all keys are one invalidation of the whole namespace. A stamp carries no mark, so where marks
 * were given up for it, it is held, and done once more when every one of them would have ended: whatever
 * others have loaded meanwhile without being told how fresh, goes then. Not before is it acknowledged.
 */
const MAX_KEYS = 10_000;
/** Unlike marks go through one after the other; more of them go through as one that asks for all. */
const MAX_BATCHES = 16;

/** Some of what is pending: keys of one mark, or stamps. */
export interface PendingBatch {
  readonly keys: readonly string[];
  readonly stamps: readonly string[];
  readonly freshness: string | undefined;
}

/** What is pending now. */
export interface PendingInvalidation {
  readonly batches: readonly PendingBatch[];
  readonly version: number;
}

export interface PendingOptions {
  /** How long a mark that was given up is waited out, in milliseconds. */
  readonly holdMs: number;
  readonly monotonicMs: () => number;
  readonly maxKeys?: number;
}

interface PendingKey {
  readonly version: number;
  readonly freshness: string | undefined;
}

export class Pending {
  readonly #options: PendingOptions;
  readonly #maxKeys: number;
  readonly #keys = new Map<string, PendingKey>();
  readonly #stamps = new Map<string, number>();
  #version = 0;
  /** Until when the stamp of everything is held, all marks that it stands for in one, and whether it went through. */
  #held: { readonly untilMs: number; readonly freshness: string; isSent: boolean } | undefined;

  constructor(options: PendingOptions) {
    this.#options = options;
    this.#maxKeys = options.maxKeys ?? MAX_KEYS;
  }

  get size(): number {
    return this.#keys.size + this.#stamps.size;
  }

  /** Whether a key's tiers must not be asked. After a tag or prefix nobody knows which keys it covers. */
  isBlocked(key: string): boolean {
    return this.#stamps.size > 0 || this.#keys.has(key);
  }

  /** How fresh a load of the key must read as far as no tier can tell yet. */
  freshnessOf(key: string): string | undefined {
    return joinedMark(this.#keys.get(key)?.freshness, this.#held?.freshness);
  }

  add(keys: readonly string[], stamps: readonly string[], freshness: string | undefined): void {
    this.#version += 1;
    for (const key of keys) {
      const mark = joinedMark(this.#keys.get(key)?.freshness, freshness);
      this.#keys.set(key, { version: this.#version, freshness: mark });
    }
    for (const name of stamps) this.#stamps.set(name, this.#version);
    if (this.size > this.#maxKeys) this.#giveUpKeys();
  }

  take(): PendingInvalidation {
    const byMark = new Map<string | undefined, string[]>();
    for (const [key, { freshness }] of this.#keys) {
      const same = byMark.get(freshness);
      if (same === undefined) byMark.set(freshness, [key]);
      else same.push(key);
    }
    const marked = [...byMark].filter(([freshness]) => freshness !== undefined);
    const stamps = [...this.#stamps.keys()].filter((name) => !this.#waitsOut(name));
    const plain = { keys: byMark.get(undefined) ?? [], stamps, freshness: undefined };
    const all = [plain, ...inFewBatches(marked)];
    return {
      batches: all.filter((batch) => batch.keys.length + batch.stamps.length > 0),
      version: this.#version,
    };
  }

  /** Forgets what was taken and has gone through, except what was added again meanwhile. */
  done({ batches, version }: PendingInvalidation): void {
    for (const { keys, stamps } of batches) {
      for (const key of keys) {
        if ((this.#keys.get(key)?.version ?? 0) <= version) this.#keys.delete(key);
      }
      for (const name of stamps) {
        if ((this.#stamps.get(name) ?? 0) <= version) this.#doneWith(name);
      }
    }
  }

  #doneWith(stamp: string): void {
    if (stamp === NAMESPACE_STAMP && this.#held !== undefined) {
      this.#held.isSent = true;
      if (this.#waitsOut(stamp)) return;
      this.#held = undefined;
    }
    this.#stamps.delete(stamp);
  }

  /** Whether a stamp has gone through and is only waiting for the end of the marks that it stands for. */
  #waitsOut(stamp: string): boolean {
    const held = stamp === NAMESPACE_STAMP ? this.#held : undefined;
    return held?.isSent === true && this.#options.monotonicMs() < held.untilMs;
  }

  #giveUpKeys(): void {
    let freshness = this.#held?.freshness;
    for (const key of this.#keys.values()) freshness = joinedMark(freshness, key.freshness);
    if (freshness !== undefined) {
      const untilMs = this.#options.monotonicMs() + this.#options.holdMs;
      this.#held = { untilMs, freshness, isSent: false };
    }
    this.#keys.clear();
    this.#stamps.clear();
    this.#stamps.set(NAMESPACE_STAMP, this.#version);
  }
}

/** Keys by their marks; where there are too many, with one mark that asks for all. */
function inFewBatches(marked: readonly [string | undefined, string[]][]): PendingBatch[] {
  if (marked.length <= MAX_BATCHES) {
    return marked.map(([freshness, keys]) => ({ keys, stamps: [], freshness }));
  }
  const freshness = marked.reduce<string | undefined>(
    (all, [mark]) => joinedMark(all, mark),
    undefined,
  );
  return [{ keys: marked.flatMap(([, keys]) => keys), stamps: [], freshness }];
}
