import { PostgresRebalancer, type RebalancerInternals } from './postgres-rebalancer.js';
import type { Rebalancer } from './rebalancer.js';
import { fillRebalancerOptions, type RebalancerOptions } from './rebalancer-options.js';

/**
 * Opens a rebalancer, and brings the catalog's schema up to date. Needs roles that own the tables and may create
 * publications, subscriptions and roles on every shard.
 *
 * @throws ShardlineError `CONFIG_INVALID` with every fault; `CATALOG_TOO_NEW`.
 *
 * @example
 * ```ts
 * import { openRebalancer } from '@shardline/shard-router/rebalance';
 *
 * await using rebalancer = await openRebalancer({
 *   catalog: { primary: 'postgres://owner@catalog/shardline' },
 *   shards: {
 *     a: { location: { primary: 'postgres://owner@db-1/betting' } },
 *     b: { location: { primary: 'postgres://owner@db-2/betting' } },
 *   },
 *   keyspaces: { users: { keyType: 'bigint', tables: { users: 'user_id' } } },
 * });
 * const plan = await rebalancer.plan({ kind: 'add', shard: 'b' });
 * await rebalancer.apply(plan);
 * ```
 */
export async function openRebalancer(
  options: RebalancerOptions,
  internals: RebalancerInternals = {},
): Promise<Rebalancer> {
  const filled = fillRebalancerOptions(options);
  const rebalancer = new PostgresRebalancer(filled, internals);
  try {
    await rebalancer.migrate();
    return rebalancer;
  } catch (error) {
    await rebalancer.close();
    throw error;
  }
}
