import { endPlan } from './begin-plan.js';
import type { JournalStore } from './journal-store.js';
import type { MoveRow } from './move-row.js';
import type { MoveState } from './move-state.js';
import { moveStatus } from './move-status.js';
import type { RebalancePlan } from './plan.js';
import type { RebalanceReport } from './rebalancer.js';
import type { RebalancerServers } from './rebalancer-servers.js';

const SWITCHED: readonly MoveState[] = ['reversing', 'cleaning', 'done'];

/** Brings a plan's promises into force once the last of its moves is switched. @returns how its moves stand. */
export async function finishPlan(
  servers: RebalancerServers,
  store: JournalStore,
  plan: RebalancePlan,
): Promise<RebalanceReport> {
  const moves = await store.ofPlan(plan.id);
  const isSwitched = ({ journal }: MoveRow) => SWITCHED.includes(journal.state);
  if (moves.every(isSwitched)) {
    const isOver = moves.every(({ isTidied }) => isTidied);
    await servers.catalog.withConnection((client) => endPlan(client, plan, isOver));
  }
  return {
    planId: plan.id,
    moves: moves.map((row) => moveStatus(row)),
    epoch: (await servers.topology()).epoch,
  };
}

/** A plan that was begun. */
export async function loadPlan({ catalog }: RebalancerServers, id: string): Promise<RebalancePlan> {
  const { rows } = await catalog.query<{ body: RebalancePlan }>(
    'SELECT body FROM shardline.plan WHERE id = $1',
    [id],
  );
  return (rows[0] as { body: RebalancePlan }).body;
}
