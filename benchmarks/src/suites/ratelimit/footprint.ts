import { concurrent } from '../../measure/compare.js';
import { median, spread } from '../../measure/statistics.js';
import { isMet, type Row, type Scenario, type Target } from '../../scenario.js';
import { type Rig, setUp } from './rig.js';

const CALLERS = 64;

/** What a check costs the server: its CPU by INFO commandstats, its memory by MEMORY USAGE. */
export const footprint: Scenario = {
  suite: 'ratelimit',
  name: 'footprint',
  situation:
    'Redis runs commands on one core, which all processes of a fleet share: what a check costs there bounds them all. ' +
    'Measured at 64 callers, as packed as that makes it.',
  async run(context) {
    const rig = await setUp(context);
    const target: Target = { relation: 'at most', ratio: 1 };
    const pairs: { ours: number; theirs: number }[] = [];
    for (let round = 0; round < (context.quick ? 5 : 15); round += 1) {
      context.signal.throwIfAborted();
      pairs.push({
        ours: await serverMicroseconds(rig, rig.ours),
        theirs: await serverMicroseconds(rig, rig.flexible),
      });
    }
    const ratios = pairs.slice(1).map(({ ours, theirs }) => ours / theirs);
    const ratio = median(ratios);
    const cpu: Row = {
      suite: 'ratelimit',
      name: 'Redis CPU per check, packed',
      answers: 'ratelimit/redis-cpu',
      peer: 'rate-limiter-flexible',
      unit: 'us',
      ours: median(pairs.map((pair) => pair.ours)),
      theirs: median(pairs.map((pair) => pair.theirs)),
      ratio,
      ratioSpread: spread(ratios),
      target,
      met: isMet(target, ratio),
    };
    return [cpu, await memory(rig)];
  },
};

async function serverMicroseconds(rig: Rig, check: () => Promise<unknown>): Promise<number> {
  await rig.server.command('CONFIG', 'RESETSTAT');
  const done = await concurrent('checks', CALLERS, check).run(8000);
  const stats = String(await rig.server.command('INFO', 'commandstats'));
  const spent = [...stats.matchAll(/cmdstat_(?:evalsha|eval):calls=\d+,usec=(\d+)/g)];
  return spent.reduce((sum, [, us]) => sum + Number(us), 0) / done;
}

async function memory(rig: Rig): Promise<Row> {
  const target: Target = { relation: 'at most', ratio: 1.1 };
  await rig.limiter.check('1234567890abcde');
  const ours = Number(await rig.server.command('MEMORY', 'USAGE', 'rl:{1234567890abcde}:api'));
  const peerKey = 'text:{1234567890abcd}:api';
  await rig.server.command('SET', peerKey.slice(0, 24), '60000000:1795205577392200');
  const theirs = Number(await rig.server.command('MEMORY', 'USAGE', peerKey.slice(0, 24)));
  const ratio = ours / theirs;
  return {
    suite: 'ratelimit',
    name: 'memory per key of 24 bytes',
    answers: 'ratelimit/memory',
    peer: 'one string of level and time',
    unit: 'B',
    ours,
    theirs,
    ratio,
    ratioSpread: 0,
    target,
    met: isMet(target, ratio),
  };
}
