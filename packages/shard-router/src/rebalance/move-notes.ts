/** What is told of a move and decides nothing, and what operators ask of it, as statements (pure). */

import type { MoveWish } from './move-row.js';
import type { MoveProgress, MoveSteering } from './status.js';

/** What is told of a move. Left out stays as it is; null is taken off. */
export interface MoveNote {
  readonly progress?: MoveProgress;
  readonly waitingFor?: string | null;
  readonly lastError?: string | null;
  readonly pauseMs?: number;
  readonly isVerified?: boolean;
  readonly rollbackMs?: number;
}

/** What an operator asks for. Left out stays as it is; null is taken off. */
export type MoveRequest = Partial<MoveSteering> & { readonly wish?: MoveWish | null };

/** A statement with its values. */
export interface Statement {
  readonly text: string;
  readonly values: readonly unknown[];
}

/** Writes a note as long as the holder has the move; undefined if there is nothing to write. */
export function noteStatement(id: string, holder: string, note: MoveNote): Statement | undefined {
  const sets: string[] = [];
  const values: unknown[] = [id, holder];
  const set = (column: string, value: unknown, wrap = (place: string) => place) => {
    values.push(value);
    sets.push(`${column} = ${wrap(`$${values.length}`)}`);
  };
  if (note.progress !== undefined) set('progress', JSON.stringify(note.progress));
  if (note.waitingFor !== undefined) set('waiting_for', note.waitingFor);
  if (note.lastError !== undefined) set('last_error', note.lastError);
  if (note.pauseMs !== undefined) set('pause_ms', note.pauseMs);
  if (note.isVerified !== undefined) sets.push('verified_at = clock_timestamp()');
  if (note.rollbackMs !== undefined) {
    set(
      'rollback_until',
      note.rollbackMs,
      (place) => `clock_timestamp() + ${place}::float8 * interval '1 millisecond'`,
    );
  }
  if (sets.length === 0) return undefined;
  return {
    text: `UPDATE shardline.move SET ${sets.join(', ')} WHERE id = $1 AND holder = $2`,
    values,
  };
}

const REQUEST_COLUMNS = {
  isPaused: 'is_paused',
  isCutOverHeld: 'is_cut_over_held',
  bytesPerSecond: 'bytes_per_second',
  wish: 'wish',
} as const;

/** Writes what an operator asks for; undefined if he asks for nothing. */
export function requestStatement(id: string, request: MoveRequest): Statement | undefined {
  const asked = (Object.keys(REQUEST_COLUMNS) as (keyof MoveRequest)[]).filter(
    (key) => key in request,
  );
  if (asked.length === 0) return undefined;
  const sets = asked.map((key, at) => `${REQUEST_COLUMNS[key]} = $${at + 2}`);
  return {
    text: `UPDATE shardline.move SET ${sets.join(', ')} WHERE id = $1`,
    values: [id, ...asked.map((key) => request[key] ?? null)],
  };
}
