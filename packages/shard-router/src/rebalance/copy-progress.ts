/**
 * How far a copy is, in figures that never say more than all (pure).
 *
 * What is to be copied is estimated from the source's statistics: a table's bytes times the share of its slots that
 * move. What is done is known by table, and within a table by what the servers count while they copy it.
 */

import type { MoveProgress } from './status.js';

/** Estimates for one table of a move. */
export interface TableEstimate {
  readonly table: string;
  readonly rows: number;
  readonly bytes: number;
}

/** What the destination says. */
export interface CopyState {
  readonly tables: number;
  readonly ready: number;
  readonly runningBytes: number;
  readonly runningRows: number;
  readonly doneTables: readonly string[];
  readonly openTables: readonly string[];
}

/** Before this much is done, a time would be a guess. */
const FIRST_SHARE = 0.01;

export function copyProgress(
  estimates: readonly TableEstimate[],
  state: CopyState,
  elapsedMs: number,
  lagBytes: number | undefined,
): MoveProgress {
  const done = new Set(state.doneTables);
  let totalBytes = 0;
  let totalRows = 0;
  let doneBytes = 0;
  let doneRows = 0;
  for (const { table, rows, bytes } of estimates) {
    totalBytes += bytes;
    totalRows += rows;
    if (!done.has(table)) continue;
    doneBytes += bytes;
    doneRows += rows;
  }
  const copiedBytes = Math.min(totalBytes, doneBytes + state.runningBytes);
  const copiedRows = Math.min(totalRows, doneRows + state.runningRows);
  const share = totalBytes === 0 ? 1 : copiedBytes / totalBytes;
  const isCopying = state.openTables.length > 0 && share < 1;
  return {
    copiedBytes: Math.round(copiedBytes),
    totalBytes: Math.round(totalBytes),
    copiedRows: Math.round(copiedRows),
    totalRows: Math.round(totalRows),
    isEstimated: true,
    secondsLeft:
      isCopying && share >= FIRST_SHARE
        ? Math.round((elapsedMs / share) * (1 - share)) / 1000
        : undefined,
    lagBytes,
  };
}
