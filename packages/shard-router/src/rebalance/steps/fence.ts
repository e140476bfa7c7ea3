import { quoteLiteral } from '@shardline/core';
import { fillSql } from '../../sql-template.js';
import { lockStatement } from '../../topology/ownership.js';
import type { MoveRole } from '../move-state.js';
import type { MoveSide, MoveWork } from '../move-work.js';
import { loadRecord, runEffect, type StoredRecord } from '../record-store.js';
import { retryLocked } from '../retry-locked.js';
import { acceptsWrites, type ShardEffect } from '../shard-record.js';
import changeOwnerSql from '../sql/change-owner.sql';
import setFenceSql from '../sql/set-fence.sql';
import type { Step } from './step.js';

/**
 * The fence, and the two halves of a switch.
 *
 * No trigger is made for a fence. The standing guard stands on every table already and asks the standing record, so
 * the fence is a mark there. The lock does what matters: it waits for all who have passed the guard and not yet
 * committed, and whoever passes it afterwards reads the mark.
 */

/** Statements that lock all tables of the keyspace, in the same fixed order as everybody else. */
async function locking(work: MoveWork, side: MoveSide): Promise<string[]> {
  const statement = await lockStatement(side.session, work.row.keyspace);
  const limit = `SET LOCAL lock_timeout = ${Math.trunc(work.limits.lockTimeoutMs)}`;
  return statement === undefined ? [limit] : [limit, statement];
}

async function runLocked(
  work: MoveWork,
  on: MoveRole,
  effect: ShardEffect,
  statement: string,
): Promise<StoredRecord> {
  const side = work[on];
  const { id, journal } = work.row;
  const first = await locking(work, side);
  const run = () =>
    runEffect(side.session, id, effect, journal.generation, () => [statement], first);
  return retryLocked(work, side, run, performance.now() + work.limits.pauseTimeoutMs);
}

function changeOwner(work: MoveWork, on: MoveRole, epoch: number, owner: string): string {
  return fillSql(changeOwnerSql, {
    move: quoteLiteral(work.row.id),
    owner: quoteLiteral(owner),
    epoch: String(epoch),
    is_owned: String(owner === work[on].shard),
  });
}

const locksTables = (tables: readonly string[], lockTimeoutMs: number) =>
  `SHARE ROW EXCLUSIVE on ${tables.join(', ')}, each try for at most ${lockTimeoutMs} ms`;

export const fence: Step<ShardEffect & { kind: 'fence' }> = {
  kind: 'fence',
  precondition: 'every router with a lease has acknowledged the hold',
  undo: 'unfence',
  run: (work, on, effect) =>
    runLocked(
      work,
      on,
      effect,
      fillSql(setFenceSql, { move: quoteLiteral(work.row.id), is_fenced: 'true' }),
    ),
  describe: ({ move, tables, lockTimeoutMs }) => ({
    description: 'let no write to the moved slots in any more, after those under way have ended',
    sql: [fillSql(setFenceSql, { move: quoteLiteral(move), is_fenced: 'true' }).trim()],
    locks: locksTables(tables, lockTimeoutMs),
  }),
};

export const unfence: Step<ShardEffect & { kind: 'unfence' }> = {
  kind: 'unfence',
  precondition: 'the slots have not been switched',
  undo: 'fence',
  run: (work, on, effect) => {
    const statement = fillSql(setFenceSql, { move: quoteLiteral(work.row.id), is_fenced: 'false' });
    const { id, journal } = work.row;
    return runEffect(work[on].session, id, effect, journal.generation, () => [statement]);
  },
  describe: ({ move }) => ({
    description: 'let writes in again',
    sql: [fillSql(setFenceSql, { move: quoteLiteral(move), is_fenced: 'false' }).trim()],
    locks: undefined,
  }),
};

/** Behind the fence there is nobody to wait for; without one, after a takeover of old, there may be. */
export const relinquish: Step<ShardEffect & { kind: 'relinquish' }> = {
  kind: 'relinquish',
  precondition: 'the catalog says that the other shard owns the slots',
  undo: undefined,
  run: async (work, on, effect) => {
    const other = on === 'source' ? 'destination' : 'source';
    const statement = changeOwner(work, on, effect.epoch, work[other].shard);
    const { id, journal } = work.row;
    const known = await loadRecord(work[on].session, id);
    if (known !== undefined && acceptsWrites(known)) return runLocked(work, on, effect, statement);
    return runEffect(work[on].session, id, effect, journal.generation, () => [statement]);
  },
  describe: () => ({
    description: 'write into the standing record that the slots belong to the other shard',
    sql: [],
    locks: undefined,
  }),
};

export const open: Step<ShardEffect & { kind: 'open' }> = {
  kind: 'open',
  precondition: 'the other shard knows that it has lost the slots',
  undo: undefined,
  run: (work, on, effect) => {
    const statement = changeOwner(work, on, effect.epoch, work[on].shard);
    const { id, journal } = work.row;
    return runEffect(work[on].session, id, effect, journal.generation, () => [statement]);
  },
  describe: () => ({
    description: 'write into the standing record that the slots belong here, and let writes in',
    sql: [],
    locks: undefined,
  }),
};
