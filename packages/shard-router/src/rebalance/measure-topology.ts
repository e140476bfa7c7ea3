/** The slots of a topology as the servers that own them measure them. */

import { Keyspace } from '../keyspace.js';
import type { SlotMeasure } from '../placement/analyze.js';
import type { Topology } from '../topology/topology.js';
import { type MeasureOptions, measureSlots } from './measure-slots.js';
import type { ShardEndpoint } from './move-context.js';
import type { SlotMeasures } from './plan-change.js';
import type { FilledRebalancerOptions } from './rebalancer-options.js';

/** @param linkOf the shard, or an error if there are no settings for it. */
export async function measureTopology(
  topology: Topology,
  names: readonly string[],
  linkOf: (shard: string) => ShardEndpoint,
  { keyspaces }: Pick<FilledRebalancerOptions, 'keyspaces'>,
  options: MeasureOptions = {},
): Promise<SlotMeasures> {
  const measures = new Map<string, readonly SlotMeasure[]>();
  for (const name of names) {
    const map = topology.keyspace(name);
    const keyspace = new Keyspace(map.keyspace);
    const tables = keyspaces.get(name)?.tables ?? [];
    const perShard = await Promise.all(
      map.owningShards().map(async (shard) => {
        const owned = new Set(map.slotsOf(shard));
        const measured = await measureSlots(linkOf(shard), keyspace, tables, options);
        // Rows of a move that are here and do not count are measured where they do.
        return measured.filter(({ slot }) => owned.has(slot));
      }),
    );
    measures.set(name, perShard.flat());
  }
  return measures;
}
