/**
 * What is done while callers wait, done once before, and rolled back.
 *
 * The first time that a session touches a table, or checks a foreign key, the server reads its catalogs and makes plans:
 * on a busy machine that takes longer than the work itself. After a rehearsal the sessions know it all. And what this role
 * may not do fails here, before anybody waits.
 *
 * No table of the application is locked. Rows of the journal and of the shards' records are, for the time of one message.
 */

import { quoteLiteral } from '@shardline/core';
import { fillSql } from '../sql-template.js';
import type { JournalStore } from './journal-store.js';
import type { MoveSide, MoveWork } from './move-work.js';
import { BEGIN, inOneTrip, rollBack } from './one-trip.js';
import changeOwnerSql from './sql/change-owner.sql';
import loadRecordSql from './sql/load-record.sql';
import setFenceSql from './sql/set-fence.sql';

/** Rehearses a switch in the catalog and on both shards. */
export async function rehearse(store: JournalStore, work: MoveWork): Promise<void> {
  await Promise.all([
    store.rehearse(work.row),
    rehearseOn(work, work.source),
    rehearseOn(work, work.destination),
  ]);
}

async function rehearseOn({ row }: MoveWork, { session, shard }: MoveSide): Promise<void> {
  const move = quoteLiteral(row.id);
  const owner = quoteLiteral(shard);
  const epoch = String(row.journal.epoch);
  try {
    await inOneTrip(session, [
      BEGIN,
      fillSql(loadRecordSql, { move, lock: 'FOR UPDATE OF r' }),
      fillSql(setFenceSql, { move, is_fenced: 'true' }),
      fillSql(changeOwnerSql, { move, owner, epoch, is_owned: 'true' }),
      'ROLLBACK',
    ]);
  } catch (error) {
    await rollBack(session);
    throw error;
  }
}
