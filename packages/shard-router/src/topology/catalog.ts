/**
 * The topology in PostgreSQL: read, changed by compare-and-set on the epoch, and followed by routers.
 *
 * Always holds: there is one topology per epoch, and a change is one transaction that says which epoch it
 * was decided on. Two operators who decide at once cannot both win. Everything a router must take notice of raises
 * the revision; NOTIFY wakes whoever listens and is never relied on, since it is lost on a reconnect and
 * dead behind a transaction pooler.
 *
 * Rights. Migrating needs a role that may create a schema; changing the topology one that owns it. A router needs
 * USAGE on the schema, SELECT on all its tables, and INSERT, UPDATE and DELETE on `router` and `worker`:
 * `grantRouter` gives exactly that.
 */

import { quoteIdentifier, ShardlineError } from '@shardline/core';
import { routerErrors } from '../errors.js';
import {
  checkMigrated,
  type Migration,
  type MigrationSet,
  migrate,
  pendingMigrations,
} from '../migrations.js';
import type { Queryable } from '../shard/queryable.js';
import catalogSql from './sql/001-catalog.sql';
import movesSql from './sql/002-moves.sql';
import loadTopologySql from './sql/load-topology.sql';
import renewLeaseSql from './sql/renew-lease.sql';
import saveSlotsSql from './sql/save-slots.sql';
import unacknowledgedSql from './sql/unacknowledged.sql';
import {
  type KeyspaceData,
  Topology,
  type TopologyChange,
  type TopologyShard,
} from './topology.js';

const catalogMigrations: MigrationSet = {
  subject: 'catalog',
  table: 'catalog_migration',
  migrations: [
    { version: 1, name: 'catalog', sql: catalogSql },
    { version: 2, name: 'moves', sql: movesSql },
  ],
};

/** The channel on which changes are announced. */
export const CATALOG_CHANNEL = 'shardline';

/** Slots that routers are asked to hold back. */
export interface HoldRequest {
  readonly id: string;
  readonly keyspace: string;
  readonly slots: readonly number[];
}

/** The catalog at one revision. */
export interface CatalogState {
  readonly topology: Topology;
  readonly revision: number;
  readonly holds: readonly HoldRequest[];
}

/** A router as the catalog sees it. */
export interface RouterRegistration {
  readonly id: string;
  readonly name: string;
  readonly version: string;
  readonly acknowledgedRevision: number;
  readonly leaseMs: number;
}

/** A live router that has not acknowledged a revision. */
export interface UnacknowledgedRouter {
  readonly id: string;
  readonly name: string;
  readonly revision: string;
  readonly leaseLeftMs: number;
}

/** A connection that stays the same between statements; transactions need one. */
export type SingleConnection = Queryable;

/**
 * Makes or upgrades the catalog. Safe to call from many processes at once.
 *
 * @returns the versions that were applied now.
 * @throws ShardlineError `CATALOG_TOO_NEW`.
 */
export function migrateCatalog(client: SingleConnection): Promise<number[]> {
  return migrate(client, catalogMigrations);
}

/** @throws ShardlineError `CATALOG_MISSING`, `CATALOG_TOO_NEW`. */
export function checkCatalog(client: Queryable): Promise<void> {
  return checkMigrated(client, catalogMigrations);
}

/** Steps that `migrateCatalog` would apply now; nothing is changed. @throws ShardlineError `CATALOG_TOO_NEW`. */
export function pendingCatalogMigrations(client: Queryable): Promise<readonly Migration[]> {
  return pendingMigrations(client, catalogMigrations);
}

/** Gives a role what a router needs and no more. */
export async function grantRouter(client: Queryable, role: string): Promise<void> {
  const name = quoteIdentifier(role);
  await client.query(`GRANT USAGE ON SCHEMA shardline TO ${name}`);
  await client.query(`GRANT SELECT ON ALL TABLES IN SCHEMA shardline TO ${name}`);
  await client.query(
    `GRANT INSERT, UPDATE, DELETE ON shardline.router, shardline.worker TO ${name}`,
  );
}

interface TopologyRow {
  readonly epoch: string;
  readonly revision: string;
  readonly shards: TopologyShard[];
  readonly keyspaces: (Omit<KeyspaceData, 'owners' | 'slotEpochs'> & {
    readonly owners: string[] | null;
    readonly slotEpochs: number[] | null;
    readonly shardEpochs: Record<string, number> | null;
    readonly transit: KeyspaceData['transit'] | null;
  })[];
  readonly holds: HoldRequest[];
}

/** Reads the newest topology and holds, or undefined if no topology has been published yet. */
export async function loadCatalog(client: Queryable): Promise<CatalogState | undefined> {
  const { rows } = await client.query<TopologyRow>(loadTopologySql);
  const row = rows[0];
  if (row === undefined || row.epoch === '0') return undefined;
  const keyspaces = row.keyspaces.map((keyspace) => ({
    ...keyspace,
    shardEpochs: keyspace.shardEpochs ?? {},
    transit: keyspace.transit ?? [],
    owners: keyspace.owners ?? [],
    slotEpochs: keyspace.slotEpochs ?? [],
  }));
  const topology = new Topology({ epoch: Number(row.epoch), shards: row.shards, keyspaces });
  return { topology, revision: Number(row.revision), holds: row.holds };
}

/**
 * Publishes the first topology.
 *
 * @throws ShardlineError `CATALOG_CONFLICT` if there is one already.
 */
export async function publishFirst(client: SingleConnection, topology: Topology): Promise<void> {
  await inTransaction(client, async () => {
    await advance(client, 0, topology.epoch);
    await saveShards(client, topology.shards);
    for (const keyspace of topology.keyspaces.values()) {
      const data = keyspace.toData();
      await client.query(
        'INSERT INTO shardline.keyspace (name, key_type, hash, slots) VALUES ($1, $2, $3, $4)',
        [data.name, data.keyType, data.hash, data.slots],
      );
      await saveKeyspace(client, topology, data.name, undefined);
    }
  });
}

/**
 * Publishes a change of the topology that it was decided on.
 *
 * @returns the new topology.
 * @throws ShardlineError `CATALOG_CONFLICT` if the catalog has moved on, `TOPOLOGY_INVALID` if it cannot be.
 */
export async function publishChange(
  client: SingleConnection,
  current: Topology,
  change: TopologyChange,
): Promise<Topology> {
  const next = current.with(change);
  await inTransaction(client, () => applyChange(client, current, change, next));
  return next;
}

/** The same within a transaction of the caller's, for those who must write more in it. */
export async function applyChange(
  client: SingleConnection,
  current: Topology,
  change: TopologyChange,
  next: Topology = current.with(change),
): Promise<Topology> {
  await advance(client, current.epoch, next.epoch);
  await saveShards(client, change.shards ?? []);
  for (const name of next.keyspaces.keys()) await saveKeyspace(client, next, name, current);
  for (const shard of change.removeShards ?? []) {
    await client.query('DELETE FROM shardline.shard WHERE name = $1', [shard]);
  }
  return next;
}

async function advance(client: Queryable, from: number, to: number): Promise<void> {
  const { rowCount } = await client.query(
    'UPDATE shardline.topology SET epoch = $2, revision = revision + 1 WHERE epoch = $1',
    [from, to],
  );
  if (rowCount === 1) {
    await client.query(`SELECT pg_catalog.pg_notify($1, '')`, [CATALOG_CHANNEL]);
    return;
  }
  throw new ShardlineError(
    routerErrors.CATALOG_CONFLICT,
    `The catalog is not at epoch ${from} any more, so the change to epoch ${to} was not made.`,
    { details: { from, to } },
  );
}

async function saveShards(client: Queryable, shards: readonly TopologyShard[]): Promise<void> {
  await client.query(
    `INSERT INTO shardline.shard (name, weight) SELECT * FROM unnest($1::text[], $2::float8[])
     ON CONFLICT (name) DO UPDATE SET weight = excluded.weight`,
    [shards.map(({ name }) => name), shards.map(({ weight }) => weight)],
  );
}

async function saveKeyspace(
  client: Queryable,
  next: Topology,
  name: string,
  before: Topology | undefined,
): Promise<void> {
  const keyspace = next.keyspace(name);
  const known = before?.keyspace(name);
  const changed = Array.from({ length: keyspace.slots }, (_, slot) => slot).filter(
    (slot) => known === undefined || known.slotEpoch(slot) !== keyspace.slotEpoch(slot),
  );
  await client.query(saveSlotsSql, [
    name,
    changed,
    changed.map((slot) => keyspace.ownerOf(slot)),
    changed.map((slot) => keyspace.slotEpoch(slot)),
  ]);
  const names = next.shards.map((shard) => shard.name);
  await client.query(
    `INSERT INTO shardline.shard_epoch (keyspace, shard, epoch)
     SELECT $1, * FROM unnest($2::text[], $3::bigint[])
     ON CONFLICT (keyspace, shard) DO UPDATE SET epoch = excluded.epoch`,
    [name, names, names.map((shard) => keyspace.shardEpoch(shard))],
  );
  await client.query('DELETE FROM shardline.transit WHERE keyspace = $1', [name]);
  for (const shard of names) {
    await client.query(
      'INSERT INTO shardline.transit (keyspace, shard, slot) SELECT $1, $2, unnest($3::integer[])',
      [name, shard, [...keyspace.transitSlots(shard)]],
    );
  }
}

/** Asks all routers to hold slots back. @returns the hold's id and the revision that acknowledges it. */
export async function requestHold(
  client: SingleConnection,
  keyspace: string,
  slots: readonly number[],
): Promise<{ id: string; revision: number }> {
  return inTransaction(client, async () => {
    const revision = await raiseRevision(client);
    const { rows } = await client.query<{ id: string }>(
      'INSERT INTO shardline.hold (keyspace, slots, revision) VALUES ($1, $2, $3) RETURNING id::text',
      [keyspace, [...slots], revision],
    );
    return { id: (rows[0] as { id: string }).id, revision };
  });
}

/** Lets the slots of a hold go again. @returns the revision that says so. */
export async function releaseHold(client: SingleConnection, id: string): Promise<number> {
  return inTransaction(client, async () => {
    await client.query('DELETE FROM shardline.hold WHERE id = $1', [id]);
    return raiseRevision(client);
  });
}

/** Tells all routers that there is news, in the caller's transaction. @returns the revision of it. */
export async function raiseRevision(client: Queryable): Promise<number> {
  const { rows } = await client.query<{ revision: string }>(
    'UPDATE shardline.topology SET revision = revision + 1 RETURNING revision::text',
  );
  await client.query(`SELECT pg_catalog.pg_notify($1, '')`, [CATALOG_CHANNEL]);
  return Number(rows[0]?.revision);
}

/**
 * Registers or renews a router, and *then* reads the newest revision: see `lease.ts` for why in this order.
 */
export async function renewLease(
  client: Queryable,
  { id, name, version, acknowledgedRevision, leaseMs }: RouterRegistration,
): Promise<number> {
  await client.query(renewLeaseSql, [id, name, version, acknowledgedRevision, leaseMs]);
  return newestRevision(client);
}

/** The revision that the catalog is at. */
export async function newestRevision(client: Queryable): Promise<number> {
  const { rows } = await client.query<{ revision: string }>(
    'SELECT revision::text FROM shardline.topology',
  );
  return Number(rows[0]?.revision ?? 0);
}

/** Takes a router off the list. */
export async function unregisterRouter(client: Queryable, id: string): Promise<void> {
  await client.query('DELETE FROM shardline.router WHERE id = $1', [id]);
}

/** Routers whose lease runs and that have not acknowledged the revision: whom a switch must wait for. */
export async function unacknowledgedRouters(
  client: Queryable,
  revision: number,
): Promise<UnacknowledgedRouter[]> {
  return (await client.query<UnacknowledgedRouter>(unacknowledgedSql, [revision])).rows;
}

async function inTransaction<T>(client: Queryable, work: () => Promise<T>): Promise<T> {
  await client.query('BEGIN');
  try {
    const result = await work();
    await client.query('COMMIT');
    return result;
  } catch (error) {
    await client.query('ROLLBACK').catch(() => {
      // The connection is gone, and the transaction with it; the first error says why.
    });
    throw error;
  }
}
