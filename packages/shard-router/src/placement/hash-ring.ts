/**
 * A consistent-hash ring with virtual nodes and weights (Karger et al. 1997).
 *
 * Always holds: a node's points depend on its own name and weight and on nothing else. So adding,
 * removing or reweighting a node moves only keys to or from that node. (`hashring` counts points by the
 * total weight; there, reweighting one node of eight moves 6 % of the keys between the other seven.)
 * Balance is a matter of luck that grows with the number of points: the spread is about 1/sqrt(points). What needs
 * exact balance takes a slot map (`slot-map.ts`), for which the ring only states the preference.
 */

import { murmur3x86 } from '../hash/murmur3.js';
import type { WeightedNode } from '../hash/rendezvous.js';
import { weightsOf } from './node.js';

/** How a ring is made. */
export interface HashRingOptions {
  /** Points of a node of weight 1. More points balance better and take more memory. @default 1024 */
  readonly points?: number;
}

const DEFAULT_POINTS = 1024;

/**
 * Maps keys to weighted nodes.
 *
 * @example
 * ```ts
 * import { HashRing } from '@shardline/shard-router';
 *
 * const ring = new HashRing([{ name: 'a' }, { name: 'b', weight: 2 }]);
 * const owner = ring.get('user:42');
 * const grown = ring.with({ name: 'c' });
 * ```
 */
export class HashRing {
  readonly #weights: ReadonlyMap<string, number>;
  readonly #points: number;
  readonly #names: readonly string[];
  readonly #hashes: Uint32Array;
  readonly #owners: Uint16Array;

  /** @throws ShardlineError `PLACEMENT_INVALID` for no node, a name twice, or a weight not above zero. */
  constructor(nodes: readonly WeightedNode[], options: HashRingOptions = {}) {
    this.#weights = weightsOf(nodes);
    this.#points = options.points ?? DEFAULT_POINTS;
    this.#names = [...this.#weights.keys()];
    const built = buildPoints(this.#weights, this.#points);
    this.#hashes = built.hashes;
    this.#owners = built.owners;
  }

  /** The nodes with their weights, sorted by name. */
  get nodes(): readonly Required<WeightedNode>[] {
    return [...this.#weights].map(([name, weight]) => ({ name, weight }));
  }

  /** The node that owns a key. */
  get(key: string | Uint8Array): string {
    return this.#names[this.#owners[this.#lowerBound(murmur3x86(key))] as number] as string;
  }

  /** The first `count` different nodes clockwise from a key: the owner, then its successors. */
  successors(key: string | Uint8Array, count: number): string[] {
    const wanted = Math.min(count, this.#names.length);
    const found = new Set<number>();
    const start = this.#lowerBound(murmur3x86(key));
    for (let step = 0; found.size < wanted && step < this.#owners.length; step += 1) {
      found.add(this.#owners[(start + step) % this.#owners.length] as number);
    }
    return [...found].map((index) => this.#names[index] as string);
  }

  /** The first node clockwise from a key that is accepted: how bounded shares are handed out. */
  firstFrom(key: string, accepts: (name: string) => boolean): string | undefined {
    const start = this.#lowerBound(murmur3x86(key));
    for (let step = 0; step < this.#owners.length; step += 1) {
      const owner = this.#owners[(start + step) % this.#owners.length] as number;
      const name = this.#names[owner] as string;
      if (accepts(name)) return name;
    }
    return undefined;
  }

  /** A ring with this node added, or given another weight. */
  with(node: WeightedNode): HashRing {
    const others = this.nodes.filter(({ name }) => name !== node.name);
    return new HashRing([...others, node], { points: this.#points });
  }

  /** A ring without this node. */
  without(name: string): HashRing {
    return new HashRing(
      this.nodes.filter((node) => node.name !== name),
      { points: this.#points },
    );
  }

  #lowerBound(hash: number): number {
    let low = 0;
    let high = this.#hashes.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#hashes[middle] as number) < hash) low = middle + 1;
      else high = middle;
    }
    return low === this.#hashes.length ? 0 : low;
  }
}

function buildPoints(weights: ReadonlyMap<string, number>, points: number) {
  const entries: { hash: number; owner: number }[] = [];
  let owner = 0;
  for (const [name, weight] of weights) {
    const count = Math.max(1, Math.round(weight * points));
    for (let point = 0; point < count; point += 1) {
      entries.push({ hash: murmur3x86(`${name}#${point}`, 0x5bd1e995), owner });
    }
    owner += 1;
  }
  // Two nodes may land on one point: the smaller name, which has the smaller index, wins wherever it occurs.
  entries.sort((a, b) => a.hash - b.hash || a.owner - b.owner);
  return {
    hashes: Uint32Array.from(entries, ({ hash }) => hash),
    owners: Uint16Array.from(entries, ({ owner: index }) => index),
  };
}
