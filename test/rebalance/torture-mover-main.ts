/** A mover of its own process, to be killed: ends what its like have left, then brings a change of the placement about. */

import {
  type MoveStatus,
  openRebalancer,
  type PlacementChange,
  type RebalanceStatus,
} from '@shardline/shard-router/rebalance';
import { openRecorder } from '@shardline/testkit/check';
import { endWithParent, type MoverPlan } from './torture-plan.js';

endWithParent();
const { options, name, historyPath, change } = JSON.parse(process.argv[2] as string) as MoverPlan;
const recorder = openRecorder({ path: historyPath, process: name });
const states = new Map<string, string>();
const rebalancer = await openRebalancer({ ...options, name });
const onProgress = ({ id, state }: { id: string; state: string }) => {
  if (states.get(id) === state) return;
  states.set(id, state);
  recorder.event('move', { subject: id, state });
  process.stdout.write(`state ${state}\n`);
};

/** Whether another mover, since killed, has brought the change about: it cannot be planned a second time then. */
function isBroughtAbout({ shards }: RebalanceStatus, wanted: PlacementChange): boolean {
  if (wanted.kind !== 'add' && wanted.kind !== 'remove') return false;
  const shard = shards.find((one) => one.name === wanted.shard);
  if (wanted.kind === 'remove') return shard === undefined;
  return Object.values(shard?.slots ?? {}).some((slots) => slots > 0);
}

/** Whether a move is of the change; others that go on beside it have a mover of their own. */
function concerns({ destination }: MoveStatus): boolean {
  return change.kind !== 'move-slots' || change.destination === destination;
}

try {
  for (const { id } of (await rebalancer.status()).active.filter(concerns)) {
    await rebalancer.resume({ move: id, onProgress });
  }
  if (!isBroughtAbout(await rebalancer.status(), change)) {
    const plan = await rebalancer.plan(change);
    if (plan.moves.length > 0) await rebalancer.apply(plan, { onProgress });
  }
  process.stdout.write('done\n');
} catch (error) {
  const { code, message } = error as { code?: string; message: string };
  process.stdout.write(`error ${code} ${message.replaceAll('\n', ' ')}\n`);
  process.exitCode = 1;
}
await rebalancer.close();
