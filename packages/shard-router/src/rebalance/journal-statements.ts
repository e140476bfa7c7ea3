/**
 * The statements by which a change of the journal is written (pure): the row, its history, and the hold, the switch or the
 * release of the slots that it entails. They are sent in one message, so values stand in them as literals.
 */

import { quoteInteger, quoteLiteral } from '@shardline/core';
import { fillSql } from '../sql-template.js';
import { CATALOG_CHANNEL } from '../topology/catalog.js';
import type { JournalChange } from './journal.js';
import type { MoveRow } from './move-row.js';
import { ownerIn } from './move-state.js';
import holdSlotsSql from './sql/hold-slots.sql';
import recordEventSql from './sql/record-event.sql';
import releaseSlotsSql from './sql/release-slots.sql';
import saveJournalSql from './sql/save-journal.sql';
import switchSlotsSql from './sql/switch-slots.sql';

/** Who runs moves. */
export interface MoveHolder {
  /** Unlike that of any other process. */
  readonly token: string;
  readonly name: string;
  readonly leaseMs: number;
}

/** What the history says of a change. */
export interface JournalEvent {
  readonly kind: 'state' | 'takeover';
  readonly detail: string | undefined;
}

/** Writes a change that was decided. */
export function changeStatements(
  known: MoveRow,
  { journal, catalog }: JournalChange & { outcome: 'changed' },
  holder: MoveHolder,
  { kind, detail }: JournalEvent,
): string[] {
  const holderName = journal.holder === holder.token ? holder.name : known.holderName;
  const id = quoteLiteral(known.id);
  const values = {
    id,
    kind: quoteLiteral(kind),
    state: quoteLiteral(journal.state),
    generation: quoteInteger(journal.generation),
    holder: quoteLiteral(journal.holder),
    holder_name: quoteLiteral(holderName),
    epoch: quoteInteger(journal.epoch),
    lease_ms: quoteInteger(Math.round(holder.leaseMs)),
    detail: detail === undefined ? 'NULL' : quoteLiteral(detail),
  };
  const statements = [fillSql(saveJournalSql, values), fillSql(recordEventSql, values)];
  if (catalog === undefined) return statements;
  if (catalog === 'hold') statements.push(fillSql(holdSlotsSql, { id }));
  if (catalog === 'release') statements.push(fillSql(releaseSlotsSql, { id }));
  if (catalog === 'switch') {
    const owner = quoteLiteral(journal[ownerIn(journal.state)]);
    statements.push(fillSql(switchSlotsSql, { id, owner }));
  }
  statements.push(`SELECT pg_catalog.pg_notify(${quoteLiteral(CATALOG_CHANNEL)}, '')`);
  return statements;
}
