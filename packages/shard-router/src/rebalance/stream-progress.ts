/** How far a stream is: copied, caught up, settled. Asked of the servers, never remembered. */

import { sleep } from '@shardline/core';
import { type CopyState, copyProgress, type TableEstimate } from './copy-progress.js';
import { streamLostError } from './move-errors.js';
import type { MoveWork } from './move-work.js';
import copyProgressSql from './sql/copy-progress.sql';
import tableEstimatesSql from './sql/table-estimates.sql';
import type { MoveProgress } from './status.js';
import { isSlotAlive } from './stream.js';
import { streamName } from './stream-names.js';

const SETTLE_POLL_MS = 5;
/** A mark takes milliseconds; only where it takes longer is the slot looked for. */
const POLLS_PER_LOOK = 100;

/** Whether the rows that were there at the beginning are all on the destination. */
export async function isCopied(work: MoveWork): Promise<boolean> {
  const { tables, ready } = await copyState(work);
  return tables > 0 && ready === tables;
}

/** How far the destination is behind the source, in bytes of WAL. */
export async function lagBytes(work: MoveWork): Promise<number> {
  const { rows } = await work.source.session.query<{ bytes: number | null }>(
    `SELECT (pg_catalog.pg_current_wal_lsn() - confirmed_flush_lsn)::float8 AS bytes
     FROM pg_catalog.pg_replication_slots WHERE slot_name = $1`,
    [streamName(work.row.id, 'destination')],
  );
  return rows[0]?.bytes ?? Number.POSITIVE_INFINITY;
}

/**
 * Waits until everything that was committed on the source before the call is on the destination: a mark is
 * written and waited for. It is no barrier, since writers go on behind it, and is told from one by its number.
 *
 * @throws ShardlineError `MOVE_STREAM_LOST` if the slot is gone: the mark will never come, and the copy has to begin anew.
 */
export async function settleStream(work: MoveWork): Promise<void> {
  const { id } = work.row;
  const { rows } = await work.source.session.query<{ generation: string }>(
    `INSERT INTO shardline.move_barrier (move, generation, written_by)
     SELECT $1, coalesce(min(generation) FILTER (WHERE generation < 0), 0) - 1, $2
     FROM shardline.move_barrier WHERE move = $1 RETURNING generation::text`,
    [id, work.source.shard],
  );
  const mark = rows[0]?.generation;
  const name = streamName(id, 'destination');
  for (let polls = 1; ; polls += 1) {
    const { rowCount } = await work.destination.session.query(
      'SELECT 1 FROM shardline.move_barrier WHERE move = $1 AND generation = $2',
      [id, mark],
    );
    if (rowCount === 1) return;
    if (polls % POLLS_PER_LOOK === 0 && !(await isSlotAlive(work.source, name)))
      throw streamLostError(id);
    await work.checkpoint();
    await sleep(SETTLE_POLL_MS, { doing: 'Waiting for the stream' });
  }
}

/** What there is to copy: of each table, the share that the moved slots are of those that the source owns. */
export async function estimateTables(work: MoveWork): Promise<TableEstimate[]> {
  const { tables, slots } = work.context;
  const { session } = work.source;
  const owned = await session.query<{ slots: number }>(
    `SELECT count(*)::integer AS slots FROM shardline.slot_ownership
     WHERE keyspace = $1 AND (is_owned OR is_fenced)`,
    [work.row.keyspace],
  );
  const share = Math.min(1, slots.length / Math.max(1, owned.rows[0]?.slots ?? 1));
  const { rows } = await session.query<TableEstimate>(tableEstimatesSql, [
    tables.map(({ schema }) => schema),
    tables.map(({ name }) => name),
  ]);
  return rows.map(({ table, rows: count, bytes }) => ({
    table,
    rows: count * share,
    bytes: bytes * share,
  }));
}

/** What `status` shows of it. */
export async function readProgress(
  work: MoveWork,
  estimates: readonly TableEstimate[],
  elapsedMs: number,
): Promise<MoveProgress> {
  const lag = await lagBytes(work);
  const state = await copyState(work);
  return copyProgress(estimates, state, elapsedMs, Number.isFinite(lag) ? lag : undefined);
}

const NOTHING_YET: CopyState = {
  tables: 0,
  ready: 0,
  runningBytes: 0,
  runningRows: 0,
  doneTables: [],
  openTables: [],
};

async function copyState(work: MoveWork): Promise<CopyState> {
  const { rows } = await work.destination.session.query<CopyState>(copyProgressSql, [
    streamName(work.row.id, 'destination'),
  ]);
  return rows[0] ?? NOTHING_YET;
}
