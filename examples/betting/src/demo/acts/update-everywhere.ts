import { setTimeout as sleep } from 'node:timers/promises';
import { judgeUpdates } from '../judge.js';
import type { Act, Stage } from '../stage.js';

/** The bound of the namespace `users`: how long another process may show the old row at most. */
const BOUND_MS = 2000;

/** A profile is changed through one process while both show it from memory. */
export const updateEverywhere: Act = {
  name: 'update-everywhere',
  title: 'Profiles are changed; every process is asked what it shows',
  async run(stage) {
    const { sizes, progress, signal } = stage;
    const seen: { ownMs: number; everywhereMs: number }[] = [];
    let stale = 0;
    for (let round = 0; round < sizes.updates; round += 1) {
      signal.throwIfAborted();
      const userId = 1 + round;
      const name = `renamed-${round}`;
      await Promise.all(stage.urls.map((url) => shownName(stage, url, userId)));
      const { cookie, durationMs } = await stage.client.ask({
        method: 'PATCH',
        url: `${stage.urls[0]}/users/${userId}`,
        body: { name },
      });
      const acknowledgedMs = performance.now();
      // Whoever has the cookie goes to the other process next.
      const other = stage.urls.at(-1) as string;
      if ((await shownName(stage, other, userId, cookie)) !== name) stale += 1;
      await Promise.all(stage.urls.map((url) => untilShown(stage, url, userId, name)));
      seen.push({ ownMs: durationMs, everywhereMs: performance.now() - acknowledgedMs });
    }
    const sorted = seen.map(({ everywhereMs }) => everywhereMs).sort((a, b) => a - b);
    progress.note(
      `${seen.length} updates: half of them seen by all processes after ${sorted[sorted.length >> 1]?.toFixed(1)} ms`,
    );
    return judgeUpdates(seen, stale, BOUND_MS);
  },
};

async function shownName(
  { client }: Stage,
  url: string,
  userId: number,
  cookie?: string,
): Promise<string | undefined> {
  const { body } = await client.ask({ url: `${url}/users/${userId}`, cookie });
  return (JSON.parse(body) as { name?: string }).name;
}

async function untilShown(stage: Stage, url: string, userId: number, name: string): Promise<void> {
  const giveUpMs = performance.now() + 5 * BOUND_MS;
  while ((await shownName(stage, url, userId)) !== name) {
    if (performance.now() > giveUpMs) return;
    await sleep(2, undefined, { signal: stage.signal });
  }
}
