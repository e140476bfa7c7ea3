/**
 * Which shard owns which slot: proposed, exact to one slot, moving the least that can be moved.
 *
 * Quotas. A shard's fair share is slots x weight / total weight. Its quota is that share rounded down or
 * up, and the sum of the quotas is the number of slots. Which shards are rounded up is free, and is decided so
 * that nothing moves for rounding's sake: first those that hold that many already.
 * Moves. Whoever holds more than its quota gives, whoever holds less takes, nobody does both. So the number
 * of moved slots is the sum of max(0, quota - held), which no map with these quotas can beat.
 * Preference. Which slots are given to whom is asked of the consistent-hash ring, so that
 * the same change proposed twice, in whatever order the shards are listed, is the same change.
 */

import { ShardlineError } from '@shardline/core';
import { routerErrors } from '../errors.js';
import type { WeightedNode } from '../hash/rendezvous.js';
import { HashRing } from './hash-ring.js';
import { weightsOf } from './node.js';

/** The owner of every slot, by name; the index is the slot. */
export type SlotOwners = readonly string[];

/** Points per unit of the largest weight: the ring states preferences only, so few are enough. */
const PREFERENCE_POINTS = 64;

/**
 * Proposes owners for all slots.
 *
 * @param current who owns the slots now; slots of shards that are not in `nodes` are given away.
 * @throws ShardlineError `PLACEMENT_INVALID` for unusable nodes, or more nodes than slots.
 *
 * @example
 * ```ts
 * import { proposeSlots } from '@shardline/shard-router';
 *
 * const four = proposeSlots(4096, [{ name: 'a' }, { name: 'b' }, { name: 'c' }, { name: 'd' }]);
 * const five = proposeSlots(
 *   4096,
 *   [{ name: 'a' }, { name: 'b' }, { name: 'c' }, { name: 'd' }, { name: 'e' }],
 *   four,
 * );
 * ```
 */
export function proposeSlots(
  slots: number,
  nodes: readonly WeightedNode[],
  current?: SlotOwners,
): string[] {
  const weights = weightsOf(nodes);
  if (weights.size > slots) {
    throw new ShardlineError(
      routerErrors.PLACEMENT_INVALID,
      `${weights.size} nodes cannot share ${slots} slots.`,
    );
  }
  const held = countSlots(current ?? [], weights);
  const quotas = slotQuotas(slots, weights, held);
  return move(slots, weights, quotas, held, current);
}

/** How many slots each shard holds now; shards without any are there with zero. */
export function countSlots(
  owners: SlotOwners,
  names: { keys(): IterableIterator<string> },
): Map<string, number> {
  const counts = new Map<string, number>();
  for (const name of names.keys()) counts.set(name, 0);
  for (const owner of owners) {
    const count = counts.get(owner);
    if (count !== undefined) counts.set(owner, count + 1);
  }
  return counts;
}

/** Exact quotas: each within one slot of the weighted share, together all slots. */
export function slotQuotas(
  slots: number,
  weights: ReadonlyMap<string, number>,
  held: ReadonlyMap<string, number>,
): Map<string, number> {
  let total = 0;
  for (const weight of weights.values()) total += weight;
  const candidates = [...weights].map(([name, weight]) => {
    const share = (slots * weight) / total;
    const floor = Math.floor(share);
    return { name, floor, fraction: share - floor, held: held.get(name) ?? 0 };
  });
  let left = slots - candidates.reduce((sum, { floor }) => sum + floor, 0);
  const quotas = new Map(candidates.map(({ name, floor }) => [name, floor]));
  // Rounded up first: who holds more than the floor already (it costs no move); then who must gain
  // anyway; then the larger fraction; then the name.
  const ranked = candidates
    .filter(({ fraction }) => fraction > 0)
    .sort((a, b) => rank(a) - rank(b) || b.fraction - a.fraction || (a.name < b.name ? -1 : 1));
  for (const { name, floor } of ranked) {
    if (left <= 0) break;
    quotas.set(name, floor + 1);
    left -= 1;
  }
  return quotas;
}

function rank({ floor, held }: { floor: number; held: number }): number {
  if (held > floor) return 0;
  return held < floor ? 1 : 2;
}

function move(
  slots: number,
  weights: ReadonlyMap<string, number>,
  quotas: ReadonlyMap<string, number>,
  held: ReadonlyMap<string, number>,
  current: SlotOwners | undefined,
): string[] {
  const missing = new Map<string, number>();
  const surplus = new Map<string, number>();
  for (const [name, quota] of quotas) {
    const difference = quota - (held.get(name) as number);
    if (difference > 0) missing.set(name, difference);
    if (difference < 0) surplus.set(name, -difference);
  }
  const owners: string[] = Array.from({ length: slots }, (_, slot) => current?.[slot] ?? '');
  if (missing.size === 0) return owners;
  const ring = new HashRing(
    [...weights]
      .filter(([name]) => missing.has(name))
      .map(([name]) => ({ name, weight: missing.get(name) as number })),
    { points: PREFERENCE_POINTS / Math.max(...missing.values()) },
  );
  for (const slot of slotsToGive(owners, weights, surplus)) {
    // There is always one: what is given and what is missing add up to the same number.
    const taker = ring.firstFrom(`slot:${slot}`, (name) => (missing.get(name) ?? 0) > 0) as string;
    missing.set(taker, (missing.get(taker) as number) - 1);
    owners[slot] = taker;
  }
  return owners;
}

/** Slots without an owner of the new set, and as many of each giver as it has too many, spread evenly. */
function slotsToGive(
  owners: SlotOwners,
  weights: ReadonlyMap<string, number>,
  surplus: ReadonlyMap<string, number>,
): number[] {
  const given: number[] = [];
  const byOwner = new Map<string, number[]>();
  for (const [slot, owner] of owners.entries()) {
    if (!weights.has(owner)) given.push(slot);
    else if (surplus.has(owner)) {
      const list = byOwner.get(owner);
      if (list === undefined) byOwner.set(owner, [slot]);
      else list.push(slot);
    }
  }
  for (const [owner, list] of byOwner) {
    const count = surplus.get(owner) as number;
    // Spread over the hash space: neighbours in it tend to hold tenants that were imported together.
    for (let index = 0; index < count; index += 1) {
      given.push(list[Math.floor((index * list.length) / count)] as number);
    }
  }
  return given.sort((a, b) => a - b);
}
