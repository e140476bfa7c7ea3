import { bootstrap, createRouter, type RouterOptions } from '@shardline/shard-router';
import type { RebalancerOptions } from '@shardline/shard-router/rebalance';
import {
  type PgBouncerServer,
  type PostgresServer,
  startPgBouncer,
  startPostgres,
  takeInventory,
} from '@shardline/testkit';
import type { Inventory } from '@shardline/testkit/check';
import { firstValue, POPULATION, SLOTS, TABLES } from './torture-plan.js';

/** Of what a run's world is made. */
export interface WorldOptions {
  readonly shards: readonly string[];
  /** Those that own slots at the beginning; the rest are to join. */
  readonly owning: readonly string[];
  /** Major version of every server. @default the testkit's */
  readonly version?: number;
  /** Whether services come through a PgBouncer in transaction mode; movers go to the servers themselves. */
  readonly pooled?: boolean;
}

/** Catalog and shards of a run. */
export interface TortureWorld {
  readonly catalog: PostgresServer;
  readonly shards: Readonly<Record<string, PostgresServer>>;
  readonly routerOptions: RouterOptions;
  readonly rebalancerOptions: RebalancerOptions;
  /** @throws Error if there is no such shard. */
  server(shard: string): PostgresServer;
  /** Slots that a shard owns, by the catalog. */
  slotsOf(shard: string): Promise<number[]>;
  inventory(): Promise<Inventory>;
  stop(): Promise<void>;
}

const KEYSPACES = {
  torture: {
    keyType: 'bigint' as const,
    slots: SLOTS,
    tables: { register: 'key', ledger: 'key', scrap: 'key' },
  },
};

/** Starts the servers, with the population on its owners. */
export async function startTortureWorld(options: WorldOptions): Promise<TortureWorld> {
  const { shards: names, owning, version, pooled = false } = options;
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
  const server = (name: string) => {
    const found = shards[name];
    if (found === undefined) throw new Error(`There is no shard '${name}'.`);
    return found;
  };
  const pooler = pooled ? await startPgBouncer({ target: shards }) : undefined;
  const routerOptions = routerOptionsOf(catalog, names, (name) =>
    locationOf(server(name), name, pooler),
  );
  for (const each of servers) await each.query(TABLES);
  await bootstrap(routerOptionsOf(catalog, owning, (name) => locationOf(server(name), name)));
  await populate(routerOptions);
  return {
    catalog,
    shards,
    server,
    slotsOf: async (shard) => {
      const { rows } = await catalog.query<{ slot: number }>(
        "SELECT slot FROM shardline.slot WHERE keyspace = 'torture' AND shard = $1 ORDER BY slot",
        [shard],
      );
      return rows.map(({ slot }) => slot);
    },
    routerOptions,
    rebalancerOptions: {
      catalog: { primary: catalog.url },
      shards: Object.fromEntries(
        names.map((name) => [name, { location: locationOf(server(name), name) }]),
      ),
      keyspaces: KEYSPACES,
      // A router that stands still within a transaction would keep the fence waiting until somebody thaws it.
      limits: { rollbackWindow: '0ms', longTransactions: 'terminate', terminateAfter: '8s' },
      lease: '2s',
    },
    inventory: () => takeInventory([catalog, ...servers], OWN_TABLES),
    stop: async () => {
      await pooler?.stop();
      await Promise.all([catalog, ...servers].map((each) => each.stop()));
    },
  };
}

/** A shard as it is reached: by its own address, or by the pooler's. */
function locationOf(server: PostgresServer, name: string, pooler?: PgBouncerServer) {
  return pooler === undefined
    ? { primary: server.url, max: 10 }
    : { primary: pooler.urlOf(name), max: 10, pgBouncer: true };
}

function routerOptionsOf(
  catalog: PostgresServer,
  names: readonly string[],
  location: (name: string) => ReturnType<typeof locationOf>,
): RouterOptions {
  return {
    catalog: { primary: catalog.url, max: 4 },
    shards: Object.fromEntries(names.map((name) => [name, location(name)])),
    keyspaces: KEYSPACES,
    pollInterval: '200ms',
    lease: '2s',
    holdTimeout: '30s',
  };
}

async function populate(options: RouterOptions): Promise<void> {
  await using router = await createRouter(options);
  const keys = Array.from({ length: POPULATION }, (_, key) => key);
  await router.insertMany(
    'register',
    keys.map((key) => ({ key, version: 1, value: firstValue(key) })),
  );
}

/** What a move writes into tables of Shardline's own, and must take back. */
const OWN_TABLES = {
  records: 'SELECT move::text AS name FROM shardline.move_record',
  barriers: 'SELECT move::text AS name FROM shardline.move_barrier',
  fences: 'SELECT slot::text AS name FROM shardline.slot_ownership WHERE is_fenced OR in_transit',
  holds: 'SELECT id::text AS name FROM shardline.hold',
  transit: 'SELECT slot::text AS name FROM shardline.transit',
};
