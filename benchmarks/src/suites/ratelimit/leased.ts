import { setImmediate as turnOfTheLoop } from 'node:timers/promises';
import { createLimiter } from '@shardline/ratelimit';
import { startRedis } from '@shardline/testkit';
import { stayAlive } from '../../measure/stay-alive.js';
import { isMet, type Scenario, type Target } from '../../scenario.js';

/** Takings between two turns of the event loop: a feed that is handled message by message. */
const PER_TURN = 1000;
const TARGET_PER_SECOND = 5_000_000;

/** Checks that cost no round trip. */
export const leased: Scenario = {
  suite: 'ratelimit',
  name: 'leased',
  situation:
    'A trading feed that limits every tick by one hot key: tokens are leased in batches and spent in a method call. ' +
    'Over-admission is what the attacks in test/ratelimit judge; here it must not exceed what was leased.',
  async run(context) {
    stayAlive(context.use);
    const server = context.use(await startRedis({ name: 'leased-bench' }));
    const limiter = context.use(
      createLimiter({
        redis: server.url,
        policies: { ticks: { limit: 100_000_000, window: '1s', burst: 100_000_000 } },
        timeout: '10s',
      }),
    );
    await limiter.ready({ deadline: '10s' });
    const held = limiter.leased();
    const bucket = held.bucket('feed');
    await held.check('feed', { cost: 10_000_000 });
    const takings = context.quick ? 2_000_000 : 20_000_000;
    let granted = 0;
    const started = process.hrtime.bigint();
    for (let taking = 0; taking < takings; taking += 1) {
      if (bucket.take()) granted += 1;
      if (taking % PER_TURN === 0) await turnOfTheLoop();
    }
    const perSecond = takings / (Number(process.hrtime.bigint() - started) / 1e9);
    const { tokensLeased, tokensSpent } = held.statistics;
    if (tokensSpent > tokensLeased) throw new Error('more was spent than leased');
    const target: Target = { relation: 'at least', ratio: 1 };
    const ratio = perSecond / TARGET_PER_SECOND;
    return [
      {
        suite: 'ratelimit',
        name: 'leased check',
        answers: 'ratelimit/leased',
        peer: '5 million a second',
        unit: 'checks/s',
        ours: perSecond,
        theirs: TARGET_PER_SECOND,
        ratio,
        ratioSpread: 0,
        target,
        met: isMet(target, ratio),
        details: { granted, leased: tokensLeased },
      },
    ];
  },
};
