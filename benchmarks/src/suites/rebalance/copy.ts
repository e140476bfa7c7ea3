import { pipeline } from 'node:stream/promises';
import pg from 'pg';
import { from as copyFrom, to as copyTo } from 'pg-copy-streams';
import { type Pair, rowOfPairs } from '../../measure/pairs.js';
import { atLeast } from '../../measure/rows.js';
import { median } from '../../measure/statistics.js';
import type { Scenario, ScenarioContext } from '../../scenario.js';
import { startCluster, timeChange } from './rig.js';

/**
 * Ours is the state `copying` of a real move, from the state's beginning to the next one's, tables locked by nobody and
 * the rows filtered by slot. Theirs is the same number of rows, from and to tables of the same shape, unfiltered.
 */
export const copy: Scenario = {
  suite: 'rebalance',
  name: 'copy',
  situation:
    'Half of a shard moves to a new one: rows of 230 bytes, copied by PostgreSQL itself from server to server, against ' +
    'COPY ... (FORMAT binary) piped between the two servers, which is the most that the engine gives.',
  async run(context) {
    const { quick, signal } = context;
    const rows = quick ? 100_000 : 500_000;
    const pairs: Pair[] = [];
    const seconds: number[] = [];
    for (let round = 0; round < (quick ? 1 : 5); round += 1) {
      signal.throwIfAborted();
      const pair = await copyOnce(context, rows, seconds);
      pairs.push(pair);
    }
    return [
      rowOfPairs(
        {
          suite: 'rebalance',
          name: 'copy throughput of a move',
          answers: 'rebalance/copy',
          peer: 'COPY ... binary | COPY',
          unit: 'rows/s',
          target: atLeast(0.85),
          details: { 'rows on the source': rows, 'copying, s': median(seconds) },
        },
        pairs,
      ),
    ];
  },
};

async function copyOnce(context: ScenarioContext, rows: number, seconds: number[]): Promise<Pair> {
  const { rebalancer, servers } = await startCluster(context, {
    owning: ['a'],
    joining: ['b'],
    rows,
  });
  const [a, b] = [servers.get('a'), servers.get('b')];
  if (a === undefined || b === undefined) throw new Error('a shard is missing');
  context.note('moving half of it');
  const change = { kind: 'add', shard: 'b' } as const;
  const { copyingSeconds } = await timeChange({ rebalancer }, change, context.signal);
  const { rows: counted } = await b.query<{ moved: string }>('SELECT count(*) AS moved FROM bets');
  const moved = Number(counted[0]?.moved);
  if (moved === 0) throw new Error('nothing was moved');
  seconds.push(copyingSeconds);
  context.note('the same rows by COPY');
  const theirs = await pipeCopy(b.url, a.url);
  return { ours: moved / copyingSeconds, theirs: moved / theirs };
}

/** Back to the source, into a table of its own; in seconds. */
async function pipeCopy(fromUrl: string, toUrl: string): Promise<number> {
  const source = new pg.Client(fromUrl);
  const target = new pg.Client(toUrl);
  await Promise.all([source.connect(), target.connect()]);
  try {
    await target.query('CREATE TABLE copied (LIKE bets INCLUDING ALL)');
    const started = performance.now();
    await pipeline(
      source.query(copyTo('COPY bets TO STDOUT (FORMAT binary)')),
      target.query(copyFrom('COPY copied FROM STDIN (FORMAT binary)')),
    );
    return (performance.now() - started) / 1000;
  } finally {
    await Promise.all([source.end(), target.end()]);
  }
}
