/** Everything at one glance: catalog, routers, journal, and what each shard says of itself. */

import type { Queryable } from '../shard/queryable.js';
import { loadCatalog } from '../topology/catalog.js';
import { readOwnership } from '../topology/ownership.js';
import type { Topology } from '../topology/topology.js';
import type { JournalStore } from './journal-store.js';
import { ownerIn } from './move-state.js';
import { moveStatus } from './move-status.js';
import type { ShardLink } from './shard-link.js';
import type { MoveStatus, RebalanceStatus, RouterStatus, ShardStatus } from './status.js';
import { streamName } from './stream-names.js';

const RECENT_MOVES = 20;

export async function readStatus(
  catalog: ShardLink,
  store: JournalStore,
  shards: ReadonlyMap<string, ShardLink>,
): Promise<RebalanceStatus> {
  const [state, routers, open, recent] = await Promise.all([
    catalog.withConnection((client) => loadCatalog(client)),
    readRouters(catalog.primary),
    store.open(),
    store.recent(RECENT_MOVES),
  ]);
  const { topology, revision } = state ?? {};
  return {
    epoch: topology?.epoch ?? 0,
    revision: revision ?? 0,
    shards:
      topology === undefined
        ? []
        : await Promise.all(
            topology.shards.map(({ name, weight }) =>
              readShard(topology, name, weight, shards.get(name)),
            ),
          ),
    routers,
    active: await Promise.all(
      open.map(async (row): Promise<MoveStatus> => {
        const into = ownerIn(row.journal.state) === 'source' ? 'destination' : 'source';
        const feeder = shards.get(row.journal[into === 'source' ? 'destination' : 'source']);
        return moveStatus(row, await readSlotBytes(feeder, streamName(row.id, into)));
      }),
    ),
    recent: recent.map((row) => moveStatus(row)),
  };
}

/** Routers by the catalog, those that were seen last first. */
export async function readRouters(catalog: Queryable): Promise<RouterStatus[]> {
  const { rows } = await catalog.query<RouterStatus>(
    `SELECT r.id::text AS id, r.name, r.version, r.revision::float8 AS "acknowledgedRevision",
       r.revision >= t.revision AS "isCurrent",
       greatest(0, extract(epoch FROM r.lease_until - clock_timestamp()) * 1000)::float8 AS "leaseLeftMs",
       (extract(epoch FROM clock_timestamp() - r.seen_at) * 1000)::float8 AS "seenMsAgo"
     FROM shardline.router AS r, shardline.topology AS t ORDER BY r.seen_at DESC, r.id`,
  );
  return rows;
}

async function readShard(
  topology: Topology,
  name: string,
  weight: number,
  link: ShardLink | undefined,
): Promise<ShardStatus> {
  const slots = Object.fromEntries(
    [...topology.keyspaces].map(([keyspace, map]) => [keyspace, map.slotsOf(name).length]),
  );
  const unknown = { isRecordCurrent: undefined, guardedTables: undefined };
  if (link === undefined) {
    return { name, weight, slots, ...unknown, error: 'There are no settings for this shard.' };
  }
  try {
    const records = await readOwnership(link);
    const { rows } = await link.query<{ name: string }>(
      `SELECT table_schema || '.' || table_name AS name FROM shardline.guarded_table ORDER BY 1`,
    );
    const isRecordCurrent = [...topology.keyspaces].every(([keyspace, map]) =>
      records.some(
        (record) =>
          record.keyspace === keyspace &&
          record.shard === name &&
          record.epoch === map.shardEpoch(name) &&
          record.ownedSlots === slots[keyspace],
      ),
    );
    return {
      name,
      weight,
      slots,
      isRecordCurrent,
      guardedTables: rows.map((row) => row.name),
      error: undefined,
    };
  } catch (error) {
    return { name, weight, slots, ...unknown, error: (error as Error).message };
  }
}

/** What a slot holds back; undefined if there is none, or if the server does not answer. */
async function readSlotBytes(
  feeder: ShardLink | undefined,
  slot: string,
): Promise<number | undefined> {
  try {
    const answer = await feeder?.query<{ bytes: number }>(
      `SELECT (pg_catalog.pg_current_wal_lsn() - restart_lsn)::float8 AS bytes
       FROM pg_catalog.pg_replication_slots WHERE slot_name = $1`,
      [slot],
    );
    return answer?.rows[0]?.bytes ?? undefined;
  } catch {
    return undefined;
  }
}
