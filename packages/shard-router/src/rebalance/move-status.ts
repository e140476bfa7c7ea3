/** A row of the journal as `status` shows it (pure). */

import type { MoveRow } from './move-row.js';
import { mayAbort, mayFollow } from './move-state.js';
import type { MoveProgress, MoveStatus } from './status.js';

const NO_PROGRESS: MoveProgress = {
  copiedBytes: 0,
  totalBytes: 0,
  copiedRows: 0,
  totalRows: 0,
  isEstimated: true,
  secondsLeft: undefined,
  lagBytes: undefined,
};

export function moveStatus(row: MoveRow, slotBytes?: number): MoveStatus {
  const { journal } = row;
  const isHeld = row.leaseLeftMs > 0 && !row.isTidied;
  return {
    id: row.id,
    planId: row.plan,
    keyspace: row.keyspace,
    source: journal.source,
    destination: journal.destination,
    slots: row.slots,
    state: journal.state,
    mayAbort: mayAbort(journal.state),
    rollbackUntilMs: mayFollow(journal.state, 'rollback_fencing') ? row.rollbackUntilMs : undefined,
    generation: journal.generation,
    holder: isHeld ? row.holderName : undefined,
    holderLeaseLeftMs: isHeld ? row.leaseLeftMs : undefined,
    steering: row.steering,
    progress: row.progress === undefined ? NO_PROGRESS : { ...NO_PROGRESS, ...row.progress },
    waitingFor: row.waitingFor,
    pauseMs: row.pauseMs,
    verifiedAtMs: row.verifiedAtMs,
    slotBytes,
    lastError: row.lastError,
    startedAtMs: row.startedAtMs,
    stateSinceMs: row.stateSinceMs,
  };
}
