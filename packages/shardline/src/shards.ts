import { configurationError, isShardlineError } from '@shardline/core';
import { ReplicaPool } from '@shardline/pool';
import {
  bootstrap,
  createRouter,
  proposeSlots,
  type Router,
  type RouterOptions,
  type ShardLocation,
  Topology,
} from '@shardline/shard-router';
import pg from 'pg';
import type { DataLayerConfig } from './config.js';
import { type ResolvedConfig, resolveConfig } from './config-check.js';
import { installOutbox } from './outbox/install-outbox.js';

/**
 * From the configuration of the layer to pools and router: entities become tables of their keyspace. The layer
 * makes the pools itself, since its sessions span them and it closes them last.
 */

/** PostgreSQL's type number of bigint. */
const BIGINT_OID = 20;

/** A bigint column is a `bigint` here, as keys are; `pg` by itself would hand out texts. */
export const types: pg.CustomTypesConfig = {
  getTypeParser(oid: number, format?: string) {
    if (oid === BIGINT_OID && format !== 'binary') return BigInt;
    return pg.types.getTypeParser(oid, format as 'text');
  },
};

/** The shards of a layer. */
export interface Shards {
  readonly pools: ReadonlyMap<string, ReplicaPool>;
  readonly router: Router;
}

/**
 * Opens the pools and the router of a configuration.
 *
 * @throws ShardlineError `CONFIG_INVALID` for what the pool does not take; else as `createRouter`.
 */
export async function openShards(config: ResolvedConfig): Promise<Shards> {
  const pools = makePools(config);
  try {
    return { pools, router: await createRouter(routerOptionsOf(config, pools)) };
  } catch (error) {
    await Promise.allSettled([...pools.values()].map((pool) => pool.close()));
    throw error;
  }
}

/**
 * Prepares new shards for a configuration: publishes the first topology in the catalog, if there is none,
 * installs each shard's ownership record and the table of its outbox. It may be broken off and repeated, and
 * does nothing the second time. Needs a role that may create schemas; the service's own needs much less.
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
export async function initialiseShards(
  // biome-ignore lint/suspicious/noExplicitAny: any configuration will do
  config: DataLayerConfig<any, any, any, any>,
): Promise<void> {
  const resolved = resolveConfig(config);
  const pools = makePools(resolved);
  try {
    await bootstrap(routerOptionsOf(resolved, pools));
    for (const pool of pools.values()) await installOutbox(pool.primary);
  } finally {
    await Promise.allSettled([...pools.values()].map((pool) => pool.close()));
  }
}

/** The options of a router over pools that are not its own to close, or over places where it makes its own. */
export function routerOptionsOf(
  config: ResolvedConfig,
  pools: ReadonlyMap<string, ReplicaPool | ShardLocation>,
): RouterOptions {
  const entities = Object.values(config.entities);
  const keyspaces = Object.entries(config.keyspaces).map(([name, { keyType, slots, shards }]) => {
    const own = entities.filter(({ keyspace }) => keyspace === name);
    const tables = Object.fromEntries(own.map(({ table, key }) => [table, key]));
    return [name, { keyType, slots, ...(shards === undefined ? {} : { shards }), tables }] as const;
  });
  const unsharded = entities.filter(({ shard }) => shard !== undefined);
  return {
    name: config.name,
    shards: Object.fromEntries(pools) as unknown as RouterOptions['shards'],
    keyspaces: Object.fromEntries(keyspaces),
    referenceTables: entities.filter(({ reference }) => reference).map(({ table }) => table),
    ...(unsharded[0]?.shard === undefined
      ? {}
      : { unsharded: { shard: unsharded[0].shard, tables: unsharded.map(({ table }) => table) } }),
    ...(config.catalog === undefined
      ? { topology: fixedTopology(config) }
      : { catalog: { primary: config.catalog, application_name: config.name } }),
  };
}

/** @throws ShardlineError `CONFIG_INVALID`, with the paths as the user wrote them. */
function makePools(config: ResolvedConfig): Map<string, ReplicaPool> {
  const { replicaWait } = config.sessions;
  const pools = new Map<string, ReplicaPool>();
  for (const [name, { primary, replicas }] of Object.entries(config.shards)) {
    const options = {
      ...config.pool,
      primary,
      ...(replicas.length === 0 ? {} : { replicas }),
      sessions: { replicaWait: `${replicaWait}ms` as const },
      types,
      application_name: config.name,
    };
    try {
      const pool = new ReplicaPool(options);
      // A connection that dies while idle is replaced by the pool; nobody waits for it.
      pool.on('error', () => {});
      pools.set(name, pool);
    } catch (error) {
      if (!isShardlineError(error, 'CONFIG_INVALID')) throw error;
      const faults = error.details['faults'] as { path: string; message: string }[];
      const path = (option: string) =>
        /^(primary|replicas)/.test(option) ? `shards.${name}.${option}` : `pool.${option}`;
      throw configurationError(
        'the data layer',
        faults.map((fault) => ({ path: path(fault.path), message: fault.message })),
        error,
      );
    }
  }
  return pools;
}

/** Without a catalog the map follows from the configuration alone, the same in every process. */
export function fixedTopology(config: ResolvedConfig): Topology {
  const nodes = Object.keys(config.shards).map((name) => ({ name, weight: 1 }));
  return new Topology({
    epoch: 1,
    shards: nodes,
    keyspaces: Object.entries(config.keyspaces).map(([name, { keyType, slots, shards }]) => ({
      name,
      keyType,
      hash: 'postgres',
      slots,
      owners: proposeSlots(
        slots,
        shards === undefined ? nodes : nodes.filter((node) => shards.includes(node.name)),
      ),
    })),
  });
}
