import { bootstrap, createRouter, type Router, type RouterOptions } from '@shardline/shard-router';
import {
  openRebalancer,
  type PlacementChange,
  type RebalancerOptions,
} from '@shardline/shard-router/rebalance';
import { type PostgresServer, startPostgres } from '@shardline/testkit';
import { stayAlive } from '../../measure/stay-alive.js';
import type { ScenarioContext } from '../../scenario.js';

const TABLE = `CREATE TABLE bets (
  user_id bigint PRIMARY KEY, version bigint NOT NULL DEFAULT 0, filler text NOT NULL)`;
const SLOTS = 64;

/** A catalog and shards with a table of bets; some of them own nothing yet. */
export interface Cluster {
  readonly router: Router;
  readonly rebalancer: Awaited<ReturnType<typeof openRebalancer>>;
  readonly servers: ReadonlyMap<string, PostgresServer>;
}

/** Starts it, and fills it with rows of about 230 bytes. */
export async function startCluster(
  { use, note }: ScenarioContext,
  options: {
    readonly owning: readonly string[];
    readonly joining: readonly string[];
    readonly rows: number;
  },
): Promise<Cluster> {
  stayAlive(use);
  note(`starting ${options.owning.length + options.joining.length} shards and a catalog`);
  const names = [...options.owning, ...options.joining];
  const start = async (name: string) => {
    const server = await startPostgres({
      name: `rebalance-${name}`,
      settings: { max_connections: 100, wal_receiver_status_interval: '1s' },
    });
    use({
      async [Symbol.asyncDispose]() {
        await server.stop();
      },
    });
    return server;
  };
  const catalog = await start('catalog');
  const servers = new Map<string, PostgresServer>();
  for (const name of names) servers.set(name, await start(name));
  for (const server of servers.values()) await server.query(TABLE);
  const locations = (of: readonly string[]) =>
    Object.fromEntries(
      of.map((name) => [name, { primary: (servers.get(name) as PostgresServer).url, max: 10 }]),
    );
  const keyspaces = {
    users: { keyType: 'bigint' as const, slots: SLOTS, tables: { bets: 'user_id' } },
  };
  const routerOptions: RouterOptions = {
    catalog: { primary: catalog.url },
    shards: locations(names),
    keyspaces,
    pollInterval: '200ms',
  };
  await bootstrap({ ...routerOptions, shards: locations(options.owning) });
  const router = use(await createRouter(routerOptions));
  await router.copyFrom('bets', betsOf(options.rows), { columns: ['user_id', 'filler'] });
  const rebalancerOptions: RebalancerOptions = {
    catalog: { primary: catalog.url },
    shards: Object.fromEntries(
      Object.entries(locations(names)).map(([name, location]) => [name, { location }]),
    ),
    keyspaces,
    limits: { rollbackWindow: '0ms' },
  };
  const rebalancer = await openRebalancer(rebalancerOptions);
  use({ [Symbol.asyncDispose]: () => rebalancer.close() });
  for (const name of options.joining) await rebalancer.prepareShard(name);
  return { router, rebalancer, servers };
}

/** How long the parts of a change took, of which every move went its way side by side or in turn. */
export interface Timing {
  readonly copyingSeconds: number;
  readonly wholeSeconds: number;
  readonly pausesMs: readonly number[];
}

/** Carries a change out. The time of copying is that of the first move, by its own record of states. */
export async function timeChange(
  { rebalancer }: Pick<Cluster, 'rebalancer'>,
  change: PlacementChange,
  signal: AbortSignal,
): Promise<Timing> {
  const plan = await rebalancer.plan(change);
  const since = new Map<string, number>();
  const startedMs = performance.now();
  const { moves } = await rebalancer.apply(plan, {
    signal,
    onProgress: ({ state, stateSinceMs }) => {
      if (!since.has(state)) since.set(state, stateSinceMs);
    },
  });
  const unfinished = moves.find(({ state }) => state !== 'done');
  if (unfinished !== undefined) throw new Error(`a move ended as ${unfinished.state}`);
  const begun = since.get('copying');
  const ended = since.get('catching_up');
  if (begun === undefined || ended === undefined) {
    throw new Error(`the move went through ${[...since.keys()].join(', ')} and showed no copying`);
  }
  return {
    copyingSeconds: (ended - begun) / 1000,
    wholeSeconds: (performance.now() - startedMs) / 1000,
    pausesMs: moves.flatMap(({ pauseMs }) => (pauseMs === undefined ? [] : [pauseMs])),
  };
}

/** The rows that the target names: 230 bytes each. */
export function* betsOf(count: number, first = 0) {
  for (let id = first; id < first + count; id += 1)
    yield { user_id: id, filler: `${id}`.padEnd(200, 'x') };
}
