import { compare, concurrent } from '../../measure/compare.js';
import { redisLimit } from '../../measure/limits.js';
import { isMet, type Row, type Scenario, type Target } from '../../scenario.js';
import { checkAnswers, setUp } from './rig.js';

const CALLERS: readonly [number, Target][] = [
  [1, { relation: 'at least', ratio: 1 }],
  [64, { relation: 'at least', ratio: 1.3 }],
  [512, { relation: 'at least', ratio: 1.4 }],
];

const PEERS = ['rate-limiter-flexible', 'rate-limit-redis', '@upstash/ratelimit'];

/** Checks per second of one process, by callers at a time. */
export const checks: Scenario = {
  suite: 'ratelimit',
  name: 'checks',
  situation:
    'One API process behind a balancer that checks a limit per request, for 10 000 users in turn: alone, at ' +
    'an ordinary load of 64 requests at a time, and in a rush of 512. Nobody is over the limit, as is nearly always so. ' +
    '@upstash/ratelimit runs on a TCP connection by a shim, without the HTTP request per check that it makes in use.',
  async run(context) {
    const rig = await setUp(context);
    await checkAnswers(rig);
    const rows: Row[] = [];
    for (const [callers, target] of CALLERS) {
      context.note(`${callers} callers`);
      const comparison = await compare(
        [
          concurrent('ours', callers, rig.ours),
          concurrent('rate-limiter-flexible', callers, rig.flexible),
          concurrent('rate-limit-redis', callers, rig.expressStore),
          concurrent('@upstash/ratelimit', callers, rig.upstash),
        ],
        { rounds: context.quick ? 7 : 31, turnMs: 150, signal: context.signal },
      );
      const limit = await redisLimit(rig.server, ['INCR', 'limit'], {
        callers,
        seconds: context.quick ? 0.5 : 2,
        signal: context.signal,
      });
      for (const peer of PEERS) {
        // Times per operation; throughput is the other way round.
        const { ratio, ratioSpread } = comparison.ratioOf(peer, 'ours');
        rows.push({
          suite: 'ratelimit',
          name: `check, ${callers} callers`,
          ...(peer === 'rate-limiter-flexible' ? { answers: 'ratelimit/checks' } : {}),
          peer,
          unit: 'checks/s',
          ours: comparison.figures.get('ours')?.operationsPerSecond ?? 0,
          theirs: comparison.figures.get(peer)?.operationsPerSecond ?? 0,
          ratio,
          ratioSpread,
          target,
          met: isMet(target, ratio),
          details: { 'limit: redis-benchmark INCR, commands/s': limit },
        });
      }
    }
    return rows;
  },
};
