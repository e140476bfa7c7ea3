import { ShardlineError } from '@shardline/core';
import { routerErrors } from '../errors.js';
import type { SlotOwners } from './slot-map.js';

/** Slots that go from one shard to another. */
export interface SlotMove {
  readonly source: string;
  readonly destination: string;
  /** Ascending. */
  readonly slots: readonly number[];
}

/**
 * The moves that turn one map into another: one per pair of source and destination, sorted by both, so
 * that two runs compare.
 *
 * @throws ShardlineError `TOPOLOGY_INVALID` if the maps have different numbers of slots.
 */
export function diffSlots(from: SlotOwners, to: SlotOwners): SlotMove[] {
  if (from.length !== to.length) {
    throw new ShardlineError(
      routerErrors.TOPOLOGY_INVALID,
      `A map of ${from.length} slots cannot become one of ${to.length}.`,
    );
  }
  const moves = new Map<string, Map<string, number[]>>();
  for (let slot = 0; slot < from.length; slot += 1) {
    const source = from[slot] as string;
    const destination = to[slot] as string;
    if (source === destination) continue;
    let bySource = moves.get(source);
    if (bySource === undefined) {
      bySource = new Map();
      moves.set(source, bySource);
    }
    const slots = bySource.get(destination);
    if (slots === undefined) bySource.set(destination, [slot]);
    else slots.push(slot);
  }
  const byName = (a: [string, unknown], b: [string, unknown]) => (a[0] < b[0] ? -1 : 1);
  return [...moves]
    .sort(byName)
    .flatMap(([source, bySource]) =>
      [...bySource].sort(byName).map(([destination, slots]) => ({ source, destination, slots })),
    );
}

/** How many slots the moves take along. */
export function movedSlots(moves: readonly SlotMove[]): number {
  return moves.reduce((sum, { slots }) => sum + slots.length, 0);
}
