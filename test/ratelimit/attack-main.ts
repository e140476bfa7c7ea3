import { setTimeout as pause } from 'node:timers/promises';
import type { Decision } from '@shardline/ratelimit';
import { openRecorder } from '@shardline/testkit/check';
import { RateLimiter } from '../../packages/ratelimit/src/limiter/limiter.js';
import { composeScripts } from '../../packages/ratelimit/src/store/scripts.js';
import type { AttackOrder, AttackPlan, AttackReport } from './attack-plan.js';
import steppedClock from './stepped-clock.lua';

/**
 * One process of an attack on a limit: many callers that ask as fast as they are told to, each answer
 * written down before anyone looks at it. It asserts nothing.
 */
const plan = JSON.parse(process.argv[2] as string) as AttackPlan;
const limiter = new RateLimiter(
  plan.options,
  plan.steppedClock ? composeScripts(steppedClock) : undefined,
);
const leased =
  plan.way === 'leased' ? limiter.leased({ duration: `${plan.leaseMs}ms` }) : undefined;
const recorder = openRecorder({ path: plan.historyPath, process: plan.process });
const untimed: Record<string, number> = {};
let isOver = false;

function tell(report: AttackReport): void {
  process.send?.(report);
}

/** Park and Miller's generator: small, and the same everywhere. */
function random(seed: number): () => number {
  let state = (seed % 2_147_483_646) + 1;
  return () => {
    state = (state * 48_271) % 2_147_483_647;
    return state / 2_147_483_647;
  };
}

async function attack(index: number): Promise<void> {
  const next = random(plan.seed * 1000 + index);
  const caller = recorder.caller();
  while (!isOver) {
    const subject = `victim:${Math.floor(next() * plan.subjects)}`;
    const cost = 1 + Math.floor(next() * plan.maxCost);
    const pending = caller.begin({ kind: 'admit', key: subject, cost });
    const decision = await ask(subject, cost);
    if (decision === undefined || decision.degraded !== undefined) {
      pending.info({ error: decision?.degraded ?? 'error' });
      count(decision?.degraded ?? 'error');
      await pause(1);
    } else if (decision.decidedAtUs === undefined && plan.way === 'check') {
      // The denial cache asks nobody, so it took nothing: no part of the history of the bucket.
      pending.fail({ error: decision.source });
      count(decision.allowed ? 'allowed-without-time' : decision.source);
      await pause(1);
    } else {
      const level = plan.way === 'check' ? { level: decision.remaining } : {};
      pending.ok({ allowed: decision.allowed, serverTimeUs: decision.decidedAtUs, ...level });
      count(decision.allowed ? 'allowed' : 'denied');
    }
    if (plan.pauseMs > 0) await pause(plan.pauseMs * next());
  }
}

function count(what: string): void {
  untimed[what] = (untimed[what] ?? 0) + 1;
}

async function ask(subject: string, cost: number): Promise<Decision | undefined> {
  try {
    return await (leased ?? limiter).check(subject, { cost });
  } catch (error) {
    count(`thrown: ${(error as Error).message.slice(0, 80)}`);
    return undefined;
  }
}

async function run(): Promise<void> {
  await Promise.all(Array.from({ length: plan.callers }, (_, index) => attack(index)));
  await limiter.close();
  recorder.close();
  tell({ report: 'done', untimed });
  process.disconnect?.();
}

process.on('message', (message: AttackOrder) => {
  if (message.order === 'go') {
    run().catch((error: unknown) => tell({ report: 'failed', message: String(error) }));
  } else if (message.order === 'stop') isOver = true;
  else if (message.order === 'configure') limiter.configure({ policies: message.policies });
});
// A test that is gone needs no answers.
process.on('disconnect', () => process.exit());
limiter.ready({ deadline: '30s' }).then(
  () => tell({ report: 'ready' }),
  (error: unknown) => tell({ report: 'failed', message: String(error) }),
);
