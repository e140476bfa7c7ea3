/**
 * Takes rows of slots off a shard that does not own them, a few blocks of a table at a time.
 *
 * One pass over the table as it is now is enough: nothing brings rows of these slots any more, since the guard
 * refuses them and no subscription runs. Each batch looks again, in its own transaction, whether the shard owns
 * any of the slots and whether a newer mover has been here.
 *
 * Triggers of the application and foreign keys stay quiet (`session_replication_role = replica`), as they did when the
 * rows came: the rows go on living elsewhere, nothing is deleted from anybody's point of view.
 */

import { quoteLiteral, quoteQualified, ShardlineError } from '@shardline/core';
import { routerErrors } from '../errors.js';
import type { Keyspace, ShardedTable } from '../keyspace.js';
import type { Queryable } from '../shard/queryable.js';
import { supersededError } from './move-errors.js';
import { BEGIN, inOneTrip, rollBack } from './one-trip.js';
import { slotCondition } from './publication.js';

/** What is cleaned, and how gently. */
export interface CleanRequest {
  readonly move: string;
  readonly generation: number;
  readonly keyspace: Keyspace;
  /** In foreign-key order. */
  readonly tables: readonly ShardedTable[];
  readonly slots: readonly number[];
  /** About how many rows go per transaction. */
  readonly batchRows: number;
  /** Called between batches; throws to end the work. */
  readonly pause?: () => Promise<void>;
}

const FIRST_BLOCKS = 64;
const MOST_BLOCKS = 16_384;

/** Rows that no move is answerable for. */
type ForeignCleanRequest = Omit<CleanRequest, 'move' | 'generation'>;

interface Cleaning extends ForeignCleanRequest {
  /** What each batch asks first, by table; the last statement says in `may_go_on` whether it may delete. */
  readonly permission: (table: ShardedTable) => readonly string[];
  readonly refusal: () => ShardlineError;
}

/** @returns how many rows were deleted. */
export function cleanRows(client: Queryable, request: CleanRequest): Promise<number> {
  const { move, generation } = request;
  const ask = `SELECT r.generation <= ${generation} AND NOT EXISTS (
       SELECT 1 FROM shardline.slot_ownership AS s
       WHERE s.keyspace = r.keyspace AND s.slot = ANY (r.slots) AND (s.is_owned OR s.is_fenced)) AS may_go_on
     FROM shardline.move_record AS r WHERE r.move = ${quoteLiteral(move)} FOR UPDATE OF r`;
  return clean(client, {
    ...request,
    permission: () => [ask],
    refusal: () => supersededError(move),
  });
}

/**
 * Deletes rows that a shard holds, does not own and has in no move. A change of the shard's record locks the tables first,
 * so it is seen by the question, or waits for the batch.
 *
 * @returns how many rows were deleted.
 * @throws ShardlineError `MOVE_STATE` if a slot has become the shard's or a move's meanwhile.
 */
export function cleanForeignRows(client: Queryable, request: ForeignCleanRequest): Promise<number> {
  const { keyspace, slots } = request;
  const ask = `SELECT NOT EXISTS (
       SELECT 1 FROM shardline.slot_ownership AS s
       WHERE s.keyspace = ${quoteLiteral(keyspace.name)} AND s.slot IN (${slots.join(', ')})
         AND (s.is_owned OR s.is_fenced OR s.in_transit)) AS may_go_on`;
  const lock = ({ schema, name }: ShardedTable) =>
    `LOCK TABLE ${quoteQualified(schema, name)} IN ROW EXCLUSIVE MODE`;
  return clean(client, {
    ...request,
    permission: (table) => [lock(table), ask],
    refusal: becameOwned,
  });
}

async function clean(client: Queryable, request: Cleaning): Promise<number> {
  let deleted = 0;
  for (const table of [...request.tables].reverse()) {
    for (const leaf of await leavesOf(client, table)) {
      deleted += await cleanTable(client, request, table, leaf);
    }
  }
  return deleted;
}

interface Leaf {
  /** Quoted, with its schema. */
  readonly name: string;
  readonly blocks: number;
}

async function leavesOf(client: Queryable, table: ShardedTable): Promise<Leaf[]> {
  const { rows } = await client.query<Leaf>(
    `SELECT pg_catalog.format('%I.%I', n.nspname, c.relname) AS name,
       (pg_catalog.pg_relation_size(c.oid) / pg_catalog.current_setting('block_size')::bigint)::float8 AS blocks
     FROM pg_catalog.pg_class AS root
     JOIN pg_catalog.pg_namespace AS rn ON rn.oid = root.relnamespace
     CROSS JOIN LATERAL (
       SELECT root.oid AS oid UNION SELECT relid FROM pg_catalog.pg_partition_tree(root.oid)) AS part
     JOIN pg_catalog.pg_class AS c ON c.oid = part.oid AND c.relkind = 'r'
     JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
     WHERE rn.nspname = $1 AND root.relname = $2 ORDER BY 1`,
    [table.schema, table.name],
  );
  return rows;
}

async function cleanTable(
  client: Queryable,
  request: Cleaning,
  table: ShardedTable,
  leaf: Leaf,
): Promise<number> {
  const condition = slotCondition(request.keyspace, table, request.slots);
  const permission = request.permission(table);
  let deleted = 0;
  let step = FIRST_BLOCKS;
  for (let at = 0; at <= leaf.blocks; ) {
    const batch = await deleteBlocks(
      client,
      permission,
      request.refusal,
      leaf.name,
      condition,
      at,
      at + step,
    );
    at += step;
    deleted += batch;
    if (batch > request.batchRows) step = Math.max(1, step >> 1);
    else if (batch < request.batchRows / 2) step = Math.min(MOST_BLOCKS, step * 2);
    await request.pause?.();
  }
  return deleted;
}

async function deleteBlocks(
  client: Queryable,
  permission: readonly string[],
  refusal: () => ShardlineError,
  name: string,
  condition: string,
  from: number,
  to: number,
): Promise<number> {
  try {
    const answers = await inOneTrip<{ may_go_on: boolean }>(client, [
      BEGIN,
      'SET LOCAL session_replication_role = replica',
      ...permission,
    ]);
    if (answers.at(-1)?.rows[0]?.may_go_on !== true) throw refusal();
    const done = await inOneTrip(client, [
      `DELETE FROM ONLY ${name} WHERE ctid >= '(${from},0)' AND ctid < '(${to},0)' AND ${condition}`,
      'COMMIT',
    ]);
    return done[0]?.rowCount ?? 0;
  } catch (error) {
    await rollBack(client);
    throw error;
  }
}

function becameOwned(): ShardlineError {
  return new ShardlineError(
    routerErrors.MOVE_STATE,
    "Slots whose rows were being deleted have become the shard's own, or take part in a move.",
    { remedy: 'Look again with `repair`; what is left is told.' },
  );
}
