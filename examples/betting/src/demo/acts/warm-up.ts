import { setTimeout as sleep } from 'node:timers/promises';
import { difference, hitRates, judgeHitRate, judgeP95, type TierCounts } from '../judge.js';
import type { Act, Stage } from '../stage.js';

/** Cold caches fill while users come; who asks later is answered from memory. */
export const warmUp: Act = {
  name: 'warm-up',
  title: 'Users arrive; the caches are cold',
  async run(stage) {
    const { sizes, load, progress } = stage;
    const steps = 8;
    let before = await tierCounts(stage);
    let half = before;
    load.cut();
    for (let step = 1; step <= steps; step += 1) {
      await sleep(sizes.warmUpMs / steps, undefined, { signal: stage.signal });
      const now = await tierCounts(stage);
      const { l1, l2, l3, all } = hitRates(difference(now, before));
      const { perSecond, p95Ms } = load.look();
      progress.note(
        `${bar(all)} ${percent(all)} hits (L1 ${percent(l1)}, L2 ${percent(l2)}, L3 ${percent(l3)}), ` +
          `${Math.round(perSecond)} requests/s, p95 ${p95Ms.toFixed(1)} ms`,
      );
      before = now;
      if (step !== steps / 2) continue;
      // What counts as warm is the second half.
      load.cut();
      half = now;
    }
    return [judgeHitRate(difference(before, half)), judgeP95(load.cut())];
  },
};

/** What the tiers of every process have answered, added up: rows of users, and what is cached beside them. */
async function tierCounts({ urls, client }: Stage): Promise<TierCounts> {
  const sum = { lookups: 0, l1: 0, l2: 0, l3: 0 };
  for (const url of urls) {
    const { body } = await client.ask({ url: `${url}/stats` });
    const stats = JSON.parse(body) as Record<string, typeof sum>;
    for (const counts of Object.values(stats)) {
      for (const name of Object.keys(sum) as (keyof typeof sum)[]) sum[name] += counts[name];
    }
  }
  return sum;
}

const percent = (share: number) => `${(100 * share).toFixed(0).padStart(3)} %`;
const bar = (share: number) => '█'.repeat(Math.round(share * 20)).padEnd(20, '░');
