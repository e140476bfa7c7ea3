import {
  bootstrap,
  createRouter,
  proposeSlots,
  type Router,
  type RouterOptions,
  Topology,
} from '@shardline/shard-router';
import pg from 'pg';
import { type DataLayerConfig, type ResolvedConfig, resolveConfig } from './config.js';

/**
 * From the configuration of the layer to that of the router: entities become tables of their keyspace.
 */

/** PostgreSQL's type number of bigint. */
const BIGINT_OID = 20;

/** A bigint column is a `bigint` here, as keys are; `pg` by itself would hand out texts. */
const types: pg.CustomTypesConfig = {
  getTypeParser(oid: number, format?: string) {
    if (oid === BIGINT_OID && format !== 'binary') return BigInt;
    return pg.types.getTypeParser(oid, format as 'text');
  },
};

/** Opens the router of a configuration. */
export function openRouter(config: ResolvedConfig): Promise<Router> {
  return createRouter(routerOptionsOf(config));
}

/**
 * Prepares new shards for a configuration: publishes the first topology in the catalog, if there is none, and
 * installs each shard's ownership record. It may be broken off and repeated, and does nothing the second time.
 * Needs a role that may create schemas; the service's own needs much less.
 *
 * @throws ShardlineError `CONFIG_INVALID`, with every fault; else what PostgreSQL says.
 *
 * @example
 * ```ts
 * import { initialiseShards } from 'shardline';
 *
 * await initialiseShards({
 *   name: 'shop',
 *   catalog: 'postgres://owner@127.0.0.1:5432/catalog',
 *   shards: { one: { primary: 'postgres://owner@127.0.0.1:5432/shop' } },
 *   keyspaces: { customers: { keyType: 'bigint' } },
 *   entities: {
 *     customers: { table: 'customers', keyspace: 'customers', key: 'customer_id' },
 *   },
 * });
 * ```
 */
export async function initialiseShards(config: DataLayerConfig): Promise<void> {
  await bootstrap(routerOptionsOf(resolveConfig(config)));
}

/** The options of the router of a configuration. */
export function routerOptionsOf(config: ResolvedConfig): RouterOptions {
  const keyspaces = Object.entries(config.keyspaces).map(([name, { keyType, slots }]) => {
    const entities = Object.values(config.entities).filter(({ keyspace }) => keyspace === name);
    const tables = Object.fromEntries(entities.map(({ table, key }) => [table, key]));
    return [name, { keyType, slots, tables }] as const;
  });
  const shards = Object.entries(config.shards).map(([name, { primary, replicas }]) => {
    return [name, { primary, replicas, types, application_name: config.name }] as const;
  });
  return {
    name: config.name,
    shards: Object.fromEntries(shards),
    keyspaces: Object.fromEntries(keyspaces),
    ...(config.catalog === undefined
      ? { topology: fixedTopology(config) }
      : { catalog: { primary: config.catalog, application_name: config.name } }),
  };
}

/** Without a catalog the map follows from the configuration alone, the same in every process. */
function fixedTopology(config: ResolvedConfig): Topology {
  const nodes = Object.keys(config.shards).map((name) => ({ name, weight: 1 }));
  return new Topology({
    epoch: 1,
    shards: nodes,
    keyspaces: Object.entries(config.keyspaces).map(([name, { keyType, slots }]) => ({
      name,
      keyType,
      hash: 'postgres',
      slots,
      owners: proposeSlots(slots, nodes),
    })),
  });
}
