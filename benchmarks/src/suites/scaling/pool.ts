import type pg from 'pg';
import type { Scenario } from '../../scenario.js';
import { checkReads, openOurs, openTheirs, pointReads, startAccounts } from '../pool/rig.js';
import { ratePerSecond } from './rate.js';

const CALLERS = [1, 4, 16, 64, 256] as const;
const REPLICAS = [1, 2, 4] as const;

/** How point reads grow with requests at a time and with replicas. */
export const poolScaling: Scenario = {
  suite: 'scaling',
  name: 'pool',
  situation:
    'An API process at night and in a rush, with one replica and with four. All servers share this machine, so more ' +
    'replicas show what routing between them costs, not what they would add.',
  async run({ use, quick, signal, note, draw }) {
    const { primary, replicas } = await startAccounts(use, [{}, {}, {}, {}]);
    const urls = replicas.map(({ url }) => url);
    const [first] = replicas;
    if (first === undefined) throw new Error('no replica');
    const open = (count: number, pipelining: boolean) =>
      openOurs(use, { primary: primary.url, replicas: urls.slice(0, count), max: 10, pipelining });
    const pools: [string, pg.Pool][] = [
      ['pipelined', await open(1, true)],
      ['not pipelined', await open(1, false)],
      ['pg.Pool', openTheirs(use, { connectionString: first.url, max: 10 })],
    ];
    await checkReads(
      pools.map(([, pool]) => pool),
      first.port,
    );
    const spanMs = quick ? 300 : 2000;
    const lines = [];
    for (const [name, pool] of pools) {
      note(`${name}, 1 to 256 requests at a time`);
      const points: [number, number][] = [];
      for (const callers of CALLERS) {
        points.push([callers, await ratePerSecond(pointReads(pool), { callers, spanMs, signal })]);
      }
      lines.push({ name, points });
    }
    draw({
      suite: 'scaling',
      name: 'point reads per second by callers',
      x: 'requests at a time',
      y: 'reads/s',
      isLogarithmic: true,
      lines,
    });
    const points: [number, number][] = [];
    for (const count of REPLICAS) {
      note(`${count} replicas`);
      const pool = await open(count, false);
      const options = { callers: 32, spanMs, signal };
      points.push([count, await ratePerSecond(pointReads(pool), options)]);
    }
    draw({
      suite: 'scaling',
      name: 'point reads per second by replicas',
      x: 'replicas on this machine',
      y: 'reads/s',
      lines: [{ name: 'not pipelined, 32 callers', points }],
    });
    return [];
  },
};
