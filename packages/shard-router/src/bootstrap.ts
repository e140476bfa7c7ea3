/**
 * The first topology of a new set of shards: catalog, map, records and guards, in an order that may be broken off
 * and repeated.
 */

import { isShardlineError } from '@shardline/core';
import type pg from 'pg';
import { openPool } from './create-router.js';
import type { WeightedNode } from './hash/rendezvous.js';
import { proposeSlots } from './placement/slot-map.js';
import { fillRouterOptions, type RouterOptions, type ShardLocation } from './router-options.js';
import { installShard } from './shard/install.js';
import { loadCatalog, migrateCatalog, publishFirst } from './topology/catalog.js';
import { Topology } from './topology/topology.js';

/**
 * Migrates the catalog, publishes a first topology if there is none, and installs every shard. Needs roles that may create
 * schemas and own the tables; the services' own roles need much less (see `grantRouter`).
 *
 * @param weights share of the slots by shard. @default 1 for each
 * @returns the topology in the catalog.
 *
 * @example
 * ```ts
 * import { bootstrap } from '@shardline/shard-router';
 *
 * await bootstrap({
 *   catalog: { primary: 'postgres://owner@catalog/shardline' },
 *   shards: { a: { primary: 'postgres://owner@db-1/betting' } },
 *   keyspaces: { users: { keyType: 'bigint', tables: { users: 'user_id' } } },
 * });
 * ```
 */
export async function bootstrap(
  options: RouterOptions,
  weights: Readonly<Record<string, number>> = {},
): Promise<Topology> {
  const filled = fillRouterOptions(options);
  const nodes = Object.keys(filled.shards).map((name) => ({ name, weight: weights[name] ?? 1 }));
  const first = new Topology({
    epoch: 1,
    shards: nodes,
    keyspaces: [...filled.keyspaces].map(([name, { keyType, hash, slots, shards }]) => ({
      name,
      keyType,
      hash,
      slots,
      owners: proposeSlots(slots, nodesAmong(nodes, shards)),
    })),
  });
  const topology =
    filled.catalog === undefined
      ? first
      : await onConnection(filled.catalog, async (client) => {
          await migrateCatalog(client as never);
          return publishOnce(client, first);
        });
  for (const [name, where] of Object.entries(filled.shards)) {
    await onConnection(where, (client) =>
      installShard(client as never, name, topology, filled.keyspaces),
    );
  }
  return topology;
}

function nodesAmong(
  nodes: readonly WeightedNode[],
  wanted: readonly string[] | undefined,
): readonly WeightedNode[] {
  return wanted === undefined ? nodes : nodes.filter(({ name }) => wanted.includes(name));
}

/** Whoever comes second finds the first one's topology. */
async function publishOnce(client: pg.PoolClient, first: Topology): Promise<Topology> {
  const known = await loadCatalog(client as never);
  if (known !== undefined) return known.topology;
  try {
    await publishFirst(client as never, first);
    return first;
  } catch (error) {
    const found = isShardlineError(error, 'CATALOG_CONFLICT')
      ? await loadCatalog(client as never)
      : undefined;
    if (found === undefined) throw error;
    return found.topology;
  }
}

/** Works on one connection of a place, and destroys it if the work threw. */
export async function onConnection<T>(
  where: ShardLocation,
  work: (client: pg.PoolClient) => Promise<T>,
): Promise<T> {
  const { pool, isOwned } = openPool(where);
  try {
    const client = await pool.connect();
    let isBroken = true;
    try {
      const result = await work(client);
      isBroken = false;
      return result;
    } finally {
      client.release(isBroken);
    }
  } finally {
    if (isOwned) await pool.end();
  }
}
