import { startRedis } from '@shardline/testkit';
import { ForkedWorkers } from '../../measure/forked-workers.js';
import { stayAlive } from '../../measure/stay-alive.js';
import type { Scenario } from '../../scenario.js';
import type { ProcessAnswer, ProcessOrder } from './processes-main.js';

const PROCESSES = [1, 2, 4, 8] as const;
const KINDS = ['checks of limits', 'L2 hits', 'L1 hits'] as const;

/** How a fleet on one machine grows with its processes. */
export const processScaling: Scenario = {
  suite: 'scaling',
  name: 'processes',
  situation:
    'One API process and eight of them before one Redis, 64 requests at a time each. Beyond the cores of this machine ' +
    'more processes can only share them; the curve shows that they do not get into each other’s way besides.',
  async run({ use, quick, signal, note, draw }) {
    stayAlive(use);
    const server = use(await startRedis({ name: 'processes' }));
    const most = Math.max(...PROCESSES);
    const workers = use(
      await ForkedWorkers.start<ProcessOrder, ProcessAnswer>(
        new URL('./processes.js', import.meta.url),
        Array.from({ length: most }, () => [server.url]),
      ),
    );
    const lines = [];
    for (const kind of KINDS) {
      const points: [number, number][] = [];
      for (const count of PROCESSES) {
        signal.throwIfAborted();
        note(`${kind}, ${count} processes`);
        const order = { kind, spanMs: quick ? 400 : 2000 };
        const answers = await workers.askEach(Array.from({ length: count }, () => order));
        points.push([count, answers.reduce((sum, { perSecond }) => sum + perSecond, 0)]);
      }
      lines.push({ name: kind, points });
    }
    for (const line of lines) {
      draw({
        suite: 'scaling',
        name: `${line.name} per second by processes`,
        x: 'processes on this machine',
        y: 'per second, together',
        isLogarithmic: true,
        lines: [line],
      });
    }
    return [];
  },
};
