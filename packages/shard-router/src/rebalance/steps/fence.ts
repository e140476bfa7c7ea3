import { quoteInteger, quoteLiteral } from '@shardline/core';
import { fillSql } from '../../sql-template.js';
import { lockStatement } from '../../topology/ownership.js';
import type { MoveRole } from '../move-state.js';
import { type MoveWork, otherRole } from '../move-work.js';
import { runEffect, type StoredRecord } from '../record-store.js';
import { retryLocked } from '../retry-locked.js';
import { acceptsWrites, type ShardEffect } from '../shard-record.js';
import changeOwnerSql from '../sql/change-owner.sql';
import setFenceSql from '../sql/set-fence.sql';
import type { Step } from './step.js';

/**
 * The fence with its barrier, and the two halves of a switch.
 *
 * No trigger is made for a fence. The standing guard stands on every table already and asks the standing record, so
 * the fence is a mark there. The lock does what matters: it waits for all who have passed the guard and not yet
 * committed, and whoever passes it afterwards reads the mark.
 *
 * The barrier is a row that takes the way of all rows. It is written in the fence's own transaction, which commits after
 * all those that the lock has waited for; streams bring transactions in the order in which they committed. So where the
 * barrier has arrived, everything before it has. Positions that a subscription reports would trail behind by the time that
 * its log takes to be written.
 */

/** Behind locks on all tables of the keyspace, asked for briefly, again and again. */
function runLocked(
  work: MoveWork,
  on: MoveRole,
  effect: ShardEffect,
  statements: readonly string[],
): Promise<StoredRecord> {
  const side = work[on];
  const { id, journal, keyspace } = work.row;
  const locks = [
    `SET LOCAL lock_timeout = ${Math.trunc(work.limits.lockTimeoutMs)}`,
    lockStatement(keyspace),
  ];
  const run = () =>
    runEffect(side.session, id, effect, journal.generation, () => statements, locks);
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
  run: (work, on, effect) => {
    const { id, journal } = work.row;
    return runLocked(work, on, effect, [
      fillSql(setFenceSql, { move: quoteLiteral(id), is_fenced: 'true' }),
      `INSERT INTO shardline.move_barrier (move, generation, written_by)
       VALUES (${quoteLiteral(id)}, ${quoteInteger(journal.generation)}, ${quoteLiteral(work[on].shard)})
       ON CONFLICT DO NOTHING`,
    ]);
  },
  describe: ({ move, tables, lockTimeoutMs }) => ({
    description:
      'let no write to the moved slots in any more, after those under way have ended; write a barrier behind them and wait until the other shard has it',
    sql: [
      fillSql(setFenceSql, { move: quoteLiteral(move), is_fenced: 'true' }).trim(),
      'INSERT INTO shardline.move_barrier (move, generation, written_by) VALUES (…)',
    ],
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
  run: (work, on, effect, known) => {
    const statement = changeOwner(work, on, effect.epoch, work[otherRole(on)].shard);
    const { id, journal } = work.row;
    if (acceptsWrites(known)) return runLocked(work, on, effect, [statement]);
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
