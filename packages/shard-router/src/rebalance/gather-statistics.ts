/**
 * What the planner knows of rows that were copied.
 *
 * A copy brings rows and no statistics. The server gathers them by itself, a minute later at the soonest and of partitioned
 * tables as a whole never; until then the first queries on a shard that has joined would be planned blind, all at once and on
 * tables that are full. So it is done before the switch, where there are none. It reads a sample and keeps nobody waiting: the
 * stream goes on, and a role that may not do it is only warned by the server.
 *
 * No promise rests on it, so a table that cannot be analysed (an expression of its statistics fails on a row) holds no move
 * up: the server's own log says so, as it will each time that it tries by itself.
 */

import type { MoveWork } from './move-work.js';
import { isPassing } from './passing-faults.js';
import { withGeneration } from './record-store.js';
import { retryLocked } from './retry-locked.js';
import tablesWithoutStatisticsSql from './sql/tables-without-statistics.sql';

/** Longest time for one table: a partitioned one is sampled part by part. */
const TABLE_MS = 3_600_000;

/** Gathers them on the destination. Safe to repeat. */
export async function gatherStatistics(work: MoveWork): Promise<void> {
  const { destination: side, row } = work;
  const { session } = side;
  const { tables } = work.context;
  const { rows } = await session.query<{ name: string }>(tablesWithoutStatisticsSql, [
    tables.map(({ schema }) => schema),
    tables.map(({ name }) => name),
  ]);
  for (const { name } of rows) {
    try {
      await retryLocked(work, side, () =>
        withGeneration(session, row.id, row.journal.generation, async () => {
          await session.query(`SET LOCAL lock_timeout = ${Math.trunc(work.limits.lockTimeoutMs)}`);
          await session.query(`ANALYZE ${name}`, [], TABLE_MS);
        }),
      );
    } catch (error) {
      if (!isRefused(error)) throw error;
    }
    await work.checkpoint();
  }
}

/** The server will not do it, today or tomorrow. */
function isRefused(error: unknown): boolean {
  const { code } = (error ?? {}) as { code?: unknown };
  return typeof code === 'string' && /^[0-9A-Z]{5}$/.test(code) && !isPassing(error);
}
