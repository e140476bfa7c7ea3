/**
 * A shard that joins: it gets schema, reference tables and its standing record from one that has rows, before the
 * topology names it; and what was written past it meanwhile, after.
 *
 * DDL by `everywhere` passes a shard by that its router does not know. So once the topology names the shard, all shards are
 * told its epoch, and routers that know an older one are refused there; what they did before that is found by copying the
 * schema once more. Who runs DDL holds a lock that he shares with others of his kind, and reads the epoch behind his
 * statement; the epoch is written under the same lock, alone. So it is either done before the schema is copied again, or
 * refused.
 */

import { sleep, withDeadline } from '@shardline/core';
import { installShard } from '../shard/install.js';
import { newestRevision, unacknowledgedRouters } from '../topology/catalog.js';
import { migrateShard } from '../topology/ownership.js';
import type { Topology } from '../topology/topology.js';
import { copySchema } from './copy-schema.js';
import lockDdlSql from './lock-ddl.sql';
import noteEpochSql from './note-reference-epoch.sql';
import type { WorkOptions } from './rebalancer.js';
import type { FilledRebalancerOptions } from './rebalancer-options.js';
import { owningShards, type RebalancerServers } from './rebalancer-servers.js';
import { seedReferenceTables } from './reference-seed.js';
import type { ShardLink } from './shard-link.js';

const KNOWN_POLL_MS = 50;

type Settings = Pick<FilledRebalancerOptions, 'keyspaces' | 'referenceTables' | 'limits'>;

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

/** Refuses, on every shard, reference writes and DDL of routers that do not know the newest topology. */
export async function refuseOlderRouters(servers: RebalancerServers): Promise<void> {
  const { shards, epoch } = await servers.topology();
  for (const { name } of shards) {
    const link = servers.shards.get(name);
    if (link === undefined) continue;
    await link.withConnection(async (client) => {
      await migrateShard(client);
      await client.query('BEGIN ISOLATION LEVEL READ COMMITTED');
      await client.query(lockDdlSql);
      await client.query(noteEpochSql, [epoch]);
      await client.query('COMMIT');
    });
  }
}

/**
 * A router that did not know a new shard yet has written reference tables past it. Once every router has acknowledged the
 * topology that names the shard, or its lease has ended, what came in between is found by comparison.
 */
export async function seedOnceKnown(
  servers: RebalancerServers,
  { referenceTables, limits }: Settings,
  shard: string,
  { signal }: WorkOptions,
): Promise<void> {
  const topology = await servers.topology();
  const model = modelFor(servers, topology, shard);
  if (model === undefined || referenceTables.length === 0) return;
  const catalog = servers.catalog.primary;
  const revision = await newestRevision(catalog);
  const doing = `Waiting until every router knows shard '${shard}'`;
  await withDeadline({ timeoutMs: limits.routersTimeoutMs, signal, doing }, async (stop) => {
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
