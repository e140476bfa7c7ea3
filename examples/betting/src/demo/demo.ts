import { startTopology, type Topology } from '@shardline/testkit';
import { type BettingServers, initialiseBetting, openBettingLayer } from '../layer.js';
import { type LoadResult, runLoad } from './load.js';
import type { Progress } from './progress.js';
import type { DemoReport } from './report.js';
import { loadUsers } from './seed.js';
import { type ServiceProcess, startService } from './service-process.js';

/** How large the demo is. */
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
  const service = await startService(servers);
  try {
    progress.step(`Sending ${REQUESTS.toLocaleString('en')} requests to ${service.url}`);
    const load = await runLoad({
      url: service.url,
      users: USERS,
      requests: REQUESTS,
      readShare: READ_SHARE,
      seed: SEED,
      signal,
      onProgress: (done) => progress.tick(done, REQUESTS, 'requests answered'),
    });
    const report = await makeReport(topology, service, load);
    if (context.keep) await keepRunning(service, context);
    return report;
  } finally {
    await service.stop();
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
  service: ServiceProcess,
  load: LoadResult,
): Promise<DemoReport> {
  const response = await fetch(`${service.url}/stats`);
  const { users } = (await response.json()) as {
    users: { lookups: number; l1: number; l2: number; l3: number };
  };
  const rowsPerShard = Object.fromEntries(
    await Promise.all(
      topology.shards.map(async ({ name, primary }) => [name, await countRows(primary)] as const),
    ),
  );
  const share = (hits: number) => (users.lookups === 0 ? 0 : hits / users.lookups);
  const { l1, l2, l3 } = users;
  return {
    users: USERS,
    rowsPerShard,
    betsAcknowledged: load.betsPlaced,
    hitRate: { l1: share(l1), l2: share(l2), l3: share(l3), all: share(l1 + l2 + l3) },
    load,
    checks: checksOf(rowsPerShard, load),
  };
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

async function keepRunning(service: ServiceProcess, { progress, signal }: DemoContext) {
  progress.step('Everything is left running; Ctrl-C ends it');
  progress.note(`The service: ${service.url}/users/1`);
  await new Promise<void>((resolve) => {
    if (signal.aborted) resolve();
    signal.addEventListener('abort', () => resolve(), { once: true });
  });
}
