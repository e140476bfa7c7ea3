import { setTimeout as sleep } from 'node:timers/promises';
import { difference, hitRates, judgeHitRate, judgeP95, type TierCounts } from '../judge.js';
import type { Act, Stage } from '../stage.js';

/** Of `warmUpMs`: how long the caches may take to fill, before it is measured for as long as that. */
const MOST_FILLING = 3;
const STEPS = 8;

/** Cold caches fill while users come; who asks later is answered from memory. */
export const warmUp: Act = {
  name: 'warm-up',
  title: 'Users arrive; the caches are cold',
  async run(stage) {
    const { sizes, load, progress, signal } = stage;
    const asked = await everyoneLooksIn(stage);
    progress.note(`${asked} of ${sizes.users} users have looked in; from here on it counts`);
    const warm = await tierCounts(stage);
    load.cut();
    let before = warm;
    for (let step = 1; step <= STEPS; step += 1) {
      await sleep(sizes.warmUpMs / STEPS, undefined, { signal });
      before = await tellRates(stage, before);
    }
    return [judgeHitRate(difference(before, warm)), judgeP95(load.cut())];
  },
};

/**
 * Beside the load each user is asked for once, the most popular first: a hit rate tells of the caches only where what is
 * asked for was asked for before.
 *
 * @returns how many were, in the time that there is for it.
 */
async function everyoneLooksIn(stage: Stage): Promise<number> {
  const { sizes, urls, client, signal } = stage;
  const untilMs = performance.now() + MOST_FILLING * sizes.warmUpMs;
  let before = await tierCounts(stage);
  let toldMs = performance.now();
  let next = 1;
  const lookIn = async () => {
    while (next <= sizes.users && performance.now() < untilMs && !signal.aborted) {
      const user = next;
      next += 1;
      const url = urls[user % urls.length] as string;
      for (const what of ['', '/profile']) await client.ask({ url: `${url}/users/${user}${what}` });
      if (performance.now() - toldMs < sizes.warmUpMs / STEPS) continue;
      toldMs = performance.now();
      before = await tellRates(stage, before);
    }
  };
  await Promise.all(Array.from({ length: sizes.callers }, lookIn));
  return Math.min(next - 1, sizes.users);
}

/** Shows what the tiers have answered since; @returns the counts as they are now. */
async function tellRates(stage: Stage, before: TierCounts): Promise<TierCounts> {
  const now = await tierCounts(stage);
  const { l1, l2, l3, all } = hitRates(difference(now, before));
  const { perSecond, p95Ms } = stage.load.look();
  stage.progress.note(
    `${bar(all)} ${percent(all)} hits (L1 ${percent(l1)}, L2 ${percent(l2)}, L3 ${percent(l3)}), ` +
      `${Math.round(perSecond)} requests/s, p95 ${p95Ms.toFixed(1)} ms`,
  );
  return now;
}

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
