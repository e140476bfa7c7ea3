import { ShardlineError } from '@shardline/core';
import { routerErrors } from '../errors.js';
import type { WeightedNode } from '../hash/rendezvous.js';

/** Names to weights, checked: unique names, weights above zero. Sorted, so that order never matters. */
export function weightsOf(nodes: readonly WeightedNode[]): ReadonlyMap<string, number> {
  const faults: string[] = [];
  const weights = new Map<string, number>();
  for (const { name, weight = 1 } of nodes) {
    if (weights.has(name)) faults.push(`'${name}' is there twice`);
    if (!Number.isFinite(weight) || weight <= 0)
      faults.push(`the weight of '${name}' is ${weight}`);
    weights.set(name, weight);
  }
  if (nodes.length === 0) faults.push('there is none');
  if (faults.length > 0) {
    throw new ShardlineError(
      routerErrors.PLACEMENT_INVALID,
      `The nodes cannot be placed: ${faults.join('; ')}.`,
      { details: { faults } },
    );
  }
  return new Map([...weights].sort(([a], [b]) => (a < b ? -1 : 1)));
}
