/**
 * Striped epochs: the lease of L1.
 *
 * Whoever wants to fill L1 notes its key's epoch before it reads anything below, and fills only if
 * the epoch is still the same. An invalidation raises it. Keys share stripes, so nothing is allocated
 * per key; a collision costs one fill, never a stale one.
 */
const STRIPES = 4096;

export class Epochs {
  readonly #stripes = new Uint32Array(STRIPES);

  of(key: string): number {
    return this.#stripes[stripeOf(key)] as number;
  }

  raise(key: string): void {
    const stripe = stripeOf(key);
    this.#stripes[stripe] = (this.#stripes[stripe] as number) + 1;
  }

  raiseAll(): void {
    for (let stripe = 0; stripe < STRIPES; stripe += 1) {
      this.#stripes[stripe] = (this.#stripes[stripe] as number) + 1;
    }
  }
}

/** FNV-1a over the UTF-16 units. */
function stripeOf(key: string): number {
  let hash = 0x811c9dc5;
  for (let index = 0; index < key.length; index += 1) {
    hash = Math.imul(hash ^ key.charCodeAt(index), 0x01000193);
  }
  return (hash ^ (hash >>> 16)) & (STRIPES - 1);
}
