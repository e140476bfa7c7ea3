/**
 * From what an operator wants to what moves (pure).
 *
 * For a change of shards or weights the target map comes from `proposeSlots`, which moves the theoretical minimum; the
 * plan is the difference between the map as it is and that one. Named slots and hot slots move as they are and
 * leave weights alone.
 */

import { ShardlineError } from '@shardline/core';
import { routerErrors } from '../errors.js';
import type { SlotMeasure } from '../placement/analyze.js';
import { diffSlots, movedSlots } from '../placement/diff.js';
import { countSlots, proposeSlots, slotQuotas } from '../placement/slot-map.js';
import { formatSlots } from '../topology/slot-set.js';
import type { KeyspaceTopology, Topology } from '../topology/topology.js';
import { cutByBytes } from './cut-by-bytes.js';
import type { PlacementChange } from './placement-change.js';
import type { PlannedMove, RebalancePlan } from './plan.js';
import { sealPlan } from './seal.js';
import { splitByLoad } from './split-by-load.js';

/** What was measured of the slots of a keyspace; slots that nobody measured count as empty. */
export type SlotMeasures = ReadonlyMap<string, readonly SlotMeasure[]>;

/** What a plan is made of beside the change. */
export interface PlanInput {
  readonly id: string;
  readonly nowMs: number;
  readonly topology: Topology;
  readonly measures: SlotMeasures;
  /** Most bytes of one move. */
  readonly moveBytes: number;
  /** Shards that a keyspace may live on, where its declaration names them. @default all */
  readonly confined?: ReadonlyMap<string, readonly string[]>;
}

/** Makes a plan. @throws ShardlineError `PLACEMENT_INVALID`, `KEYSPACE_UNKNOWN`. */
export function planChange(change: PlacementChange, input: PlanInput): RebalancePlan {
  const { topology } = input;
  const weights = weightsAfter(topology, change);
  const moves: PlannedMove[] = [];
  const minimality: Record<string, { movedSlots: number; minimumSlots: number }> = {};
  const balance: Record<string, Record<string, { before: number; after: number }>> = {};
  for (const [name, keyspace] of topology.keyspaces) {
    const before = keyspace.owners();
    const allowed = allowedWeights(name, weights, input.confined?.get(name));
    const after = ownersAfter(change, keyspace, allowed, input.measures.get(name) ?? []);
    const diff = diffSlots(before, after);
    if (diff.length === 0) continue;
    const measured = new Map((input.measures.get(name) ?? []).map((one) => [one.slot, one]));
    for (const { source, destination, slots } of diff) {
      const bytesOf = (slot: number) => measured.get(slot)?.bytes ?? 0;
      for (const part of cutByBytes(slots, bytesOf, input.moveBytes)) {
        moves.push(plannedMove({ keyspace: name, source, destination }, part, measured));
      }
    }
    const moved = movedSlots(diff);
    minimality[name] = {
      movedSlots: moved,
      minimumSlots: isByWeight(change)
        ? minimumOf(keyspace.keyspace.slots, before, allowed)
        : moved,
    };
    balance[name] = balanceOf(before, after);
  }
  return sealPlan({
    format: 1,
    id: input.id,
    createdAtMs: input.nowMs,
    fromEpoch: topology.epoch,
    change,
    weights: Object.fromEntries([...weights].sort(([a], [b]) => (a < b ? -1 : 1))),
    removeShards: change.kind === 'remove' ? [change.shard] : [],
    moves,
    minimality,
    balance,
  });
}

function plannedMove(
  way: Pick<PlannedMove, 'keyspace' | 'source' | 'destination'>,
  slots: readonly number[],
  measured: ReadonlyMap<number, SlotMeasure>,
): PlannedMove {
  const sum = (of: (one: SlotMeasure) => number) =>
    Math.round(
      slots.reduce((total, slot) => {
        const one = measured.get(slot);
        return one === undefined ? total : total + of(one);
      }, 0),
    );
  return {
    ...way,
    slots: formatSlots(slots),
    slotCount: slots.length,
    rows: sum(({ rows }) => rows),
    bytes: sum(({ bytes }) => bytes ?? 0),
  };
}

function isByWeight({ kind }: PlacementChange): boolean {
  return kind !== 'move-slots' && kind !== 'split';
}

/** Weights at the end; zero for a shard that stays and gets nothing. */
function weightsAfter(topology: Topology, change: PlacementChange): ReadonlyMap<string, number> {
  const weights = new Map(topology.shards.map(({ name, weight }) => [name, weight]));
  switch (change.kind) {
    case 'add':
      if ((weights.get(change.shard) ?? 0) > 0) {
        throw invalid(`Shard '${change.shard}' is in the topology already; use 'reweight'.`);
      }
      weights.set(change.shard, checkedWeight(change.shard, change.weight ?? 1));
      break;
    case 'remove':
      known(weights, change.shard);
      weights.delete(change.shard);
      break;
    case 'drain':
      known(weights, change.shard);
      weights.set(change.shard, 0);
      break;
    case 'reweight':
      for (const [name, weight] of Object.entries(change.weights)) {
        known(weights, name);
        if (!Number.isFinite(weight) || weight < 0) throw badWeight(name, weight);
        weights.set(name, weight);
      }
      break;
    case 'move-slots':
      known(weights, change.destination);
      break;
    case 'split':
      known(weights, change.shard);
      for (const name of change.destinations ?? []) known(weights, name);
      break;
  }
  return weights;
}

/**
 * The weights of the shards that a keyspace may live on: one that was declared to live on shards of its own
 * stays there, and takes no part in what others gain or lose.
 */
function allowedWeights(
  keyspace: string,
  weights: ReadonlyMap<string, number>,
  confinedTo: readonly string[] | undefined,
): ReadonlyMap<string, number> {
  if (confinedTo === undefined) return weights;
  const allowed = new Map([...weights].filter(([name]) => confinedTo.includes(name)));
  if ([...allowed.values()].some((weight) => weight > 0)) return allowed;
  throw invalid(
    `Keyspace '${keyspace}' may live on ${confinedTo.join(', ')} only, and none of these would be left with a weight; name other shards in its \`shards\` first.`,
  );
}

function ownersAfter(
  change: PlacementChange,
  keyspace: KeyspaceTopology,
  weights: ReadonlyMap<string, number>,
  measures: readonly SlotMeasure[],
): string[] {
  const owners = keyspace.owners();
  const { name, slots } = keyspace.keyspace;
  if (change.kind === 'move-slots') {
    if (change.keyspace !== name) return owners;
    if (!weights.has(change.destination)) {
      throw invalid(
        `Keyspace '${name}' may not live on '${change.destination}'; its \`shards\` are ${[...weights.keys()].join(', ')}.`,
      );
    }
    for (const slot of change.slots) {
      if (!Number.isInteger(slot) || slot < 0 || slot >= slots) {
        throw invalid(`Keyspace '${name}' has no slot ${slot}; it has 0 to ${slots - 1}.`);
      }
      owners[slot] = change.destination;
    }
    return owners;
  }
  if (change.kind === 'split') {
    return change.keyspace === name ? splitByLoad(owners, weights, measures, change) : owners;
  }
  const nodes = [...weights]
    .filter(([, weight]) => weight > 0)
    .map(([node, weight]) => ({ name: node, weight }));
  return proposeSlots(slots, nodes, owners);
}

function minimumOf(
  slots: number,
  owners: readonly string[],
  weights: ReadonlyMap<string, number>,
): number {
  const positive = new Map([...weights].filter(([, weight]) => weight > 0));
  const held = countSlots(owners, positive);
  let sum = 0;
  for (const [name, quota] of slotQuotas(slots, positive, held)) {
    sum += Math.max(0, quota - (held.get(name) ?? 0));
  }
  return sum;
}

function balanceOf(
  before: readonly string[],
  after: readonly string[],
): Record<string, { before: number; after: number }> {
  const names = [...new Set([...before, ...after])].sort();
  const count = (owners: readonly string[], name: string) =>
    owners.filter((owner) => owner === name).length;
  return Object.fromEntries(
    names.map((name) => [name, { before: count(before, name), after: count(after, name) }]),
  );
}

function known(weights: ReadonlyMap<string, number>, shard: string): void {
  if (weights.has(shard)) return;
  throw invalid(`There is no shard '${shard}'; there are: ${[...weights.keys()].join(', ')}.`);
}

function checkedWeight(shard: string, weight: number): number {
  if (!Number.isFinite(weight) || weight <= 0) throw badWeight(shard, weight);
  return weight;
}

function badWeight(shard: string, weight: number): ShardlineError {
  return invalid(`The weight of '${shard}' is ${weight}.`);
}

function invalid(message: string): ShardlineError {
  return new ShardlineError(routerErrors.PLACEMENT_INVALID, message, {
    remedy: 'See `status` for shards and weights.',
  });
}
