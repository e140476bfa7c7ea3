import { bootstrap, createRouter, type Router, type RouterOptions } from '@shardline/shard-router';
import { openRebalancer, type RebalancerOptions } from '@shardline/shard-router/rebalance';
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

/** The row that the target names: 230 bytes. */
function* betsOf(count: number) {
  for (let id = 0; id < count; id += 1) yield { user_id: id, filler: `${id}`.padEnd(200, 'x') };
}
