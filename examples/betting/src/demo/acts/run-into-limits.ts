import { LIMITS } from '../../config.js';
import { judgeLimit, type LimitRun } from '../judge.js';
import { subjectOf } from '../seed.js';
import type { Act, Stage } from '../stage.js';

const WINDOW_MS = 60_000;
const CALLERS = 16;
/** The run ends after so many denials: that many answers in a row say that the bucket is empty. */
const DENIALS = 20;

/** A user of each tier asks as fast as he can, through both processes, until he is told to wait. */
export const runIntoLimits: Act = {
  name: 'run-into-limits',
  title: 'A user of each tier asks as fast as he can',
  async run(stage) {
    const findings = [];
    for (const tier of stage.sizes.tiers) {
      const run = await runInto(stage, tier);
      stage.progress.note(
        `${tier}: ${run.admitted} admitted, then 429 with Retry-After, after ${Math.round(run.tookMs)} ms`,
      );
      findings.push(judgeLimit(run));
    }
    return findings;
  },
};

async function runInto(stage: Stage, tier: keyof typeof LIMITS): Promise<LimitRun> {
  const { client, urls, sizes, signal } = stage;
  const { limit } = LIMITS[tier];
  const userId = subjectOf(tier, sizes);
  let admitted = 0;
  let denied = 0;
  let turn = 0;
  const started = performance.now();
  const callers = Array.from({ length: CALLERS }, async () => {
    while (denied < DENIALS && !signal.aborted) {
      const url = urls[turn++ % urls.length];
      const { status } = await client.ask({ url: `${url}/users/${userId}` });
      if (status === 200) {
        admitted += 1;
        if (admitted % 200 === 0) stage.progress.tick(admitted, limit, `requests as ${tier}`);
      } else if (status === 429) denied += 1;
      else throw new Error(`A user of tier ${tier} was answered ${status}.`);
    }
  });
  await Promise.all(callers);
  signal.throwIfAborted();
  return {
    tier,
    limit,
    windowMs: WINDOW_MS,
    admitted,
    denied,
    tookMs: performance.now() - started,
  };
}
