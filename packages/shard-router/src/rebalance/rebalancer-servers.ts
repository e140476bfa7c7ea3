/** The servers of a rebalancer: the catalog, and the shards that it has settings for. */

import { ShardlineError } from '@shardline/core';
import { routerErrors } from '../errors.js';
import { loadCatalog } from '../topology/catalog.js';
import type { Topology } from '../topology/topology.js';
import type { FilledRebalancerOptions } from './rebalancer-options.js';
import { ShardLink } from './shard-link.js';

/** Reaches them. */
export class RebalancerServers {
  readonly catalog: ShardLink;
  readonly shards: ReadonlyMap<string, ShardLink>;

  constructor(options: Pick<FilledRebalancerOptions, 'catalog' | 'shards'>) {
    this.catalog = new ShardLink('catalog', options.catalog);
    this.shards = new Map(
      [...options.shards].map(([name, { location }]) => [name, new ShardLink(name, location)]),
    );
  }

  /** @throws ShardlineError `SHARD_MISSING`. */
  shard(name: string): ShardLink {
    const link = this.shards.get(name);
    if (link !== undefined) return link;
    throw new ShardlineError(
      routerErrors.SHARD_MISSING,
      `The rebalancer has no settings for shard '${name}'.`,
      { details: { shard: name } },
    );
  }

  /** The newest one. @throws ShardlineError `CATALOG_MISSING`. */
  async topology(): Promise<Topology> {
    const state = await this.catalog.withConnection((client) => loadCatalog(client));
    if (state !== undefined) return state.topology;
    throw new ShardlineError(routerErrors.CATALOG_MISSING, 'The catalog holds no topology yet.', {
      remedy: 'Publish the first one with `bootstrap`.',
    });
  }

  async close(): Promise<void> {
    await Promise.all([this.catalog, ...this.shards.values()].map((link) => link.close()));
  }
}

/** Shards that own slots of any keyspace. */
export function owningShards({ keyspaces }: Topology): ReadonlySet<string> {
  return new Set([...keyspaces.values()].flatMap((keyspace) => keyspace.owningShards()));
}
