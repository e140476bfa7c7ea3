import type { JournalStore } from './journal-store.js';
import { rollbackLostError } from './move-errors.js';
import type { MoveWork } from './move-work.js';
import { isSlotAlive } from './stream.js';
import { streamName } from './stream-names.js';

/**
 * Makes sure, before callers are held back for a rollback, that the source has had all that was written since the switch,
 * or will. If the slot that feeds it is lost the barrier would never come: callers would be held back in vain, again and
 * again. The wish is taken off the journal, so that the move can be finished, and nobody who resumes it meets the same.
 *
 * @throws ShardlineError `MOVE_ROLLBACK_LOST`.
 */
export async function needWayBack(work: MoveWork, store: JournalStore): Promise<void> {
  const { id } = work.row;
  if (await isSlotAlive(work.destination, streamName(id, 'source'))) return;
  await store.ask(id, { wish: null });
  throw rollbackLostError(id, work.destination.shard);
}
