/**
 * Rendezvous hashing (Thaler and Ravishankar 1998), weighted as by Mosberger: score = -weight / ln(u).
 *
 * Always holds: the winner for a key depends only on the scores of the nodes present, so removing a node
 * moves nothing but its own keys, and raising a weight only draws keys to that node. It costs one
 * hash per node and key, which suits a handful of nodes.
 */

import { ShardlineError } from '@shardline/core';
import { routerErrors } from '../errors.js';
import { avalanche, murmur3x86 } from './murmur3.js';

/** A node that may be chosen. */
export interface WeightedNode {
  /** Unique name; the hash is taken over it. */
  readonly name: string;
  /** Share relative to the others, above zero. @default 1 */
  readonly weight?: number;
}

/**
 * The node with the highest score for a key.
 *
 * @throws ShardlineError `PLACEMENT_INVALID` if there is no node or a weight is not above zero.
 *
 * @example
 * ```ts
 * import { rendezvous } from '@shardline/shard-router';
 *
 * rendezvous('user:42', [{ name: 'a' }, { name: 'b', weight: 2 }]);
 * ```
 */
export function rendezvous(key: string | Uint8Array, nodes: readonly WeightedNode[]): string {
  const keyHash = murmur3x86(key);
  let best: string | undefined;
  let bestScore = Number.NEGATIVE_INFINITY;
  for (const { name, weight = 1 } of nodes) {
    if (!(weight > 0) || !Number.isFinite(weight)) {
      throw new ShardlineError(
        routerErrors.PLACEMENT_INVALID,
        `The weight of node '${name}' is ${weight}; it must be above zero.`,
      );
    }
    const hash = avalanche(keyHash ^ murmur3x86(name, 0x9747b28c));
    const score = -weight / Math.log((hash + 0.5) / 0x100000000);
    // Equal scores go to the smaller name, so that the order of the list does not matter.
    if (score > bestScore || (score === bestScore && name < (best as string))) {
      best = name;
      bestScore = score;
    }
  }
  if (best === undefined) {
    throw new ShardlineError(routerErrors.PLACEMENT_INVALID, 'There is no node to choose from.');
  }
  return best;
}
