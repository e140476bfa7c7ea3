import { bootstrap, createRouter, type Router, type RouterOptions } from '@shardline/shard-router';
import { type PostgresServer, startPostgres } from '@shardline/testkit';
import pg from 'pg';
import { measurePairs, rowOfPairs } from '../../measure/pairs.js';
import { median } from '../../measure/statistics.js';
import { stayAlive } from '../../measure/stay-alive.js';
import type { Row, Scenario, ScenarioContext } from '../../scenario.js';

const SHARDS = 8;
const LIMIT = 100;
const BETS_PER_SHARD = 40_000;
const QUERY = 'SELECT bet_id, user_id, stake FROM bets WHERE stake < $1';
const ORDER = ' ORDER BY stake DESC, bet_id LIMIT 100';
/** Nearly all bets: each shard reads and sorts what it has. */
const BELOW = 990;

type Use = ScenarioContext['use'];

interface Bet {
  readonly bet_id: string;
  readonly user_id: string;
  readonly stake: number;
}

/**
 * Eight databases on one machine share its cores, as eight servers would not. So the peer is not one
 * shard asked alone, which would have the cores to itself, but the slowest of eight that are asked by hand
 * at the same time: all that is left to be measured is what the router adds. The former is in the details.
 */
export const orderedPage: Scenario = {
  suite: 'scatter',
  name: 'ordered-page',
  situation:
    'The back office lists the hundred highest bets of all users, who are spread over eight shards. Nobody can have ' +
    'the page before the slowest shard has answered; what comes on top is ours.',
  async run({ use, quick, signal }) {
    const { router, pools } = await startShards(use);
    await checkPages(router, pools);
    const sides = {
      ours: () => timed(() => page(router)),
      theirs: () => slowest(pools),
    };
    await measurePairs(sides, { rounds: 5, signal }); // Warms both up.
    const pairs = await measurePairs(sides, { rounds: quick ? 40 : 200, signal });
    const alone = await timesAlone(pools);
    const row: Row = rowOfPairs(
      {
        suite: 'scatter',
        name: `${SHARDS} shards, order by + limit ${LIMIT}`,
        answers: 'scatter/ordered-page',
        peer: 'the slowest of the shards, all asked at once by pg.Pool',
        unit: 'ms',
        target: { relation: 'at most', ratio: 1.15 },
        details: {
          'slowest shard asked alone, ms': Math.max(...alone),
        },
      },
      pairs,
    );
    return [row];
  },
};

async function page(router: Router): Promise<Bet[]> {
  const rows = await router
    .scatter(QUERY, [BELOW], {
      orderBy: [{ column: 'stake', direction: 'desc' }, 'bet_id'],
      limit: LIMIT,
    })
    .all();
  return rows as unknown as Bet[];
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const started = performance.now();
  await work();
  return performance.now() - started;
}

async function slowest(pools: readonly pg.Pool[]): Promise<number> {
  const times = pools.map((pool) => timed(() => pool.query(QUERY + ORDER, [BELOW])));
  return Math.max(...(await Promise.all(times)));
}

/** What each shard takes when it has the machine to itself: the median of a few. */
async function timesAlone(pools: readonly pg.Pool[]): Promise<number[]> {
  const medians: number[] = [];
  for (const pool of pools) {
    const times: number[] = [];
    for (let turn = 0; turn < 5; turn += 1) times.push(await slowest([pool]));
    medians.push(median(times));
  }
  return medians;
}

/** The page must be what sorting all that the shards have would give, and every shard must have a part. */
async function checkPages(router: Router, pools: readonly pg.Pool[]): Promise<void> {
  const parts = await Promise.all(
    pools.map(async (pool) => (await pool.query<Bet>(QUERY, [BELOW])).rows),
  );
  if (parts.some(({ length }) => length < LIMIT)) throw new Error('a shard has too few bets');
  const expected = parts
    .flat()
    .sort((a, b) => b.stake - a.stake || Number(BigInt(a.bet_id) - BigInt(b.bet_id)))
    .slice(0, LIMIT);
  const seen = await page(router);
  const ids = (bets: readonly Bet[]) => bets.map(({ bet_id: id }) => id).join();
  if (ids(seen) !== ids(expected)) throw new Error('the scatter gave another page than it should');
}

async function startShards(use: Use): Promise<{ router: Router; pools: pg.Pool[] }> {
  stayAlive(use);
  const servers: PostgresServer[] = [];
  for (const name of ['scatter-a', 'scatter-b']) {
    const server = await startPostgres({ name, settings: { max_connections: 150 } });
    servers.push(server);
    use({
      async [Symbol.asyncDispose]() {
        await server.stop();
      },
    });
  }
  const urls: string[] = [];
  for (let shard = 0; shard < SHARDS; shard += 1) {
    const server = servers[shard % servers.length] as PostgresServer;
    urls.push(await server.createDatabase(`shard_${shard}`));
  }
  const catalog = await (servers[0] as PostgresServer).createDatabase('catalog');
  const options: RouterOptions = {
    catalog: { primary: catalog },
    shards: Object.fromEntries(urls.map((url, shard) => [`s${shard}`, { primary: url }])),
    keyspaces: { users: { keyType: 'bigint', tables: { bets: 'user_id' } } },
  };
  await bootstrap(options);
  const router = use(await createRouter(options));
  await fill(router, BETS_PER_SHARD * SHARDS);
  const pools = urls.map((url) => openPool(use, url));
  return { router, pools };
}

async function fill(router: Router, bets: number): Promise<void> {
  await router.everywhere(
    'CREATE TABLE bets (bet_id bigint PRIMARY KEY, user_id bigint NOT NULL, stake int NOT NULL)',
    [],
    { id: 'create-bets' },
  );
  await router.copyFrom('bets', betsOf(bets), { columns: ['bet_id', 'user_id', 'stake'] });
  await router.everywhere('ANALYZE bets', [], { id: 'analyze-bets' });
}

function* betsOf(count: number) {
  for (let id = 1; id <= count; id += 1) {
    // Spread without a random generator, so that every run has the same bets: 7919 and 1000 share no divisor.
    yield { bet_id: id, user_id: (id * 31) % 50_000, stake: (id * 7919) % 1000 };
  }
}

function openPool(use: Use, connectionString: string): pg.Pool {
  const pool = new pg.Pool({ connectionString });
  pool.on('error', () => {}); // Servers are stopped after the pools; nobody waits for what idles.
  use({
    async [Symbol.asyncDispose]() {
      await pool.end();
    },
  });
  return pool;
}
