/**
 * The topology's word that slots are in transit, and the shards' own.
 *
 * From before the first row is copied until the last one is cleaned away, a shard holds rows that do not count. The
 * topology says so under an epoch of its own, scatters leave the rows out, and a shard that has not been told yet
 * disagrees about the epoch, so that a scatter waits for it rather than counting twice. Both shards of a move enter
 * together: which of the two holds the rows that do not count changes with the switch.
 */

import { applyChange, loadCatalog } from '../topology/catalog.js';
import { writeOwnership } from '../topology/ownership.js';
import type { Topology } from '../topology/topology.js';
import type { JournalStore } from './journal-store.js';
import type { MoveRole } from './move-state.js';
import type { MoveWork } from './move-work.js';
import { withGeneration } from './record-store.js';
import { retryLocked } from './retry-locked.js';

/** Says in the catalog that the slots of a move are in transit, or that they are no more. */
export async function setTransit(
  store: JournalStore,
  work: Pick<MoveWork, 'row'>,
  isInTransit: boolean,
): Promise<void> {
  const { row } = work;
  await store.holding(row, async (client) => {
    const state = await loadCatalog(client);
    if (state === undefined) throw new Error('A catalog with moves has a topology.');
    const slots = [row.journal.source, row.journal.destination].map((shard) => ({
      shard,
      slots: row.slots,
    }));
    await applyChange(client, state.topology, {
      keyspace: row.keyspace,
      ...(isInTransit ? { enterTransit: slots } : { leaveTransit: slots }),
    });
    await client.query('UPDATE shardline.move SET is_in_transit = $2 WHERE id = $1', [
      row.id,
      isInTransit,
    ]);
  });
}

/** Brings a shard's standing record to the newest topology. */
export async function writeTransit(
  work: MoveWork,
  on: MoveRole,
  topology: Topology,
): Promise<void> {
  const side = work[on];
  const { id, journal, keyspace } = work.row;
  await retryLocked(work, side, () =>
    withGeneration(side.session, id, journal.generation, async () => {
      await writeOwnership(side.session, side.shard, topology, keyspace, work.limits.lockTimeoutMs);
    }),
  );
}
