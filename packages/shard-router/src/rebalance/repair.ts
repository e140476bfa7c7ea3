/**
 * What the servers hold against what the journal says.
 *
 * A move takes its own objects off, whatever happens to its mover, as long as it can be resumed. What is left for
 * here: servers that were restored from a backup, journals that were, objects that somebody copied along with a
 * database. Only what belongs to no open move is touched, so nothing that is being worked at is taken away.
 */

import { quoteIdentifier, quoteLiteral } from '@shardline/core';
import type { FilledKeyspaceOptions } from '../router-options.js';
import type { Queryable } from '../shard/queryable.js';
import { writeOwnership } from '../topology/ownership.js';
import type { Topology } from '../topology/topology.js';
import type { RepairAction } from './rebalancer.js';
import { foreignRows } from './repair-rows.js';
import type { ShardLink } from './shard-link.js';
import leftIdentitiesSql from './sql/left-identities.sql';
import moveObjectsSql from './sql/move-objects.sql';
import { moveOfObject } from './stream-names.js';

/** What is compared. */
export interface RepairRequest {
  readonly catalog: ShardLink;
  readonly shards: readonly ShardLink[];
  readonly topology: Topology;
  readonly keyspaces: ReadonlyMap<string, FilledKeyspaceOptions>;
  /** Moves that are not over: what is theirs stays. */
  readonly openMoves: ReadonlySet<string>;
  /** Shards that take part in one: their records are theirs to change. */
  readonly busyShards: ReadonlySet<string>;
  readonly apply: boolean;
  readonly checkpoint: () => void;
}

/** A finding with what mends it; without, it is for people to decide. */
export interface Repair extends Omit<RepairAction, 'isDone' | 'on'> {
  readonly run: ((client: Queryable) => Promise<unknown>) | undefined;
}

/** @returns what was found, in stable order, and whether it was mended. */
export async function repairServers(request: RepairRequest): Promise<RepairAction[]> {
  const actions: RepairAction[] = [];
  for (const server of [request.catalog, ...request.shards]) {
    request.checkpoint();
    const found =
      server === request.catalog
        ? await brokenHolds(server, request)
        : [
            ...(await leftObjects(server, request)),
            // Before the records that know how they were.
            ...(await leftIdentities(server, request)),
            ...(await leftFences(server, request)),
            ...(await staleRecords(server, request)),
            ...(await foreignRows(server, request)),
          ];
    for (const { run, ...repair } of found) {
      request.checkpoint();
      const isDone = request.apply && run !== undefined;
      if (isDone) await server.withConnection(run);
      actions.push({ on: server.name, ...repair, isDone });
    }
  }
  return actions;
}

/** New writers queue behind the lock, so it is not waited for long; the repair can be repeated. */
const LOCK_TIMEOUT_MS = 2000;

async function leftObjects(server: ShardLink, { openMoves }: RepairRequest): Promise<Repair[]> {
  const { rows } = await server.query<{ kind: keyof typeof DROPS; name: string }>(moveObjectsSql);
  return rows.flatMap(({ kind, name }) => {
    const owner = moveOfObject(name);
    if (owner === undefined || openMoves.has(owner.move)) return [];
    const sql = DROPS[kind](name);
    return {
      kind,
      object: name,
      problem: `It belongs to move '${owner.move}', which is over or unknown.`,
      action: 'It is dropped.',
      sql,
      run: (client: Queryable) => runAll(client, sql),
    };
  });
}

/** By kind; subscriptions come first in the list, so that what fed them is free. */
const DROPS = {
  subscription: (name: string) => [
    `ALTER SUBSCRIPTION ${quoteIdentifier(name)} DISABLE`,
    `ALTER SUBSCRIPTION ${quoteIdentifier(name)} SET (slot_name = NONE)`,
    `DROP SUBSCRIPTION ${quoteIdentifier(name)}`,
  ],
  'replication slot': (name: string) => [
    `SELECT pg_catalog.pg_terminate_backend(active_pid, 5000) FROM pg_catalog.pg_replication_slots
     WHERE slot_name = ${quoteLiteral(name)} AND active`,
    `SELECT pg_catalog.pg_drop_replication_slot(${quoteLiteral(name)})`,
  ],
  publication: (name: string) => [`DROP PUBLICATION IF EXISTS ${quoteIdentifier(name)}`],
  role: (name: string) => [
    `DROP OWNED BY ${quoteIdentifier(name)}`,
    `DROP ROLE ${quoteIdentifier(name)}`,
  ],
} as const;

/** A table that a move made send whole old rows costs its writers WAL for nothing when the move is over. */
async function leftIdentities(
  server: ShardLink,
  { openMoves, busyShards }: RepairRequest,
): Promise<Repair[]> {
  // An open move may need what another one has left.
  if (busyShards.has(server.name)) return [];
  const { rows } = await server.query<{ move: string; name: string; identity: string }>(
    leftIdentitiesSql,
    [[...openMoves]],
  );
  return rows.map(({ move, name, identity }): Repair => {
    const sql = [
      'BEGIN',
      `SET LOCAL lock_timeout = ${LOCK_TIMEOUT_MS}`,
      `ALTER TABLE ${name} REPLICA IDENTITY ${identity}`,
      'COMMIT',
    ];
    return {
      kind: 'replica identity',
      object: name,
      problem: `Move '${move}', which is over or unknown, has set it to FULL.`,
      action: 'It is set to what it was before.',
      sql,
      run: (client) => runAll(client, sql),
    };
  });
}

/** A fence without a move would keep writers out for ever. */
async function leftFences(server: ShardLink, { openMoves }: RepairRequest): Promise<Repair[]> {
  const { rows } = await server.query<{ keyspace: string; slots: number[] }>(
    `SELECT s.keyspace, array_agg(s.slot ORDER BY s.slot) AS slots FROM shardline.slot_ownership AS s
     WHERE s.is_fenced AND NOT EXISTS (
       SELECT 1 FROM shardline.move_record AS r
       WHERE r.keyspace = s.keyspace AND s.slot = ANY (r.slots) AND r.move = ANY ($1))
     GROUP BY s.keyspace ORDER BY s.keyspace`,
    [[...openMoves]],
  );
  const records = await server.query<{ move: string }>(
    'SELECT move FROM shardline.move_record WHERE NOT move = ANY ($1) ORDER BY move',
    [[...openMoves]],
  );
  return [
    ...rows.map(({ keyspace, slots }): Repair => {
      const sql = [
        `UPDATE shardline.slot_ownership SET is_fenced = false, is_owned = true
         WHERE keyspace = ${quoteLiteral(keyspace)} AND is_fenced AND slot IN (${slots.join(', ')})`,
      ];
      return {
        kind: 'fence',
        object: `${slots.length} slots of keyspace ${keyspace}`,
        problem: 'No open move has fenced them, and writes are refused.',
        action: 'The fence is taken off.',
        sql,
        run: (client) => runAll(client, sql),
      };
    }),
    ...records.rows.map(({ move }): Repair => {
      const sql = [
        `UPDATE shardline.move_floor SET generation = greatest(generation,
           (SELECT generation FROM shardline.move_record WHERE move = ${quoteLiteral(move)}))`,
        `DELETE FROM shardline.move_barrier WHERE move = ${quoteLiteral(move)}`,
        `DELETE FROM shardline.move_record WHERE move = ${quoteLiteral(move)}`,
      ];
      return {
        kind: 'journal',
        object: move,
        problem: 'The shard has a record of a move that is over or unknown.',
        action: 'The record is ended.',
        sql,
        run: (client) => runAll(client, sql),
      };
    }),
  ];
}

/** A shard whose record is older than the topology refuses what it should take, or takes what it should not. */
async function staleRecords(
  server: ShardLink,
  { topology, busyShards }: RepairRequest,
): Promise<Repair[]> {
  if (busyShards.has(server.name)) return [];
  const { rows } = await server.query<{ keyspace: string; epoch: number }>(
    'SELECT keyspace, epoch::float8 AS epoch FROM shardline.ownership ORDER BY keyspace',
  );
  const known = new Map(rows.map(({ keyspace, epoch }) => [keyspace, epoch]));
  return [...topology.keyspaces].flatMap(([keyspace, map]) => {
    const wanted = map.shardEpoch(server.name);
    const found = known.get(keyspace);
    if (wanted === 0 || (found ?? 0) >= wanted) return [];
    return {
      kind: 'ownership record' as const,
      object: `keyspace ${keyspace}`,
      problem: `It is ${found === undefined ? 'missing' : `of epoch ${found}`}; the topology is at ${wanted}.`,
      action: 'It is written as the topology has it.',
      sql: [],
      run: async (client: Queryable) => {
        await client.query('BEGIN');
        await writeOwnership(client, server.name, topology, keyspace);
        await client.query('COMMIT');
      },
    };
  });
}

async function brokenHolds(catalog: ShardLink, { openMoves }: RepairRequest): Promise<Repair[]> {
  const { rows } = await catalog.query<{ id: string; move: string | null }>(
    `SELECT id::text AS id, move FROM shardline.hold
     WHERE move IS NULL OR NOT move = ANY ($1) ORDER BY id`,
    [[...openMoves]],
  );
  return rows.map(({ id, move }) => {
    const sql = [
      `DELETE FROM shardline.hold WHERE id = ${quoteLiteral(id)}`,
      'UPDATE shardline.topology SET revision = revision + 1',
    ];
    return {
      kind: 'hold' as const,
      object: `hold ${id}`,
      problem: `It holds callers back for ${move === null ? 'no move' : `move '${move}', which is over`}.`,
      action: 'The callers are let go.',
      sql,
      run: (client: Queryable) => runAll(client, sql),
    };
  });
}

async function runAll(client: Queryable, statements: readonly string[]): Promise<void> {
  for (const statement of statements) await client.query(statement);
}
