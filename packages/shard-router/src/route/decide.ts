/**
 * Where a call goes (pure): one closed set of answers, and later code reads only the answer.
 */

import type { ShardKey } from '../keyspace.js';
import type { KeyspaceTopology } from '../topology/topology.js';

/** Where a call goes, and why. */
export type RouteDecision =
  | {
      readonly kind: 'one';
      readonly shard: string;
      readonly slot: number;
      /** Epoch since which the shard owns the slot. */
      readonly epoch: number;
      readonly reason: string;
    }
  | { readonly kind: 'some'; readonly groups: readonly KeyGroup[]; readonly reason: string }
  | { readonly kind: 'all'; readonly shards: readonly string[]; readonly reason: string };

/** Keys that live on one shard. */
export interface KeyGroup {
  readonly shard: string;
  readonly keys: readonly ShardKey[];
  readonly slots: readonly number[];
  /** Places of the keys in the caller's list. */
  readonly positions: readonly number[];
}

/** One key goes to the owner of its slot. */
export function decideForKey(
  topology: KeyspaceTopology,
  key: ShardKey,
): RouteDecision & { kind: 'one' } {
  const slot = topology.keyspace.slotOf(key);
  const shard = topology.ownerOf(slot);
  const epoch = topology.slotEpoch(slot);
  return {
    kind: 'one',
    shard,
    slot,
    epoch,
    reason: `the key hashes to slot ${slot} of ${topology.slots} in keyspace '${topology.keyspace.name}', which shard '${shard}' owns since epoch ${epoch}`,
  };
}

/** Several keys go to their owners, grouped, each shard asked once. */
export function decideForKeys(
  topology: KeyspaceTopology,
  keys: readonly ShardKey[],
): RouteDecision & { kind: 'some' } {
  const groups = new Map<
    string,
    { shard: string; keys: ShardKey[]; slots: number[]; positions: number[] }
  >();
  for (const [position, key] of keys.entries()) {
    const slot = topology.keyspace.slotOf(key);
    const shard = topology.ownerOf(slot);
    let group = groups.get(shard);
    if (group === undefined) {
      group = { shard, keys: [], slots: [], positions: [] };
      groups.set(shard, group);
    }
    group.keys.push(key);
    group.slots.push(slot);
    group.positions.push(position);
  }
  return {
    kind: 'some',
    groups: [...groups.values()],
    reason: `${keys.length} keys of keyspace '${topology.keyspace.name}' live on ${groups.size} shards`,
  };
}

/** A statement without a key goes to every shard that owns a slot. */
export function decideForAll(topology: KeyspaceTopology): RouteDecision & { kind: 'all' } {
  const shards = topology.owningShards();
  return {
    kind: 'all',
    shards,
    reason: `no key was given, so all ${shards.length} shards that own slots of keyspace '${topology.keyspace.name}' are asked`,
  };
}
