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
import type { RouterOptions, ShardLocation } from '@shardline/shard-router';
import type {
  MoveLimits,
  RebalancerOptions,
  ShardAdministration,
} from '@shardline/shard-router/rebalance';
import type { ResolvedAdministration } from './administration.js';
import { type DataLayerConfig, type ResolvedConfig, resolveConfig } from './config.js';
import { routerOptionsOf } from './shards.js';

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
export function rebalancerOptionsOf(config: DataLayerConfig): RebalancerOptions {
  const { resolved, administration } = checked(config);
  const { keyspaces, referenceTables, unsharded } = routerOptionsOf(resolved);
  const shards = Object.entries(resolved.shards).map(
    ([name, { primary }]): [string, ShardAdministration] => {
      const peerAddress = administration.shards[name]?.peerAddress;
      return [
        name,
        {
          location: locate(resolved, primary),
          ...(peerAddress === undefined ? {} : { peerAddress }),
        },
      ];
    },
  );
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
export function administratorConfigOf(config: DataLayerConfig): DataLayerConfig {
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
export function administratorRouterOptionsOf(config: DataLayerConfig): RouterOptions {
  return routerOptionsOf(checked(config).resolved);
}

/** Both halves, known to fit each other. */
function checked(config: DataLayerConfig): {
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

function locate({ name }: ResolvedConfig, url: string): ShardLocation {
  return { primary: url, application_name: `${name} administration` };
}

const DURATIONS = [
  'lockTimeout',
  'terminateAfter',
  'pauseTimeout',
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
