/**
 * Rows and bytes of slots from what the servers' statistics say of their tables, spread evenly over the slots of a
 * shard: a hash spreads keys, and an estimate is all that a plan promises.
 */

import type { SlotMeasure } from '../placement/analyze.js';
import type { Topology } from '../topology/topology.js';
import type { SlotMeasures } from './plan-change.js';
import type { FilledRebalancerOptions } from './rebalancer-options.js';
import type { ShardLink } from './shard-link.js';
import tableSizesSql from './sql/table-sizes.sql';

export async function measureSize(
  topology: Topology,
  linkOf: (shard: string) => ShardLink | undefined,
  { keyspaces }: FilledRebalancerOptions,
): Promise<SlotMeasures> {
  const measures = new Map<string, SlotMeasure[]>();
  for (const [name, { tables }] of keyspaces) {
    const keyspace = topology.keyspace(name);
    const perShard = await Promise.all(
      keyspace.owningShards().map(async (shard): Promise<SlotMeasure[]> => {
        const slots = keyspace.slotsOf(shard);
        const answer = await linkOf(shard)?.query<{ rows: number; bytes: number }>(tableSizesSql, [
          tables.map((table) => table.schema),
          tables.map((table) => table.name),
        ]);
        const { rows, bytes } = answer?.rows[0] ?? { rows: 0, bytes: 0 };
        return slots.map((slot) => ({
          slot,
          rows: rows / slots.length,
          bytes: bytes / slots.length,
        }));
      }),
    );
    measures.set(name, perShard.flat());
  }
  return measures;
}
