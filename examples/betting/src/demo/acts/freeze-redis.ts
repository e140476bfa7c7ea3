import { setTimeout as sleep } from 'node:timers/promises';
import { judgeLongest, judgeRequests } from '../judge.js';
import type { Act } from '../stage.js';

/** Cache and limits lose Redis without being told: connections stay open, nothing answers. */
export const freezeRedis: Act = {
  name: 'freeze-redis',
  title: 'Redis is frozen',
  async run({ topology, sizes, load, progress, signal }) {
    load.cut();
    await topology.redis.freeze();
    try {
      await sleep(sizes.faultMs, undefined, { signal });
    } finally {
      await topology.redis.thaw();
    }
    const during = load.cut();
    progress.note(
      `${Math.round(during.perSecond)} requests/s without it, p95 ${Math.round(during.p95Ms)} ms; limits were decided by each process's share`,
    );
    await sleep(sizes.faultMs / 2, undefined, { signal });
    const after = load.cut();
    progress.note(`${Math.round(after.perSecond)} requests/s once it is back`);
    return [
      judgeRequests('while Redis is frozen', during),
      judgeLongest('while Redis is frozen', during, 5000),
      judgeRequests('once it is back', after),
    ];
  },
};
