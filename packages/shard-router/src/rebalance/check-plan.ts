import { parseSlots } from '../topology/slot-set.js';
import type { Finding } from './finding.js';
import type { JournalStore } from './journal-store.js';
import { moveContext, preflightOptions } from './move-surroundings.js';
import type { RebalancePlan } from './plan.js';
import { preflightMove, sortFindings } from './preflight.js';
import type { PlanCheck } from './rebalancer.js';
import type { FilledRebalancerOptions } from './rebalancer-options.js';
import type { RebalancerServers } from './rebalancer-servers.js';

/** Whether a plan can be carried out as the world is now, with everything that would keep its moves from working. */
export async function checkPlan(
  servers: RebalancerServers,
  options: FilledRebalancerOptions,
  store: JournalStore,
  plan: RebalancePlan,
): Promise<PlanCheck> {
  const topology = await servers.topology();
  if ((await store.ofPlan(plan.id)).length === 0 && topology.epoch !== plan.fromEpoch) {
    return { outcome: 'stale', planEpoch: plan.fromEpoch, epoch: topology.epoch };
  }
  if (plan.moves.length === 0) return { outcome: 'nothing-to-do' };
  const findings: Finding[] = [];
  for (const move of plan.moves) {
    const definition = topology.keyspace(move.keyspace).keyspace;
    const slots = parseSlots(move.slots, definition.slots);
    const context = await moveContext(servers, options, { ...move, slots });
    findings.push(...(await preflightMove(context, preflightOptions(options, move))));
  }
  const all = sortFindings(unique(findings));
  const isBlocked = all.some(({ severity }) => severity === 'blocker');
  return { outcome: isBlocked ? 'blocked' : 'applicable', findings: all };
}

function unique(findings: readonly Finding[]): Finding[] {
  const keyOf = ({ code, shard, subject, message }: Finding) =>
    `${code}\0${shard}\0${subject}\0${message}`;
  return [...new Map(findings.map((finding) => [keyOf(finding), finding])).values()];
}
