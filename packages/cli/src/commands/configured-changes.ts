/** What the configuration wants of the map, against what the map is (pure). */

import type { PlacementChange, ShardStatus } from '@shardline/shard-router/rebalance';
import type { DataLayerConfig } from 'shardline';

/**
 * Changes that bring the map to the configuration, in the order in which they are to be made: new shards first, one by
 * one, then weights. If nothing differs, the one change is to balance by the weights that hold. A shard that the
 * configuration has forgotten is left alone: to take it off the map is a decision, and needs its address.
 */
export function configuredChanges(
  config: Pick<DataLayerConfig, 'shards' | 'administration'>,
  shards: readonly Pick<ShardStatus, 'name' | 'weight'>[],
): [PlacementChange, ...PlacementChange[]] {
  const weightOf = (name: string) => config.administration?.shards?.[name]?.weight;
  const onMap = new Map(shards.map(({ name, weight }) => [name, weight]));
  const additions = Object.keys(config.shards)
    .filter((name) => !onMap.has(name))
    .sort()
    .map((shard): PlacementChange => {
      const weight = weightOf(shard);
      return { kind: 'add', shard, ...(weight === undefined ? {} : { weight }) };
    });
  const weights = [...onMap]
    .map(([name, weight]) => [name, weightOf(name) ?? weight, weight] as const)
    .filter(([, wanted, weight]) => wanted !== weight)
    .map(([name, wanted]) => [name, wanted] as const);
  const changes: PlacementChange[] = [...additions];
  if (weights.length > 0 || additions.length === 0) {
    changes.push({ kind: 'reweight', weights: Object.fromEntries(weights) });
  }
  return changes as [PlacementChange, ...PlacementChange[]];
}
