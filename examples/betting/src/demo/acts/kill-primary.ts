import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { judgeLongest, judgeRequests } from '../judge.js';
import type { Act, Stage } from '../stage.js';

const SHARD = 'two';

/** The primary of a shard dies, its synchronous replica is promoted, and the service finds it by itself. */
export const killPrimary: Act = {
  name: 'kill-primary',
  title: `The primary of shard ${SHARD} is killed, its replica promoted`,
  async run(stage) {
    const { topology, load, progress, sizes, signal } = stage;
    const { primary, replicas } = topology.shard(SHARD);
    const heir = replicas[0];
    if (heir === undefined) throw new Error(`Shard ${SHARD} has no replica.`);
    const userId = userOn(stage);
    load.cut();
    await primary.kill();
    const killedMs = performance.now();
    const firstWrite = placeBet(stage, userId);
    await heir.promote();
    const promotedMs = performance.now();
    await firstWrite;
    const writtenMs = performance.now();
    await sleep(sizes.faultMs, undefined, { signal });
    const during = load.cut();
    const beyondPromotionMs = Math.max(0, writtenMs - promotedMs);
    progress.note(
      `promotion took ${Math.round(promotedMs - killedMs)} ms; the first bet was placed ${Math.round(beyondPromotionMs)} ms later; ` +
        `${during.repeated} bets that were lost or of unknown outcome were sent again`,
    );
    return [
      judgeRequests('while a primary is replaced', during, { mayRepeat: true }),
      judgeLongest('while a primary is replaced', during, 30_000),
      {
        of: 'target',
        what: 'Writes go on within 250 ms of the promotion',
        seen: `${Math.round(beyondPromotionMs)} ms`,
        holds: beyondPromotionMs <= 250,
      },
    ];
  },
};

function userOn({ layer, sizes }: Stage): number {
  for (let userId = 1; userId <= sizes.users; userId += 1) {
    const decision = layer.router.keyspace('users').explain(userId);
    if (decision.kind === 'one' && decision.shard === SHARD) return userId;
  }
  throw new Error(`Shard ${SHARD} has no user.`);
}

/** One bet, sent until it is acknowledged. */
async function placeBet({ client, urls, signal }: Stage, userId: number): Promise<void> {
  const body = { betId: randomUUID(), eventId: 1, stake: 1 };
  for (let turn = 0; !signal.aborted; turn += 1) {
    const url = `${urls[turn % urls.length]}/users/${userId}/bets`;
    const { status } = await client.ask({ method: 'POST', url, body });
    if (status === 200 || status === 201) return;
    await sleep(10, undefined, { signal });
  }
}
