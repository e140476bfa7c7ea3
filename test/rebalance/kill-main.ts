/** A mover of its own process that ends itself by SIGKILL at one point of the journal: no farewell, nothing undone. */

import type { PlacementChange, RebalancerOptions } from '@shardline/shard-router/rebalance';
import { openRebalancer } from '@shardline/shard-router/rebalance';

/** What it is told. */
export interface KillOrder {
  readonly options: RebalancerOptions;
  readonly change: PlacementChange;
  /** `before fencing`, `after fencing`: of a change of state. */
  readonly killAt: string;
  readonly rollsBack: boolean;
}

const order = JSON.parse(process.argv[2] as string) as KillOrder;
const rebalancer = await openRebalancer(order.options, {
  failpoint: async (at) => {
    if (at !== order.killAt) return;
    process.kill(process.pid, 'SIGKILL');
    // The signal is on its way; not a statement more until it is here.
    await new Promise(() => {});
  },
});
const { moves } = await rebalancer.apply(await rebalancer.plan(order.change), { leaveOpen: true });
const id = moves[0]?.id as string;
if (order.rollsBack) await rebalancer.rollback(id);
else await rebalancer.finish(id);
await rebalancer.close();
