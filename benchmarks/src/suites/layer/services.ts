import { startTopology, type Topology } from '@shardline/testkit';
import { BentoCache, bentostore } from 'bentocache';
import { memoryDriver } from 'bentocache/drivers/memory';
import { redisBusDriver, redisDriver } from 'bentocache/drivers/redis';
import { Redis } from 'ioredis';
import pg from 'pg';
import { createDataLayer, defineConfig, initialiseShards } from 'shardline';
import { stayAlive } from '../../measure/stay-alive.js';
import type { ScenarioContext } from '../../scenario.js';
import { zipfSampler } from '../../workload/popularity.js';
import { seededRandom } from '../../workload/random.js';

/** How many accounts there are. */
export const ACCOUNTS = 20_000;
/** What both may hold in memory: half of the accounts. */
const IN_MEMORY = 10_000;

type Use = ScenarioContext['use'];

/** A service with accounts: one of the two that are compared. */
export interface Service {
  readonly name: string;
  /** Whose account is asked for next. */
  readonly draw: () => number;
  readonly get: (id: number) => Promise<unknown>;
  readonly update: (id: number, cents: number) => Promise<unknown>;
  readonly stats: () => { lookups: number; l1: number; loads: number };
}

/** Both services on the same servers and the same rows, checked to answer alike. */
export async function openServices({
  use,
  note,
}: ScenarioContext): Promise<{ ours: Service; theirs: Service }> {
  stayAlive(use);
  note('starting two shards with a replica each, Redis and Memcached');
  const topology = use(
    await startTopology({
      shards: 2,
      replicasPerShard: 1,
      redis: 'standalone',
      memcached: 1,
      postgres: { settings: { max_connections: 150 } },
    }),
  );
  const ours = await openOurs(use, topology);
  const theirs = openTheirs(use, topology, ours.shardOf);
  for (const id of [0, 1, 77, ACCOUNTS - 1]) {
    await ours.update(id, id + 5);
    await theirs.update(id, id + 5);
    for (const service of [ours, theirs]) {
      const row = (await service.get(id)) as { cents: unknown } | undefined;
      if (Number(row?.cents) !== id + 5) throw new Error(`${service.name} misread account ${id}`);
    }
  }
  return { ours, theirs };
}

async function openOurs(
  use: Use,
  topology: Topology,
): Promise<Service & { shardOf: (id: number) => string }> {
  const config = defineConfig({
    name: 'layer-bench',
    catalog: topology.shard(0).primary.url,
    shards: Object.fromEntries(
      topology.shards.map(({ name, primary, replicas }) => [
        name,
        { primary: primary.url, replicas: replicas.map(({ url }) => url) },
      ]),
    ),
    keyspaces: { accounts: { keyType: 'bigint' } },
    redis: topology.redis.url,
    memcached: topology.memcached.map(({ address }) => address),
    entities: {
      accounts: {
        table: 'accounts',
        keyspace: 'accounts',
        key: 'account_id',
        cache: { ttl: '1h', tiers: ['l1', 'l2', 'l3'], l1: { maxEntries: IN_MEMORY } },
      },
    },
  });
  await initialiseShards(config);
  const layer = use(await createDataLayer(config));
  await layer.router.everywhere(
    'CREATE TABLE accounts (account_id bigint PRIMARY KEY, owner text NOT NULL, cents bigint NOT NULL)',
  );
  await layer.router.copyFrom('accounts', rowsOf(), { columns: ['account_id', 'owner', 'cents'] });
  await layer.cache.ready({ deadline: '20s' });
  const { accounts } = layer.entities;
  return {
    name: 'shardline',
    draw: zipfSampler(ACCOUNTS, 0.99, seededRandom(41)),
    get: (id) => accounts.get(id),
    update: (id, cents) => accounts.update(id, { cents }),
    stats: () => layer.stats()['accounts'] ?? { lookups: 0, l1: 0, loads: 0 },
    shardOf: (id) => {
      const decision = layer.router.explain(id);
      if (decision.kind !== 'one') throw new Error(`account ${id} is not on one shard`);
      return decision.shard;
    },
  };
}

function* rowsOf() {
  for (let id = 0; id < ACCOUNTS; id += 1) {
    yield { account_id: id, owner: `player ${id} `.padEnd(180, 'x'), cents: id };
  }
}

/**
 * What is built by hand: a pool per shard, on its primary since nobody sees to it that a replica has caught up;
 * memory before Redis with a bus between processes; a deletion after every write. Where a key lives is
 * given to it for nothing.
 */
function openTheirs(use: Use, topology: Topology, shardOf: (id: number) => string): Service {
  const pools = new Map(
    topology.shards.map(({ name, primary }) => [name, openPool(use, primary.url)]),
  );
  const poolOf = Array.from({ length: ACCOUNTS }, (_, id) => pools.get(shardOf(id)) as pg.Pool);
  const { redis } = topology;
  const connection = new Redis(redis.url);
  use({
    async [Symbol.asyncDispose]() {
      connection.disconnect();
    },
  });
  const bento = new BentoCache({
    default: 'accounts',
    stores: {
      accounts: bentostore()
        .useL1Layer(memoryDriver({ maxItems: IN_MEMORY }))
        // With `serialize: false` it reads text as an object where the bus is used, and throws (1.6).
        .useL2Layer(redisDriver({ connection }))
        // Its own connections: one of them can only listen.
        .useBus(redisBusDriver({ connection: { host: redis.host, port: redis.port } })),
    },
  });
  use({ [Symbol.asyncDispose]: () => bento.disconnectAll() });
  const load = async (id: number) => {
    const { rows } = await (poolOf[id] as pg.Pool).query({
      name: 'account',
      text: 'SELECT account_id, owner, cents FROM accounts WHERE account_id = $1',
      values: [id],
    });
    return rows[0];
  };
  let lookups = 0;
  let loads = 0;
  return {
    name: 'bentocache + pg.Pool',
    draw: zipfSampler(ACCOUNTS, 0.99, seededRandom(42)),
    get: (id) => {
      lookups += 1;
      return bento.getOrSet({
        key: `account:${id}`,
        ttl: '1h',
        factory: () => {
          loads += 1;
          return load(id);
        },
      });
    },
    update: async (id, cents) => {
      await (poolOf[id] as pg.Pool).query({
        name: 'account-update',
        text: 'UPDATE accounts SET cents = $2 WHERE account_id = $1 RETURNING *',
        values: [id, cents],
      });
      await bento.delete({ key: `account:${id}` });
    },
    stats: () => ({ lookups, l1: 0, loads }),
  };
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
