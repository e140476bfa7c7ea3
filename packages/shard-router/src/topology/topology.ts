/**
 * Who owns what, at one epoch.
 *
 * Always holds: a topology never changes; a change makes another one whose epoch is one higher. Every slot of
 * every keyspace has exactly one owner. Each slot remembers the epoch at which its owner last changed, and
 * each shard the epoch at which *anything* about it last changed (slots gained or lost, a move that
 * begins to put foreign rows on it, or ends). A shard keeps the same two numbers in its own record, so
 * that a call can be checked against the shard it ran on: equal numbers mean that nothing changed in between,
 * there and back again included. Asking only "do you own it" would not see the latter.
 *
 * In transit: while rows of a slot are being copied, and until they have been cleaned away, a shard holds rows that
 * do not count. The topology says which slots on which shards, and scatters leave them out.
 *
 * Owners stand in typed arrays: 65536 slots over 1024 shards are 128 KiB, and a lookup is one read.
 */

import { ShardlineError } from '@shardline/core';
import { routerErrors } from '../errors.js';
import { isSlotCount, Keyspace, type KeyspaceDefinition } from '../keyspace.js';
import { formatSlots } from './slot-set.js';

/** A shard as the topology knows it; where it is, each router's own settings say. */
export interface TopologyShard {
  readonly name: string;
  /** Share of the slots relative to the others; zero for a shard that is being emptied. */
  readonly weight: number;
}

/** Everything that makes a topology, as plain data. */
export interface TopologyData {
  readonly epoch: number;
  readonly shards: readonly TopologyShard[];
  readonly keyspaces: readonly KeyspaceData[];
}

/** One keyspace of a topology, as plain data. */
export interface KeyspaceData extends KeyspaceDefinition {
  /** Owner by slot. */
  readonly owners: readonly string[];
  /** Epoch since which the slot has this owner. @default the topology's epoch, for all slots */
  readonly slotEpochs?: readonly number[];
  /** Epoch of the last change that concerned a shard. @default the topology's epoch, for all shards */
  readonly shardEpochs?: Readonly<Record<string, number>>;
  /** Slots of which a shard may hold rows beside, or instead of, the owner. */
  readonly transit?: readonly { readonly shard: string; readonly slots: readonly number[] }[];
}

/** A change of one keyspace, from one epoch to the next. */
export interface TopologyChange {
  readonly keyspace: string;
  /** New owners. */
  readonly owners?: readonly { readonly shard: string; readonly slots: readonly number[] }[];
  /** Slots of which a shard is about to hold foreign rows. */
  readonly enterTransit?: readonly { readonly shard: string; readonly slots: readonly number[] }[];
  /** Slots of which a shard holds foreign rows no more. */
  readonly leaveTransit?: readonly { readonly shard: string; readonly slots: readonly number[] }[];
  /** Shards that are new, or whose weight changes. */
  readonly shards?: readonly TopologyShard[];
  /** Shards that are no more; they must own nothing and be in no transit. */
  readonly removeShards?: readonly string[];
}

/** The map of all keyspaces at one epoch. */
export class Topology {
  readonly epoch: number;
  readonly shards: readonly TopologyShard[];
  readonly #keyspaces = new Map<string, KeyspaceTopology>();

  /** @throws ShardlineError `TOPOLOGY_INVALID` with every fault in `details.faults`. */
  constructor(data: TopologyData) {
    const faults = topologyFaults(data);
    if (faults.length > 0) {
      throw new ShardlineError(
        routerErrors.TOPOLOGY_INVALID,
        `The topology of epoch ${data.epoch} has ${faults.length === 1 ? 'a fault' : `${faults.length} faults`}: ${faults.join('; ')}.`,
        { details: { epoch: data.epoch, faults } },
      );
    }
    this.epoch = data.epoch;
    this.shards = [...data.shards].sort((a, b) => (a.name < b.name ? -1 : 1));
    const names = this.shards.map(({ name }) => name);
    const sorted = [...data.keyspaces].sort((a, b) => (a.name < b.name ? -1 : 1));
    for (const keyspace of sorted) {
      this.#keyspaces.set(keyspace.name, new KeyspaceTopology(keyspace, names, data.epoch));
    }
  }

  get keyspaces(): ReadonlyMap<string, KeyspaceTopology> {
    return this.#keyspaces;
  }

  /** @throws ShardlineError `KEYSPACE_UNKNOWN`. */
  keyspace(name: string): KeyspaceTopology {
    const found = this.#keyspaces.get(name);
    if (found !== undefined) return found;
    throw new ShardlineError(
      routerErrors.KEYSPACE_UNKNOWN,
      `There is no keyspace '${name}' in the topology of epoch ${this.epoch}; there are: ${[...this.#keyspaces.keys()].join(', ')}.`,
    );
  }

  /** The topology after a change: the same with an epoch one higher. */
  with(change: TopologyChange): Topology {
    return new Topology(changedData(this, change));
  }

  /** As plain data, complete. */
  toData(): TopologyData {
    return {
      epoch: this.epoch,
      shards: this.shards,
      keyspaces: [...this.#keyspaces.values()].map((keyspace) => keyspace.toData()),
    };
  }
}

/** One keyspace at one epoch. */
export class KeyspaceTopology {
  readonly keyspace: Keyspace;
  readonly #names: readonly string[];
  readonly #owners: Uint16Array;
  readonly #slotEpochs: Float64Array;
  readonly #shardEpochs: Float64Array;
  readonly #transit: ReadonlyMap<string, ReadonlySet<number>>;
  #owning: readonly string[] | undefined;

  constructor(data: KeyspaceData, names: readonly string[], epoch: number) {
    const indexes = new Map(names.map((name, index) => [name, index]));
    this.keyspace = new Keyspace(data);
    this.#names = names;
    this.#owners = Uint16Array.from(data.owners, (owner) => indexes.get(owner) as number);
    this.#slotEpochs = new Float64Array(data.slots).fill(epoch);
    for (const [slot, since] of (data.slotEpochs ?? []).entries()) this.#slotEpochs[slot] = since;
    this.#shardEpochs = Float64Array.from(names, (name) => data.shardEpochs?.[name] ?? epoch);
    this.#transit = new Map(
      (data.transit ?? []).map(({ shard, slots }) => [shard, new Set(slots)] as const),
    );
  }

  get slots(): number {
    return this.#owners.length;
  }

  /** The index of a slot's owner in `Topology.shards`: the hot path's lookup. */
  ownerIndex(slot: number): number {
    return this.#owners[slot] as number;
  }

  /** The name of a slot's owner. */
  ownerOf(slot: number): string {
    return this.#names[this.#owners[slot] as number] as string;
  }

  /** The epoch since which the slot has its owner. */
  slotEpoch(slot: number): number {
    return this.#slotEpochs[slot] as number;
  }

  /** The epoch of the last change that concerned a shard; zero for an unknown one. */
  shardEpoch(shard: string): number {
    const index = this.#names.indexOf(shard);
    return index < 0 ? 0 : (this.#shardEpochs[index] as number);
  }

  /** Owner by slot, by name. */
  owners(): string[] {
    return Array.from(this.#owners, (index) => this.#names[index] as string);
  }

  /** Shards that own at least one slot. Each scatter asks, and the map never changes, so it is read once. */
  owningShards(): readonly string[] {
    this.#owning ??= [...new Set(this.#owners)]
      .sort((a, b) => a - b)
      .map((index) => this.#names[index] as string);
    return this.#owning;
  }

  slotsOf(shard: string): number[] {
    const index = this.#names.indexOf(shard);
    const slots: number[] = [];
    for (let slot = 0; slot < this.#owners.length; slot += 1) {
      if (this.#owners[slot] === index) slots.push(slot);
    }
    return slots;
  }

  /** Slots that take part in a move on this shard, as source or as destination. */
  transitSlots(shard: string): ReadonlySet<number> {
    return this.#transit.get(shard) ?? NO_SLOTS;
  }

  /** Slots of which this shard may hold rows that do not count, ascending. */
  foreignSlots(shard: string): number[] {
    return [...this.transitSlots(shard)]
      .filter((slot) => this.ownerOf(slot) !== shard)
      .sort((a, b) => a - b);
  }

  /** Whether any shard may hold rows that do not count. */
  get isMoving(): boolean {
    return this.#transit.size > 0;
  }

  toData(): KeyspaceData {
    const { name, keyType, hash, slots } = this.keyspace;
    return {
      name,
      keyType,
      hash,
      slots,
      owners: this.owners(),
      slotEpochs: [...this.#slotEpochs],
      shardEpochs: Object.fromEntries(this.#names.map((shard) => [shard, this.shardEpoch(shard)])),
      transit: [...this.#transit].map(([shard, set]) => ({
        shard,
        slots: [...set].sort((a, b) => a - b),
      })),
    };
  }
}

const NO_SLOTS: ReadonlySet<number> = new Set();

/** Most shards of a topology: what the largest keyspace could still give a slot each. */
const MAX_SHARDS = 65535;

function topologyFaults(data: TopologyData): string[] {
  const faults: string[] = [];
  if (!Number.isSafeInteger(data.epoch) || data.epoch < 1)
    faults.push(`the epoch is ${data.epoch}`);
  const names = new Set<string>();
  for (const { name, weight } of data.shards) {
    if (names.has(name)) faults.push(`shard '${name}' is there twice`);
    if (!Number.isFinite(weight) || weight < 0) faults.push(`shard '${name}' has weight ${weight}`);
    names.add(name);
  }
  if (names.size === 0) faults.push('there is no shard');
  if (names.size > MAX_SHARDS)
    faults.push(`there are ${names.size} shards, more than ${MAX_SHARDS}`);
  const keyspaces = new Set<string>();
  for (const keyspace of data.keyspaces) {
    if (keyspaces.has(keyspace.name)) faults.push(`keyspace '${keyspace.name}' is there twice`);
    keyspaces.add(keyspace.name);
    faults.push(...keyspaceFaults(keyspace, names));
  }
  return faults;
}

function keyspaceFaults(data: KeyspaceData, names: ReadonlySet<string>): string[] {
  const where = `keyspace '${data.name}'`;
  if (!isSlotCount(data.slots))
    return [`${where} has ${data.slots} slots, no power of two from 2 to 65536`];
  const faults: string[] = [];
  const uncovered: number[] = [];
  const unknown = new Set<string>();
  for (let slot = 0; slot < data.slots; slot += 1) {
    const owner = data.owners[slot];
    if (owner === undefined || owner === '') uncovered.push(slot);
    else if (!names.has(owner)) unknown.add(owner);
  }
  if (uncovered.length > 0)
    faults.push(`${where}: nobody owns the slots ${formatSlots(uncovered)}`);
  if (data.owners.length > data.slots) {
    faults.push(`${where} has ${data.slots} slots and owners for ${data.owners.length}`);
  }
  for (const { shard } of data.transit ?? []) if (!names.has(shard)) unknown.add(shard);
  for (const owner of unknown) faults.push(`${where} names the unknown shard '${owner}'`);
  return faults;
}

function changedData(topology: Topology, change: TopologyChange): TopologyData {
  const epoch = topology.epoch + 1;
  const shards = new Map(topology.shards.map((shard) => [shard.name, shard]));
  for (const shard of change.shards ?? []) shards.set(shard.name, shard);
  for (const name of change.removeShards ?? []) shards.delete(name);
  // An unknown keyspace is a fault of the change, to be told before anything is built.
  topology.keyspace(change.keyspace);
  return {
    epoch,
    shards: [...shards.values()],
    keyspaces: [...topology.keyspaces.values()].map((keyspace) => {
      const data = keyspace.toData();
      const added = (change.shards ?? []).filter(
        ({ name }) => data.shardEpochs?.[name] === undefined,
      );
      const shardEpochs = {
        ...data.shardEpochs,
        ...Object.fromEntries(added.map(({ name }) => [name, epoch])),
      };
      return data.name === change.keyspace
        ? changedKeyspace({ ...data, shardEpochs }, change, epoch)
        : { ...data, shardEpochs };
    }),
  };
}

function changedKeyspace(data: KeyspaceData, change: TopologyChange, epoch: number): KeyspaceData {
  const owners = [...data.owners];
  const slotEpochs = [...(data.slotEpochs as readonly number[])];
  const touched = new Set<string>();
  for (const { shard, slots } of change.owners ?? []) {
    for (const slot of slots) {
      if (owners[slot] === shard) continue;
      touched.add(owners[slot] as string).add(shard);
      owners[slot] = shard;
      slotEpochs[slot] = epoch;
    }
  }
  const transit = new Map((data.transit ?? []).map(({ shard, slots }) => [shard, new Set(slots)]));
  for (const { shard, slots } of change.enterTransit ?? []) {
    touched.add(shard);
    const set = transit.get(shard) ?? new Set();
    transit.set(shard, set);
    for (const slot of slots) set.add(slot);
  }
  for (const { shard, slots } of change.leaveTransit ?? []) {
    touched.add(shard);
    const set = transit.get(shard);
    for (const slot of slots) set?.delete(slot);
    if (set?.size === 0) transit.delete(shard);
  }
  const shardEpochs = { ...data.shardEpochs };
  for (const shard of touched) shardEpochs[shard] = epoch;
  return {
    ...data,
    owners,
    slotEpochs,
    shardEpochs,
    transit: [...transit].map(([shard, slots]) => ({ shard, slots: [...slots] })),
  };
}
