/** The errors of a move that more than one part may meet. */

import { ShardlineError } from '@shardline/core';
import { routerErrors } from '../errors.js';
import type { Finding } from './finding.js';
import type { JournalChange } from './journal.js';
import type { MoveRow } from './move-row.js';
import { isEndState } from './move-state.js';

/** The error of a change that the journal has refused. */
export function refusedError(
  row: MoveRow,
  reason: (JournalChange & { outcome: 'refused' })['reason'],
): ShardlineError {
  if (reason === 'not-allowed' || isEndState(row.journal.state)) {
    return new ShardlineError(
      routerErrors.MOVE_STATE,
      `Move '${row.id}' is ${row.journal.state}, from which that does not follow.`,
      { details: { move: row.id, state: row.journal.state } },
    );
  }
  return supersededError(row.id);
}

/** The error of a mover that finds that another one has gone on. */
export function supersededError(move: string): ShardlineError {
  return new ShardlineError(
    routerErrors.MOVE_SUPERSEDED,
    `Another process has taken move '${move}' over, or has taken it further.`,
    { details: { move } },
  );
}

/** The error of whoever wants a move that somebody else runs. */
export function heldError(row: MoveRow): ShardlineError {
  return new ShardlineError(
    routerErrors.MOVE_HELD,
    `Move '${row.id}' is run by ${row.holderName}, whose lease runs for another ${Math.ceil(row.leaseLeftMs / 1000)} s.`,
    { details: { move: row.id, holder: row.holderName, leaseLeftMs: row.leaseLeftMs } },
  );
}

/** The error of a move whose preflight has found blockers. */
export function blockedError(move: string, blockers: readonly Finding[]): ShardlineError {
  const lines = blockers.map(
    ({ code, shard, message, remedy }) => `\n  - ${code} on ${shard}: ${message} ${remedy}`,
  );
  return new ShardlineError(
    routerErrors.MOVE_BLOCKED,
    `Move '${move}' must not begin:${lines.join('')}\n`,
    { details: { move, findings: blockers } },
  );
}

/** The error of a move whose copy is not what it was copied from. */
export function differsError(
  move: string,
  differences: readonly { readonly table: string; readonly key: string }[],
): ShardlineError {
  const named = differences.slice(0, 10).map(({ table, key }) => `${table} ${key}`);
  return new ShardlineError(
    routerErrors.MOVE_DIFFERS,
    `Move '${move}' has ${differences.length} rows that differ between source and destination: ${named.join(', ')}.`,
    { details: { move, differences } },
  );
}

/** The error of a move whose copy has lost the slot that feeds it. */
export function streamLostError(move: string): ShardlineError {
  return new ShardlineError(
    routerErrors.MOVE_STREAM_LOST,
    `The replication slot that feeds move '${move}' is gone; its rows are copied afresh.`,
    { details: { move } },
  );
}

/** The error of a move whose copy, or what comes behind it, its destination does not take. */
export function streamFailsError(move: string, shard: string, failures: number): ShardlineError {
  return new ShardlineError(
    routerErrors.MOVE_STREAM_FAILS,
    `The stream of move '${move}' has failed ${failures} times in a row on '${shard}', with nothing copied in between.`,
    { details: { move, shard, failures } },
  );
}

/** The error of a rollback whose way back has lost its slot. */
export function rollbackLostError(move: string, shard: string): ShardlineError {
  return new ShardlineError(
    routerErrors.MOVE_ROLLBACK_LOST,
    `Move '${move}' can no longer be rolled back: the replication slot on '${shard}' that carries back what was written since the switch is gone.`,
    { details: { move, shard } },
  );
}
