import { quoteInteger, quoteLiteral } from '@shardline/core';
import { runEffect } from '../record-store.js';
import type { ShardEffect } from '../shard-record.js';
import type { Step } from './step.js';

/**
 * A row that takes the way of all rows. Where it has arrived, everything that was committed before it has; positions
 * that a subscription reports trail behind by the time that its log takes to be written.
 */
export const writeBarrier: Step<ShardEffect & { kind: 'write-barrier' }> = {
  kind: 'write-barrier',
  precondition: 'the fence stands',
  undo: undefined,
  run: (work, on, effect) => {
    const { id, journal } = work.row;
    return runEffect(work[on].session, id, effect, journal.generation, () => [
      `INSERT INTO shardline.move_barrier (move, generation, written_by)
       VALUES (${quoteLiteral(id)}, ${quoteInteger(journal.generation)}, ${quoteLiteral(work[on].shard)})
       ON CONFLICT DO NOTHING`,
    ]);
  },
  describe: () => ({
    description: 'write a barrier behind the fence and wait until the other shard has it',
    sql: ['INSERT INTO shardline.move_barrier (move, generation, written_by) VALUES (…)'],
    locks: undefined,
  }),
};
