/**
 * Opens a router: checks its options, the catalog, the topology and the shards before anything is served.
 */

import { type Clock, ShardlineError, systemClock } from '@shardline/core';
import { ReplicaPool } from '@shardline/pool';
import type pg from 'pg';
import { routerErrors } from './errors.js';
import { Router } from './router.js';
import { RouterCore } from './router-core.js';
import {
  type FilledRouterOptions,
  fillRouterOptions,
  isPool,
  type RouterOptions,
  type ShardLocation,
} from './router-options.js';
import { Shard } from './shard/shard.js';
import { type CatalogState, checkCatalog, loadCatalog } from './topology/catalog.js';
import type { Topology } from './topology/topology.js';

/**
 * Opens a router.
 *
 * @throws ShardlineError `CONFIG_INVALID` with every fault; `CATALOG_MISSING`, `CATALOG_TOO_NEW`;
 * `SHARD_MISSING`, `TOPOLOGY_INVALID`; `HASH_MISMATCH` and `SHARD_MISMATCH` naming the shard.
 *
 * @example
 * ```ts
 * import { createRouter } from '@shardline/shard-router';
 *
 * await using router = await createRouter({
 *   catalog: { primary: 'postgres://app@catalog/shardline' },
 *   shards: {
 *     a: { primary: 'postgres://app@db-1/betting', replicas: ['postgres://app@db-2/betting'] },
 *     b: { primary: 'postgres://app@db-3/betting' },
 *   },
 *   keyspaces: {
 *     users: { keyType: 'bigint', tables: { users: 'user_id', bets: 'creator_id' } },
 *   },
 * });
 * const { rows } = await router.query(42n, 'SELECT * FROM users WHERE user_id = $1', [42n]);
 * ```
 */
export async function createRouter(
  options: RouterOptions,
  clock: Clock = systemClock,
): Promise<Router> {
  const filled = fillRouterOptions(options);
  const catalogPool = filled.catalog === undefined ? undefined : openPool(filled.catalog);
  const shards = new Map(
    Object.entries(filled.shards).map(([name, where]) => {
      const { pool, isOwned } = openPool(where);
      return [
        name,
        new Shard({ name, pool, ownsPool: isOwned, hasRecord: filled.catalog !== undefined }),
      ];
    }),
  );
  let router: Router | undefined;
  try {
    const state = await firstState(filled, catalogPool?.pool);
    checkKeyspaces(filled, state.topology);
    checkShards(filled, state.topology);
    const core = new RouterCore(filled, shards, state.topology, clock);
    router = new Router(core, catalogPool);
    await checkReachable(core);
    if (catalogPool !== undefined) await router.follow(state, clock);
    return router;
  } catch (error) {
    if (router === undefined) {
      const owned = [...shards.values()].filter(({ ownsPool }) => ownsPool);
      await Promise.allSettled(owned.map(({ pool }) => pool.end()));
      if (catalogPool?.isOwned) await catalogPool.pool.end();
    } else await router.close();
    throw error;
  }
}

/** A pool for a place: the one that is given, or one that is made and is to be ended with its maker. */
export function openPool(where: ShardLocation): { pool: pg.Pool; isOwned: boolean } {
  if (isPool(where)) return { pool: where, isOwned: false };
  const pool = new ReplicaPool(where) as unknown as pg.Pool;
  // A connection that dies while idle is replaced by the pool; nobody waits for it.
  pool.on('error', () => {});
  return { pool, isOwned: true };
}

async function firstState(
  options: FilledRouterOptions,
  catalog: pg.Pool | undefined,
): Promise<CatalogState> {
  if (catalog === undefined) {
    return { topology: options.topology as Topology, revision: 0, holds: [] };
  }
  const client = await catalog.connect();
  let isBroken = true;
  try {
    await checkCatalog(client as never);
    const state = await loadCatalog(client as never);
    isBroken = false;
    if (state !== undefined) return state;
  } finally {
    client.release(isBroken);
  }
  throw new ShardlineError(routerErrors.CATALOG_MISSING, 'The catalog holds no topology yet.', {
    remedy: 'Publish the first one with `bootstrap`.',
  });
}

function checkKeyspaces(options: FilledRouterOptions, topology: Topology): void {
  const faults: string[] = [];
  for (const [name, wanted] of options.keyspaces) {
    const found = topology.keyspaces.get(name)?.keyspace;
    if (found === undefined) {
      faults.push(`keyspace '${name}' is not in the topology`);
      continue;
    }
    for (const member of ['keyType', 'hash', 'slots'] as const) {
      if (found[member] !== wanted[member]) {
        faults.push(`keyspace '${name}' has ${member} ${found[member]}, not ${wanted[member]}`);
      }
    }
  }
  if (faults.length === 0) return;
  throw new ShardlineError(
    routerErrors.TOPOLOGY_INVALID,
    `The options of the router do not fit the topology of epoch ${topology.epoch}: ${faults.join('; ')}.`,
    { details: { faults } },
  );
}

function checkShards(options: FilledRouterOptions, topology: Topology): void {
  const owning = [...topology.keyspaces.values()].flatMap((keyspace) => keyspace.owningShards());
  const missing = [...new Set(owning)].filter((name) => !(name in options.shards));
  if (missing.length === 0) return;
  throw new ShardlineError(
    routerErrors.SHARD_MISSING,
    `The topology of epoch ${topology.epoch} gives slots to ${missing.map((name) => `'${name}'`).join(', ')}, for which the router has no settings.`,
    { details: { missing } },
  );
}

/**
 * Refuses shards that answer and are wrong; those that do not answer are checked when they are needed, and so are
 * those that are yet to join the topology.
 */
async function checkReachable(core: RouterCore): Promise<void> {
  const outcomes = await Promise.allSettled(core.members().map((shard) => shard.ensureChecked()));
  const refused = outcomes.find(
    (outcome) => outcome.status === 'rejected' && isRefusal(outcome.reason),
  );
  if (refused !== undefined) throw (refused as PromiseRejectedResult).reason;
}

const REFUSALS = new Set(['HASH_MISMATCH', 'SHARD_MISMATCH', 'CATALOG_MISSING', 'CATALOG_TOO_NEW']);

function isRefusal(error: unknown): boolean {
  return REFUSALS.has((error as { code?: string })?.code ?? '');
}
