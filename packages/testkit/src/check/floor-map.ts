/**
 * An immutable map from small integers to floors, whose versions share what they have in common.
 *
 * Sessions fork and merge with their tokens, and every token must keep the floors it stood for: a
 * later reader may present an old one. A copy per token would cost the whole map each time; here a
 * change copies one path of a tree of fixed depth, and merging two maps skips what they share.
 */

/** The version below which a session must not read a key, and the operation that set it. */
export interface Floor {
  readonly version: number;
  readonly op: string;
}

type Node = readonly (Node | Floor | undefined)[];

const BITS = 4;
const WIDTH = 1 << BITS;

/** See the head of this file. */
export class FloorMap {
  readonly #root: Node;
  readonly #depth: number;

  private constructor(root: Node, depth: number) {
    this.#root = root;
    this.#depth = depth;
  }

  /** A map with room for the keys 0 to size - 1. */
  static withRoomFor(size: number): FloorMap {
    let depth = 1;
    while (WIDTH ** depth < size) depth += 1;
    return new FloorMap([], depth);
  }

  get(key: number): Floor | undefined {
    let node: Node = this.#root;
    for (let level = this.#depth - 1; level > 0; level -= 1) {
      const next = node[digit(key, level)] as Node | undefined;
      if (!next) return undefined;
      node = next;
    }
    return node[digit(key, 0)] as Floor | undefined;
  }

  /** This map with the floor of one key raised; this map itself if it was as high already. */
  raise(key: number, floor: Floor): FloorMap {
    const root = raised(this.#root, this.#depth - 1, key, floor);
    return root === this.#root ? this : new FloorMap(root, this.#depth);
  }

  /** The higher floor of the two, for every key. */
  merge(other: FloorMap): FloorMap {
    const root = merged(this.#root, other.#root, this.#depth - 1);
    return root === this.#root ? this : new FloorMap(root, this.#depth);
  }
}

function digit(key: number, level: number): number {
  return Math.floor(key / WIDTH ** level) % WIDTH;
}

function raised(node: Node, level: number, key: number, floor: Floor): Node {
  const index = digit(key, level);
  const old = node[index];
  const next =
    level === 0
      ? higher(old as Floor | undefined, floor)
      : raised((old as Node | undefined) ?? [], level - 1, key, floor);
  if (next === old) return node;
  const copy = [...node];
  copy[index] = next;
  return copy;
}

function merged(a: Node, b: Node, level: number): Node {
  if (a === b) return a;
  let result: (Node | Floor | undefined)[] | undefined;
  for (let index = 0; index < b.length; index += 1) {
    const old = a[index];
    const other = b[index];
    if (other === undefined || other === old) continue;
    const next =
      level === 0
        ? higher(old as Floor | undefined, other as Floor)
        : merged((old as Node | undefined) ?? [], other as Node, level - 1);
    if (next === old) continue;
    result ??= [...a];
    result[index] = next;
  }
  return result ?? a;
}

function higher(old: Floor | undefined, floor: Floor): Floor {
  return old && old.version >= floor.version ? old : floor;
}
