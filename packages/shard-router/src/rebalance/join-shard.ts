/**
 * A shard that joins: it gets schema, reference tables and its standing record from one that has rows, before the
 * topology names it; and what was written past it meanwhile, after.
 */

import { sleep, withDeadline } from '@shardline/core';
import { installShard } from '../shard/install.js';
import { newestRevision, unacknowledgedRouters } from '../topology/catalog.js';
import type { Topology } from '../topology/topology.js';
import { copySchema } from './copy-schema.js';
import type { WorkOptions } from './rebalancer.js';
import type { FilledRebalancerOptions } from './rebalancer-options.js';
import { owningShards, type RebalancerServers } from './rebalancer-servers.js';
import { seedReferenceTables } from './reference-seed.js';
import type { ShardLink } from './shard-link.js';

/** Longest wait for all routers to hear of a new shard: the longest lease, and a little. */
const KNOWN_TIMEOUT_MS = 11 * 60_000;
const KNOWN_POLL_MS = 50;

type Settings = Pick<FilledRebalancerOptions, 'keyspaces' | 'referenceTables'>;

/** Makes a shard ready to be named. One that owns slots only gets its record brought up to date. */
export async function prepareShard(
  servers: RebalancerServers,
  { keyspaces, referenceTables }: Settings,
  shard: string,
  { signal }: WorkOptions,
): Promise<void> {
  const link = servers.shard(shard);
  const topology = await servers.topology();
  const model = modelFor(servers, topology, shard);
  if (model !== undefined) {
    const tables = [...[...keyspaces.values()].flatMap((one) => one.tables), ...referenceTables];
    await copySchema(model, link, tables);
    await seedReferenceTables(model, link, referenceTables, { signal });
  }
  await link.withConnection((client) => installShard(client, shard, topology, keyspaces));
}

/**
 * A router that did not know a new shard yet has written reference tables past it. Once every router has acknowledged the
 * topology that names the shard, or its lease has ended, what came in between is found by comparison.
 */
export async function seedOnceKnown(
  servers: RebalancerServers,
  { referenceTables }: Settings,
  shard: string,
  { signal }: WorkOptions,
): Promise<void> {
  const topology = await servers.topology();
  const model = modelFor(servers, topology, shard);
  if (model === undefined || referenceTables.length === 0) return;
  const catalog = servers.catalog.primary;
  const revision = await newestRevision(catalog);
  const doing = `Waiting until every router knows shard '${shard}'`;
  await withDeadline({ timeoutMs: KNOWN_TIMEOUT_MS, signal, doing }, async (stop) => {
    while ((await unacknowledgedRouters(catalog, revision)).length > 0) {
      await sleep(KNOWN_POLL_MS, { signal: stop, doing });
    }
  });
  const { epoch } = topology;
  await seedReferenceTables(model, servers.shard(shard), referenceTables, { signal, epoch });
}

/** A shard that has rows already, of which a new one gets schema and reference tables. */
function modelFor(
  { shards }: RebalancerServers,
  topology: Topology,
  shard: string,
): ShardLink | undefined {
  const owning = [...owningShards(topology)];
  const name = owning.find((other) => other !== shard && shards.has(other));
  return name === undefined || owning.includes(shard) ? undefined : shards.get(name);
}
