/**
 * A topology in a file: for sets of shards that do not change while the services run.
 *
 * Owners are written by shard as ranges of slots, which people can read and a review can follow; so a file
 * may give a slot to two shards or to none, and both are refused by name.
 */

import { readFile } from 'node:fs/promises';
import { checkOptions, integerOption, ShardlineError } from '@shardline/core';
import * as v from 'valibot';
import { routerErrors } from '../errors.js';
import { formatSlots, parseSlots } from './slot-set.js';
import { type KeyspaceData, Topology } from './topology.js';

const schema = v.strictObject({
  epoch: v.optional(integerOption(1), 1),
  shards: v.record(
    v.string(),
    v.strictObject({ weight: v.optional(v.pipe(v.number(), v.minValue(0)), 1) }),
  ),
  keyspaces: v.record(
    v.string(),
    v.strictObject({
      keyType: v.picklist(['bigint', 'text', 'uuid']),
      hash: v.optional(v.picklist(['postgres', 'murmur3']), 'postgres'),
      slots: v.optional(integerOption(2, 65536), 4096),
      owners: v.record(v.string(), v.string()),
    }),
  ),
});

/** What a topology file holds. */
export type TopologyFile = v.InferInput<typeof schema>;

/**
 * Makes a topology of what a file holds.
 *
 * @throws ShardlineError `CONFIG_INVALID` for another shape, `TOPOLOGY_INVALID` for overlaps and gaps.
 *
 * @example
 * ```ts
 * import { topologyOf } from '@shardline/shard-router';
 *
 * const topology = topologyOf({
 *   shards: { a: {}, b: {} },
 *   keyspaces: { users: { keyType: 'bigint', owners: { a: '0-2047', b: '2048-4095' } } },
 * });
 * ```
 */
export function topologyOf(file: TopologyFile): Topology {
  const { epoch, shards, keyspaces } = checkOptions(schema, file, 'a topology file');
  const overlaps: string[] = [];
  const data = Object.entries(keyspaces).map(([name, keyspace]): KeyspaceData => {
    const owners: string[] = Array.from({ length: keyspace.slots }, () => '');
    for (const [shard, ranges] of Object.entries(keyspace.owners)) {
      const twice: number[] = [];
      for (const slot of parseSlots(ranges, keyspace.slots)) {
        if (owners[slot] !== '') twice.push(slot);
        owners[slot] = shard;
      }
      if (twice.length > 0) {
        overlaps.push(
          `keyspace '${name}': '${shard}' and another shard both own ${formatSlots(twice)}`,
        );
      }
    }
    return { name, keyType: keyspace.keyType, hash: keyspace.hash, slots: keyspace.slots, owners };
  });
  if (overlaps.length > 0) {
    throw new ShardlineError(
      routerErrors.TOPOLOGY_INVALID,
      `The topology gives slots twice: ${overlaps.join('; ')}.`,
      { details: { faults: overlaps } },
    );
  }
  return new Topology({
    epoch,
    shards: Object.entries(shards).map(([name, { weight }]) => ({ name, weight })),
    keyspaces: data,
  });
}

/** Reads a topology from a JSON file. @throws ShardlineError `TOPOLOGY_INVALID`, `CONFIG_INVALID`. */
export async function readTopologyFile(path: string): Promise<Topology> {
  let content: TopologyFile;
  try {
    content = JSON.parse(await readFile(path, 'utf8'));
  } catch (cause) {
    throw new ShardlineError(
      routerErrors.TOPOLOGY_INVALID,
      `The topology file '${path}' could not be read as JSON.`,
      { cause },
    );
  }
  return topologyOf(content);
}

/** What a file would hold for this topology. */
export function topologyFileOf(topology: Topology): TopologyFile {
  return {
    epoch: topology.epoch,
    shards: Object.fromEntries(topology.shards.map(({ name, weight }) => [name, { weight }])),
    keyspaces: Object.fromEntries(
      [...topology.keyspaces].map(([name, keyspace]) => [
        name,
        {
          keyType: keyspace.keyspace.keyType,
          hash: keyspace.keyspace.hash,
          slots: keyspace.slots,
          owners: Object.fromEntries(
            keyspace.owningShards().map((shard) => [shard, formatSlots(keyspace.slotsOf(shard))]),
          ),
        },
      ]),
    ),
  };
}
