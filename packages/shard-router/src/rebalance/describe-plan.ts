/** What applying a plan would do, step by step, in the order in which it is done (pure). */

import { quoteQualified } from '@shardline/core';
import type { MoveRole, MoveState } from './move-state.js';
import type { RebalancePlan } from './plan.js';
import type { PlannedStep } from './rebalancer.js';
import type { FilledRebalancerOptions } from './rebalancer-options.js';
import type { ShardEffect } from './shard-record.js';
import { stepOf } from './steps/index.js';
import type { StepPreview } from './steps/step.js';

/** A step of the way to the end, as it is met when nothing goes wrong. */
export type Way = readonly (
  | { readonly state: MoveState; readonly on: MoveRole; readonly kind: ShardEffect['kind'] }
  | {
      readonly state: MoveState;
      readonly description: string;
      readonly locks?: string;
      readonly sql?: readonly string[];
    }
)[];

export const FORWARD: Way = [
  { state: 'preflight', description: 'look for everything that would keep the move from working' },
  { state: 'prepared', description: 'write the move into the records of both shards' },
  {
    state: 'prepared',
    description: 'say in the topology that the slots are in transit, and on both shards',
    locks: 'SHARE ROW EXCLUSIVE on the tables of both shards, for a moment',
  },
  { state: 'copying', on: 'destination', kind: 'create-inbound' },
  {
    state: 'copying',
    description:
      'make the indexes again that a shard without slots did without while rows were copied',
  },
  { state: 'catching_up', description: 'compare the rows of both sides, slot by slot' },
  { state: 'catching_up', description: "set the destination's sequences past those of the source" },
  { state: 'catching_up', description: 'make the stream back ready' },
  {
    state: 'fencing',
    description: 'ask every router to hold calls for the slots back, and wait until each has',
    locks: 'callers of the moved slots wait from here to the release',
  },
  { state: 'fencing', on: 'source', kind: 'fence' },
  { state: 'drained', on: 'destination', kind: 'drop-inbound' },
  { state: 'drained', on: 'source', kind: 'create-inbound' },
  { state: 'committed', description: 'give the slots to the destination in the catalog' },
  { state: 'committed', on: 'source', kind: 'relinquish' },
  { state: 'committed', on: 'destination', kind: 'open' },
  {
    state: 'reversing',
    description: 'let callers go; keep the way back open for the rollback window',
  },
  { state: 'cleaning', on: 'source', kind: 'drop-inbound' },
  { state: 'cleaning', on: 'source', kind: 'clean' },
  { state: 'done', description: 'take publications, slots, roles and records of the move off' },
];

/** From here on a move goes to its end: neither given up nor rolled back. */
const LAST_STATES: ReadonlySet<MoveState> = new Set([
  'cleaning',
  'done',
  'aborting',
  'aborted',
  'rollback_cleaning',
  'rolled_back',
]);

/** The steps of a plan. */
export function describePlan(
  plan: RebalancePlan,
  { keyspaces, limits }: Pick<FilledRebalancerOptions, 'keyspaces' | 'limits'>,
): PlannedStep[] {
  return plan.moves.flatMap((move, position) => {
    const tables = keyspaces.get(move.keyspace)?.tables ?? [];
    const preview: StepPreview = {
      move: `m${position + 1}`,
      keyspace: move.keyspace,
      tables: tables.map(({ schema, name }) => quoteQualified(schema, name)),
      source: move.source,
      destination: move.destination,
      lockTimeoutMs: limits.lockTimeoutMs,
    };
    const name = `${move.source} > ${move.destination}, ${move.keyspace} ${move.slots}`;
    return describeWay(FORWARD, name, preview);
  });
}

/** The steps of a way, in its order. */
export function describeWay(way: Way, name: string, preview: StepPreview): PlannedStep[] {
  return way.map((step): PlannedStep => {
    const isReversible = !LAST_STATES.has(step.state);
    if (!('kind' in step)) {
      const { state, description, locks, sql = [] } = step;
      return { move: name, state, on: 'catalog', description, sql, locks, isReversible };
    }
    const described = stepOf(step.kind).describe(preview, step.on);
    return { move: name, state: step.state, on: preview[step.on], ...described, isReversible };
  });
}
