import { bootstrap, type RouterOptions } from '@shardline/shard-router';
import type { RebalancerOptions } from '@shardline/shard-router/rebalance';
import { type PostgresServer, startPostgres } from '@shardline/testkit';
import type { Inventory } from '@shardline/testkit/check';
import { firstValue, POPULATION, SLOTS, TABLES } from './torture-plan.js';

/** Catalog and shards of a run. */
export interface TortureWorld {
  readonly catalog: PostgresServer;
  readonly shards: Readonly<Record<string, PostgresServer>>;
  readonly routerOptions: RouterOptions;
  readonly rebalancerOptions: RebalancerOptions;
  inventory(): Promise<Inventory>;
  stop(): Promise<void>;
}

/** Starts the servers; shard `a` owns everything. */
export async function startTortureWorld(
  names: readonly string[],
  version?: number,
): Promise<TortureWorld> {
  const start = (name: string) =>
    startPostgres({
      name: `torture-${name}`,
      settings: { max_prepared_transactions: 5, wal_receiver_status_interval: '1s' },
      ...(version === undefined ? {} : { version }),
    });
  const [catalog, ...servers] = (await Promise.all(['catalog', ...names].map(start))) as [
    PostgresServer,
    ...PostgresServer[],
  ];
  const shards = Object.fromEntries(names.map((name, at) => [name, servers[at] as PostgresServer]));
  const places = (wanted: readonly string[]) =>
    Object.fromEntries(
      wanted.map((name) => [name, { primary: (shards[name] as PostgresServer).url, max: 10 }]),
    );
  const keyspaces = {
    torture: {
      keyType: 'bigint' as const,
      slots: SLOTS,
      tables: { register: 'key', ledger: 'key', scrap: 'key' },
    },
  };
  const routerOptions: RouterOptions = {
    catalog: { primary: catalog.url, max: 4 },
    shards: places(names),
    keyspaces,
    pollInterval: '200ms',
    lease: '2s',
    holdTimeout: '30s',
  };
  for (const server of servers) await server.query(TABLES);
  await bootstrap({ ...routerOptions, shards: places(['a']) });
  const keys = Array.from({ length: POPULATION }, (_, key) => key);
  await servers[0]?.query(
    'INSERT INTO register (key, version, value) SELECT * FROM unnest($1::bigint[], $2::int[], $3::text[])',
    [keys, keys.map(() => 1), keys.map(firstValue)],
  );
  return {
    catalog,
    shards,
    routerOptions,
    rebalancerOptions: {
      catalog: { primary: catalog.url },
      shards: Object.fromEntries(
        Object.entries(places(names)).map(([name, location]) => [name, { location }]),
      ),
      keyspaces,
      // A router that stands still within a transaction would keep the fence waiting until somebody thaws it.
      limits: { rollbackWindow: '0ms', longTransactions: 'terminate', terminateAfter: '8s' },
      lease: '2s',
    },
    inventory: () => takeInventory([catalog, ...servers]),
    stop: async () => {
      await Promise.all([catalog, ...servers].map((server) => server.stop()));
    },
  };
}

const KINDS: Readonly<Record<string, string>> = {
  slots: 'SELECT slot_name AS name FROM pg_replication_slots',
  publications: 'SELECT pubname AS name FROM pg_publication',
  subscriptions: 'SELECT subname AS name FROM pg_subscription',
  origins: 'SELECT roname AS name FROM pg_replication_origin',
  roles: `SELECT rolname AS name FROM pg_roles WHERE rolname NOT LIKE 'pg\\_%'`,
  prepared: 'SELECT gid AS name FROM pg_prepared_xacts',
  locks: `SELECT 'advisory' AS name FROM pg_locks WHERE locktype = 'advisory'`,
  identities: `SELECT relname AS name FROM pg_class WHERE relreplident IN ('f', 'n') AND relkind IN ('r', 'p')
    AND relnamespace = 'public'::regnamespace`,
  sessions: `SELECT application_name AS name FROM pg_stat_activity WHERE backend_type IN ('walsender', 'logical replication worker')`,
};
/** Only where the tables are: of Shardline's own schema. */
const STANDING: Readonly<Record<string, string>> = {
  records: 'SELECT move::text AS name FROM shardline.move_record',
  barriers: 'SELECT move::text AS name FROM shardline.move_barrier',
  fences: 'SELECT slot::text AS name FROM shardline.slot_ownership WHERE is_fenced OR in_transit',
  holds: 'SELECT id::text AS name FROM shardline.hold',
  transit: 'SELECT slot::text AS name FROM shardline.transit',
};
const UNDEFINED_TABLE = '42P01';

/** Everything that a move may leave, by kind and server. */
async function takeInventory(servers: readonly PostgresServer[]): Promise<Inventory> {
  const found: Record<string, string[]> = {};
  for (const [kind, sql] of Object.entries({ ...KINDS, ...STANDING })) {
    const names: string[] = [];
    for (const server of servers) {
      try {
        const { rows } = await server.query<{ name: string }>(sql);
        names.push(...rows.map(({ name }) => `${server.name}: ${name}`));
      } catch (error) {
        if ((error as { code?: string }).code !== UNDEFINED_TABLE || !(kind in STANDING))
          throw error;
      }
    }
    found[kind] = names;
  }
  return found;
}
