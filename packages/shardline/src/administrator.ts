/**
 * From the configuration of a data layer to what its administration works with.
 *
 * The catalog and the shards are reached with the roles of `administration`, and where it names none, with those of the
 * services.
 */

import {
  type ConfigurationFault,
  configurationError,
  type Duration,
  formatDuration,
} from '@shardline/core';
import { ReplicaPool, type ReplicaPoolOptions } from '@shardline/pool';
import type { RouterOptions } from '@shardline/shard-router';
import type {
  MoveLimits,
  RebalancerOptions,
  ShardAdministration,
} from '@shardline/shard-router/rebalance';
import type { ResolvedAdministration } from './administration.js';
import type { DataLayerConfig } from './config.js';
import { type ResolvedConfig, resolveConfig } from './config-check.js';
import { installOutbox } from './outbox/install-outbox.js';
import { routerOptionsOf, types } from './shards.js';

// biome-ignore lint/suspicious/noExplicitAny: any configuration will do
type AnyConfig = DataLayerConfig<any, any, any, any>;

/**
 * The options of a rebalancer for a configuration.
 *
 * @throws ShardlineError `CONFIG_INVALID`, with every fault; a rebalancer needs a catalog.
 *
 * @example
 * ```ts
 * import { defineConfig, rebalancerOptionsOf } from 'shardline';
 *
 * const config = defineConfig({
 *   name: 'shop',
 *   catalog: 'postgres://app@127.0.0.1:5432/catalog',
 *   shards: { one: { primary: 'postgres://app@127.0.0.1:5432/shop' } },
 *   keyspaces: { customers: { keyType: 'bigint' } },
 *   entities: {
 *     customers: { table: 'customers', keyspace: 'customers', key: 'customer_id' },
 *   },
 *   administration: {
 *     catalog: 'postgres://owner:${OWNER_PASSWORD}@127.0.0.1:5432/catalog',
 *     shards: { one: { primary: 'postgres://owner:${OWNER_PASSWORD}@127.0.0.1:5432/shop' } },
 *     limits: { rollbackWindow: '2h' },
 *   },
 * });
 * const options = rebalancerOptionsOf(config);
 * ```
 */
export function rebalancerOptionsOf(config: AnyConfig): RebalancerOptions {
  const { resolved, administration } = checked(config);
  const places = placesOf(resolved);
  const { keyspaces, referenceTables, unsharded } = routerOptionsOf(resolved, places);
  const shards = [...places].map(([name, location]): [string, ShardAdministration] => {
    const peerAddress = administration.shards[name]?.peerAddress;
    return [name, { location, ...(peerAddress === undefined ? {} : { peerAddress }) }];
  });
  return {
    keyspaces,
    ...(referenceTables === undefined ? {} : { referenceTables }),
    ...(unsharded === undefined ? {} : { unsharded }),
    catalog: locate(resolved, resolved.catalog),
    shards: Object.fromEntries(shards),
    limits: limitsOf(administration.limits),
    ...(administration.lease === undefined ? {} : { lease: durationOf(administration.lease) }),
  };
}

/**
 * The same configuration as an administrator uses it: with the roles of `administration`, on primaries alone.
 *
 * @throws ShardlineError `CONFIG_INVALID`, with every fault.
 */
export function administratorConfigOf(config: AnyConfig): AnyConfig {
  const { administration = {} } = config;
  const shards = Object.entries(config.shards).map(([name, servers]) => {
    const primary = administration.shards?.[name]?.primary ?? servers.primary;
    return [name, { ...servers, primary, replicas: [] }] as const;
  });
  const catalog = administration.catalog ?? config.catalog;
  return {
    ...config,
    ...(catalog === undefined ? {} : { catalog }),
    shards: Object.fromEntries(shards),
  };
}

/**
 * The options of a router with the roles of `administration`, for statements of an operator.
 *
 * @throws ShardlineError `CONFIG_INVALID`, with every fault.
 */
export function administratorRouterOptionsOf(config: AnyConfig): RouterOptions {
  const { resolved } = checked(config);
  // Rows are read as services read them; a rebalancer reads its own tables and minds no types.
  const places = [...placesOf(resolved)].map(
    ([name, place]) => [name, { ...place, types }] as const,
  );
  return {
    ...routerOptionsOf(resolved, new Map(places)),
    catalog: locate(resolved, resolved.catalog),
  };
}

/**
 * Gives a shard that is new in a configuration what the layer itself keeps there: the table of its outbox. What the
 * router keeps there is the rebalancer's to make (`Rebalancer.prepareShard`). Safe to repeat.
 *
 * @throws ShardlineError `CONFIG_INVALID`; else what PostgreSQL says.
 */
export async function prepareLayerShard(config: AnyConfig, shard: string): Promise<void> {
  const { resolved } = checked(config);
  const place = placesOf(resolved).get(shard);
  if (place === undefined) {
    const message = `there is none; there are ${Object.keys(resolved.shards).join(', ')}`;
    throw configurationError('the data layer', [{ path: `shards.${shard}`, message }]);
  }
  const pool = new ReplicaPool(place);
  pool.on('error', () => {});
  try {
    await installOutbox(pool);
  } finally {
    await pool.end();
  }
}

/** Both halves, known to fit each other. */
function checked(config: AnyConfig): {
  resolved: ResolvedConfig & { readonly catalog: string };
  administration: ResolvedAdministration;
} {
  // Faults are told of the configuration as it was written, before its roles are exchanged.
  const { administration, catalog: _, ...own } = resolveConfig(config);
  const resolved = resolveConfig(administratorConfigOf(config));
  const faults: ConfigurationFault[] = [];
  for (const name of Object.keys(administration.shards)) {
    if (name in own.shards) continue;
    faults.push({ path: `administration.shards.${name}`, message: 'is the name of no shard' });
  }
  const { catalog } = resolved;
  if (catalog === undefined) {
    faults.push({ path: 'catalog', message: 'is missing; slots can move only with a catalog' });
  }
  if (catalog === undefined || faults.length > 0) {
    throw configurationError('the data layer', faults);
  }
  return { resolved: { ...resolved, catalog }, administration };
}

/** Where the administration finds each shard. */
function placesOf(resolved: ResolvedConfig): Map<string, ReplicaPoolOptions> {
  const named = Object.entries(resolved.shards);
  return new Map(named.map(([name, { primary }]) => [name, locate(resolved, primary)]));
}

function locate({ name }: ResolvedConfig, url: string): ReplicaPoolOptions {
  return { primary: url, application_name: `${name} administration` };
}

const DURATIONS = [
  'lockTimeout',
  'terminateAfter',
  'pauseTimeout',
  'routersTimeout',
  'rollbackWindow',
  'replicaLag',
] as const satisfies readonly (keyof MoveLimits)[];

/** Durations are written out again, since the rebalancer checks its own options. */
function limitsOf(limits: ResolvedAdministration['limits']): MoveLimits {
  const given = Object.entries(limits).filter(([, value]) => value !== undefined);
  return Object.fromEntries(
    given.map(([name, value]) => [
      name,
      (DURATIONS as readonly string[]).includes(name) ? durationOf(value as number) : value,
    ]),
  );
}

function durationOf(milliseconds: number): Duration {
  return formatDuration(milliseconds) as Duration;
}
