import { isShardlineError } from '@shardline/core';
import type { PlacementChange } from '@shardline/shard-router/rebalance';
import { openLoop } from '../../measure/open-loop.js';
import type { Scenario, ScenarioContext } from '../../scenario.js';
import { seededRandom } from '../../workload/random.js';
import { betsOf, type Cluster, startCluster, type Timing, timeChange } from '../rebalance/rig.js';

const BYTES_PER_ROW = 230;

/** Half of the slots go to the other shard, and then back. */
const CHANGES: readonly PlacementChange[] = [
  { kind: 'reweight', weights: { a: 3, b: 1 } },
  { kind: 'reweight', weights: { a: 1, b: 3 } },
];
const SHARE_MOVED = 0.5;

/** How a move grows with what is moved, and with what is written meanwhile. */
export const rebalanceScaling: Scenario = {
  suite: 'scaling',
  name: 'rebalance',
  situation:
    'Half of all slots change between two shards, again and again: first at rest with more and more rows, then with more ' +
    'and more writes of all users a second, which the stream has to carry too.',
  async run(context) {
    const { quick } = context;
    const sizes = quick ? [10_000, 40_000] : [25_000, 100_000, 400_000, 1_000_000];
    const rates = quick ? [0, 500, 2000] : [0, 500, 1000, 2000, 4000, 8000];
    const [smallest = 0] = sizes;
    const cluster = await startCluster(context, {
      owning: ['a', 'b'],
      joining: [],
      rows: smallest,
    });
    let turn = 0;
    const move = () => {
      const change = CHANGES[turn % CHANGES.length] as PlacementChange;
      turn += 1;
      return timeChange(cluster, change, context.signal);
    };
    // The first change begins at equal weights, and moves half of what the others do.
    await move();
    await drawSizes(context, cluster, sizes, move);
    await drawRates(context, cluster, rates, sizes.at(-1) ?? 0, move);
    return [];
  },
};

async function drawSizes(
  { note, draw, signal }: ScenarioContext,
  { router }: Cluster,
  sizes: readonly number[],
  move: () => Promise<Timing>,
): Promise<void> {
  const copying: [number, number][] = [];
  const whole: [number, number][] = [];
  let there = sizes[0] ?? 0;
  for (const rows of sizes) {
    signal.throwIfAborted();
    note(`${rows} rows`);
    await router.copyFrom('bets', betsOf(rows - there, there), { columns: ['user_id', 'filler'] });
    there = rows;
    const timing = await move();
    const megabytes = (rows * SHARE_MOVED * BYTES_PER_ROW) / 1e6;
    copying.push([megabytes, timing.copyingSeconds]);
    whole.push([megabytes, timing.wholeSeconds]);
  }
  draw({
    suite: 'scaling',
    name: 'seconds of a move by what is moved',
    x: 'MB moved',
    y: 's',
    lines: [
      { name: 'copying', points: copying },
      { name: 'the whole move', points: whole },
    ],
  });
}

async function drawRates(
  { note, draw, signal }: ScenarioContext,
  { router }: Cluster,
  rates: readonly number[],
  users: number,
  move: () => Promise<Timing>,
): Promise<void> {
  const whole: [number, number][] = [];
  const pauses: [number, number][] = [];
  const random = seededRandom(53);
  const write = () => {
    const user = Math.floor(random() * users);
    return router.query(user, 'UPDATE bets SET version = version + 1 WHERE user_id = $1', [user]);
  };
  for (const perSecond of rates) {
    signal.throwIfAborted();
    note(`${perSecond} writes/s`);
    const over = new AbortController();
    const load = perSecond === 0 ? undefined : keepWriting(write, perSecond, random, over.signal);
    const timing = await move().finally(() => over.abort());
    const failure = await load;
    if (isShardlineError(failure, 'QUEUE_FULL')) {
      note(`beside a move this machine does not take ${perSecond} writes/s: the curves end before`);
      break;
    }
    if (failure !== undefined) {
      throw new Error('a write failed while slots moved', { cause: failure });
    }
    whole.push([perSecond, timing.wholeSeconds]);
    pauses.push([perSecond, Math.max(...timing.pausesMs)]);
  }
  const x = 'writes/s of all users';
  const suite = 'scaling';
  draw({
    suite,
    name: 'seconds of a move by writes',
    x,
    y: 's',
    lines: [{ name: 'the whole move', points: whole }],
  });
  draw({
    suite,
    name: 'pause of a move by writes',
    x,
    y: 'ms',
    lines: [{ name: 'pause', points: pauses }],
  });
}

/** In spans of half a second, until the move is over or a write has failed. @returns how it has failed. */
async function keepWriting(
  write: () => Promise<unknown>,
  perSecond: number,
  random: () => number,
  over: AbortSignal,
): Promise<unknown> {
  while (!over.aborted) {
    const { failures } = await openLoop(write, {
      perSecond,
      durationMs: 500,
      random,
      signal: new AbortController().signal,
    });
    if (failures.length > 0) return failures[0];
  }
  return undefined;
}
