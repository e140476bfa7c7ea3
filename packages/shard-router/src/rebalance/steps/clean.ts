import { cleanRows } from '../clean-rows.js';
import { runEffect } from '../record-store.js';
import type { ShardEffect } from '../shard-record.js';
import type { Step } from './step.js';

/** Takes the rows of the moved slots off a shard that does not own them. */
export const clean: Step<ShardEffect & { kind: 'clean' }> = {
  kind: 'clean',
  precondition:
    'the shard owns none of the slots, no stream brings rows, and every router has acknowledged that',
  undo: undefined,
  run: async (work, on, effect) => {
    const { session } = work[on];
    const { id, journal, slots } = work.row;
    const { keyspace, tables } = work.context;
    await cleanRows(session, {
      move: id,
      generation: journal.generation,
      keyspace,
      tables,
      slots,
      batchRows: work.limits.cleanBatchRows,
      pause: work.checkpoint,
    });
    return runEffect(session, id, effect, journal.generation, () => []);
  },
  describe: ({ tables }) => ({
    description: 'delete the rows of the moved slots, in small batches',
    sql: [...tables]
      .reverse()
      .map((table) => `DELETE FROM ${table} WHERE … -- rows of the moved slots`),
    locks: undefined,
  }),
};
