import { startTopology, type Topology } from '@shardline/testkit';
import { type BettingServers, initialiseBetting, openBettingLayer } from '../layer.js';
import { type LoadResult, runLoad } from './load.js';
import type { Progress } from './progress.js';
import { type DemoReport, renderReport } from './report.js';
import { loadUsers } from './seed.js';
import { startServices } from './service-process.js';

/** How large the demo is. */
const SERVICES = 2;
const USERS = 20_000;
const REQUESTS = 6000;
const READ_SHARE = 0.9;
const SEED = 42;

/** What the demo is given. */
export interface DemoContext {
  readonly progress: Progress;
  /** Leave everything running until the signal fires. */
  readonly keep: boolean;
  readonly signal: AbortSignal;
}

/** Starts servers and the service, puts them under load, and says what happened. */
export async function runDemo(context: DemoContext): Promise<DemoReport> {
  const { progress, signal } = context;
  progress.step('Starting two shards with a replica each, Redis and Memcached');
  await using topology = await startTopology({
    shards: 2,
    replicasPerShard: 1,
    redis: 'standalone',
    memcached: 1,
    signal,
  });
  const servers = serversOf(topology);
  for (const [name, url] of Object.entries(topology.urls)) progress.note(`${name}: ${url}`);

  await prepare(servers, context);
  const services = await startServices(servers, SERVICES);
  const urls = services.map(({ url }) => url);
  try {
    progress.step(`Sending ${REQUESTS.toLocaleString('en')} requests to ${urls.join(' and ')}`);
    const load = await runLoad({
      urls,
      users: USERS,
      requests: REQUESTS,
      readShare: READ_SHARE,
      seed: SEED,
      signal,
      onProgress: (done) => progress.tick(done, REQUESTS, 'requests answered'),
    });
    const report = await makeReport(topology, urls, load);
    if (context.keep) await keepRunning(urls, report, context);
    return report;
  } finally {
    await Promise.all(services.map((service) => service.stop()));
  }
}

function serversOf(topology: Topology): BettingServers {
  const shards = topology.shards.map(({ name, primary, replicas }) => [
    name,
    { primary: primary.url, replicas: replicas.map(({ url }) => url) },
  ]);
  return {
    // A catalog is small; here it shares the first shard's server.
    catalog: topology.shard(0).primary.url,
    shards: Object.fromEntries(shards),
    redis: topology.redis.url,
    memcached: topology.memcached.map(({ address }) => address),
  };
}

async function prepare(servers: BettingServers, { progress, signal }: DemoContext): Promise<void> {
  progress.step(
    `Loading ${USERS.toLocaleString('en')} users, each onto the shard that owns its key`,
  );
  await initialiseBetting(servers);
  await using layer = await openBettingLayer(servers);
  await loadUsers(layer, USERS, (loaded) => {
    signal.throwIfAborted();
    progress.tick(loaded, USERS, 'users loaded');
  });
}

async function makeReport(
  topology: Topology,
  urls: readonly string[],
  load: LoadResult,
): Promise<DemoReport> {
  const { lookups, l1, l2, l3 } = await cacheCounts(urls);
  const rowsPerShard = Object.fromEntries(
    await Promise.all(
      topology.shards.map(async ({ name, primary }) => [name, await countRows(primary)] as const),
    ),
  );
  const share = (hits: number) => (lookups === 0 ? 0 : hits / lookups);
  return {
    users: USERS,
    rowsPerShard,
    betsAcknowledged: load.betsPlaced,
    hitRate: { l1: share(l1), l2: share(l2), l3: share(l3), all: share(l1 + l2 + l3) },
    load,
    checks: checksOf(rowsPerShard, load),
  };
}

/** What the cache of every process has counted, added up. */
async function cacheCounts(urls: readonly string[]) {
  const sum = { lookups: 0, l1: 0, l2: 0, l3: 0 };
  for (const url of urls) {
    const response = await fetch(`${url}/stats`);
    const { users } = (await response.json()) as { users: typeof sum };
    for (const name of Object.keys(sum) as (keyof typeof sum)[]) sum[name] += users[name];
  }
  return sum;
}

type RowsPerShard = DemoReport['rowsPerShard'];

async function countRows(primary: Topology['shards'][number]['primary']) {
  const { rows } = await primary.query<{ users: string; bets: string }>(
    'SELECT (SELECT count(*) FROM users) AS users, (SELECT count(*) FROM bets) AS bets',
  );
  return { users: Number(rows[0]?.users), bets: Number(rows[0]?.bets) };
}

function checksOf(rowsPerShard: RowsPerShard, load: LoadResult): DemoReport['checks'] {
  const shards = Object.values(rowsPerShard);
  const users = shards.reduce((sum, shard) => sum + shard.users, 0);
  const bets = shards.reduce((sum, shard) => sum + shard.bets, 0);
  return [
    {
      what: 'Every user is on exactly one shard',
      seen: `${users} rows for ${USERS} users`,
      holds: users === USERS,
    },
    {
      what: 'Every acknowledged bet is stored, once',
      seen: `${bets} rows for ${load.betsPlaced} acknowledged`,
      holds: bets === load.betsPlaced,
    },
    { what: 'No request failed', seen: `${load.failed} failed`, holds: load.failed === 0 },
    {
      what: 'Users beyond their limit were told so',
      seen: `${load.limited} answered with 429`,
      holds: load.limited > 0,
    },
  ];
}

async function keepRunning(
  urls: readonly string[],
  report: DemoReport,
  { progress, signal }: DemoContext,
): Promise<void> {
  console.log(`\n${renderReport(report)}`);
  progress.step('Everything is left running; Ctrl-C ends it');
  for (const url of urls) progress.note(`${url}/users/1`);
  await new Promise<void>((resolve) => {
    if (signal.aborted) resolve();
    signal.addEventListener('abort', () => resolve(), { once: true });
  });
}
