import { createHash } from 'node:crypto';
import type { Lease, Seen, SharedTier, Tombstone } from '../tier.js';

interface RingNode {
  readonly tier: SharedTier;
  readonly seed: number;
}

/**
 * Several nodes as one tier, by rendezvous hashing: each address belongs to the node with the highest
 * draw for it. A node that is added or taken away moves only its own share of the keys.
 *
 * A dead node's keys go to nobody else: had a neighbour taken them, its deletes would miss what the
 * dead node still holds when it comes back. Until then they are misses of L3.
 */
export class RingTier implements SharedTier {
  readonly name = 'l3';
  readonly maxFrameBytes: number;
  readonly #nodes: readonly RingNode[];

  constructor(nodes: readonly { readonly name: string; readonly tier: SharedTier }[]) {
    this.#nodes = nodes.map(({ name, tier }) => ({ tier, seed: seedOf(name) }));
    this.maxFrameBytes = Math.min(...nodes.map(({ tier }) => tier.maxFrameBytes));
  }

  get isAvailable(): boolean {
    return this.#nodes.some(({ tier }) => tier.isAvailable);
  }

  /** The node that an address belongs to. */
  nodeOf(address: string): SharedTier {
    const hash = hashOf(address);
    let best = this.#nodes[0] as RingNode;
    let bestDraw = -1;
    for (const node of this.#nodes) {
      const draw = mix(hash ^ node.seed);
      if (draw <= bestDraw) continue;
      bestDraw = draw;
      best = node;
    }
    return best.tier;
  }

  read(address: string): Promise<Seen> {
    return this.nodeOf(address).read(address);
  }

  lease(address: string, seen: Seen, leaseMs: number): Promise<Lease | undefined> {
    return this.nodeOf(address).lease(address, seen, leaseMs);
  }

  seize(address: string, leaseMs: number): Promise<Lease> {
    return this.nodeOf(address).seize(address, leaseMs);
  }

  fill(address: string, lease: Lease, frame: Buffer, ttlMs: number): Promise<boolean> {
    return this.nodeOf(address).fill(address, lease, frame, ttlMs);
  }

  replace(address: string, seen: Seen, frame: Buffer, ttlMs: number): Promise<boolean> {
    return this.nodeOf(address).replace(address, seen, frame, ttlMs);
  }

  release(address: string, lease: Lease, backoffMs: number): Promise<void> {
    return this.nodeOf(address).release(address, lease, backoffMs);
  }

  async invalidate(addresses: readonly string[], tombstone?: Tombstone): Promise<void> {
    await allOf(this.#grouped(addresses), ([tier, own]) => tier.invalidate(own, tombstone));
  }

  async readStamps(addresses: readonly string[]): Promise<readonly string[]> {
    const stamps = await Promise.all(
      addresses.map((address) => this.nodeOf(address).readStamps([address])),
    );
    return stamps.map(([stamp]) => stamp as string);
  }

  async bumpStamps(addresses: readonly string[]): Promise<void> {
    await allOf(this.#grouped(addresses), ([tier, own]) => tier.bumpStamps(own));
  }

  async close(): Promise<void> {
    await Promise.all(this.#nodes.map(({ tier }) => tier.close()));
  }

  #grouped(addresses: readonly string[]): Map<SharedTier, string[]> {
    const groups = new Map<SharedTier, string[]>();
    for (const address of addresses) {
      const tier = this.nodeOf(address);
      const group = groups.get(tier);
      if (group === undefined) groups.set(tier, [address]);
      else group.push(address);
    }
    return groups;
  }
}

/** Every node is tried, also when one fails; then the first failure is thrown. */
async function allOf<T>(items: Iterable<T>, work: (item: T) => Promise<void>): Promise<void> {
  const results = await Promise.allSettled([...items].map(work));
  for (const result of results) if (result.status === 'rejected') throw result.reason;
}

function seedOf(name: string): number {
  return createHash('sha256').update(name).digest().readUInt32BE(0);
}

/** FNV-1a. */
function hashOf(text: string): number {
  let hash = 0x811c9dc5;
  for (let index = 0; index < text.length; index += 1) {
    hash = Math.imul(hash ^ text.charCodeAt(index), 0x01000193);
  }
  return hash;
}

/** murmur3's finaliser: every bit of the draw depends on every bit of hash and seed. */
function mix(value: number): number {
  let mixed = Math.imul(value ^ (value >>> 16), 0x85ebca6b);
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
  return (mixed ^ (mixed >>> 16)) >>> 0;
}
