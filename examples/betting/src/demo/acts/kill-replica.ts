import { setTimeout as sleep } from 'node:timers/promises';
import { judgeLongest, judgeRequests } from '../judge.js';
import type { Act } from '../stage.js';

/** Reads that were on their way to it go elsewhere. */
export const killReplica: Act = {
  name: 'kill-replica',
  title: 'The replica of shard one is killed',
  async run({ topology, sizes, load, progress, signal }) {
    const [replica] = topology.shard('one').replicas;
    if (replica === undefined) throw new Error('Shard one has no replica.');
    load.cut();
    await replica.kill();
    await sleep(sizes.faultMs, undefined, { signal });
    const during = load.cut();
    progress.note(`${Math.round(during.perSecond)} requests/s without it; it comes back`);
    await replica.restart();
    return [
      judgeRequests('while a replica is dead', during),
      judgeLongest('while a replica is dead', during, 5000),
    ];
  },
};
