/**
 * Which slots of an overloaded shard go where (pure).
 *
 * The heaviest slot first, each to whoever is least loaded for its weight, until the shard carries its fair share. A
 * slot that would only make another shard the overloaded one stays where it is: one slot that is hotter than a fair
 * share cannot be helped by moving it about.
 */

import { ShardlineError } from '@shardline/core';
import { routerErrors } from '../errors.js';
import type { SlotMeasure } from '../placement/analyze.js';

/** What is asked for. */
export interface SplitRequest {
  readonly shard: string;
  readonly by: 'rows' | 'bytes' | 'heat';
  readonly destinations?: readonly string[] | undefined;
}

/** @returns owners after the split. @throws ShardlineError `PLACEMENT_INVALID`. */
export function splitByLoad(
  owners: readonly string[],
  weights: ReadonlyMap<string, number>,
  measures: readonly SlotMeasure[],
  { shard, by, destinations }: SplitRequest,
): string[] {
  const loadOf = new Map(measures.map((measure) => [measure.slot, measure[by] ?? 0]));
  const total = [...loadOf.values()].reduce((sum, load) => sum + load, 0);
  if (total === 0) {
    throw new ShardlineError(
      routerErrors.PLACEMENT_INVALID,
      `Nothing was measured of ${by}, so shard '${shard}' cannot be split by it.`,
      { remedy: 'Split by rows or bytes, or move named slots.' },
    );
  }
  const receivers = (destinations ?? [...weights.keys()]).filter(
    (name) => name !== shard && (weights.get(name) ?? 0) > 0,
  );
  const loads = new Map([...weights.keys()].map((name) => [name, 0]));
  owners.forEach((owner, slot) => {
    loads.set(owner, (loads.get(owner) ?? 0) + (loadOf.get(slot) ?? 0));
  });
  const totalWeight = [...weights.values()].reduce((sum, weight) => sum + weight, 0);
  const fair = (name: string) => (total * (weights.get(name) ?? 0)) / totalWeight;
  const next = [...owners];
  const heaviest = owners
    .flatMap((owner, slot) => (owner === shard ? [slot] : []))
    .sort((a, b) => (loadOf.get(b) ?? 0) - (loadOf.get(a) ?? 0) || a - b);
  for (const slot of heaviest) {
    const load = loadOf.get(slot) ?? 0;
    const left = loads.get(shard) as number;
    if (load === 0 || left <= fair(shard)) break;
    const receiver = leastLoaded(receivers, loads, weights);
    if (receiver === undefined) break;
    const after = (loads.get(receiver) as number) + load;
    if (after / (weights.get(receiver) as number) >= left / (weights.get(shard) || 1)) continue;
    next[slot] = receiver;
    loads.set(receiver, after);
    loads.set(shard, left - load);
  }
  return next;
}

function leastLoaded(
  receivers: readonly string[],
  loads: ReadonlyMap<string, number>,
  weights: ReadonlyMap<string, number>,
): string | undefined {
  const relative = (name: string) => (loads.get(name) ?? 0) / (weights.get(name) as number);
  return [...receivers].sort((a, b) => relative(a) - relative(b) || (a < b ? -1 : 1))[0];
}
