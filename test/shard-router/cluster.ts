import {
  bootstrap,
  type Keyspace,
  loadCatalog,
  publishChange,
  type RouterOptions,
  type Topology,
  type TopologyChange,
  writeOwnership,
} from '@shardline/shard-router';
import { type PostgresServer, startPostgres } from '@shardline/testkit';
import pg from 'pg';

/** Two shards on one server and the catalog on another, with a table of values by key. */
export interface Cluster extends AsyncDisposable {
  readonly catalog: PostgresServer;
  readonly shards: PostgresServer;
  readonly options: RouterOptions;
  /** Runs work on a connection straight to a database: `a`, `b` or `catalog`. */
  direct<T>(name: string, work: (client: pg.Client) => Promise<T>): Promise<T>;
  /** Moves the rows of a slot as a mover would, but leaves the old copies where they are. */
  move(keyspace: Keyspace, slot: number, from: string, to: string): Promise<Topology>;
}

export async function startCluster(): Promise<Cluster> {
  const [catalog, shards] = await Promise.all([
    startPostgres({ name: 'catalog' }),
    startPostgres({ name: 'shards', settings: { max_connections: 200 } }),
  ]);
  const urls: Record<string, string> = { catalog: catalog.url };
  for (const name of ['a', 'b']) urls[name] = await shards.createDatabase(`shard_${name}`);
  const options: RouterOptions = {
    catalog: { primary: catalog.url },
    shards: { a: { primary: urls['a'] as string }, b: { primary: urls['b'] as string } },
    keyspaces: { users: { keyType: 'bigint', slots: 16, tables: { users: 'id' } } },
  };
  const direct: Cluster['direct'] = async (name, work) => {
    const client = new pg.Client({ connectionString: urls[name] as string });
    await client.connect();
    try {
      return await work(client);
    } finally {
      await client.end();
    }
  };
  for (const name of ['a', 'b']) {
    await direct(name, (client) =>
      client.query('CREATE TABLE users (id bigint PRIMARY KEY, version int NOT NULL)'),
    );
  }
  await bootstrap(options);
  return {
    catalog,
    shards,
    options,
    direct,
    move: (keyspace, slot, from, to) => move(direct, keyspace, slot, from, to),
    [Symbol.asyncDispose]: async () => {
      await Promise.all([catalog.stop(), shards.stop()]);
    },
  };
}

async function move(
  direct: Cluster['direct'],
  keyspace: Keyspace,
  slot: number,
  from: string,
  to: string,
): Promise<Topology> {
  const rows = await direct(
    from,
    async (client) => (await client.query('SELECT * FROM users')).rows,
  );
  await direct(to, async (client) => {
    await client.query('SET session_replication_role = replica');
    for (const { id, version } of rows) {
      if (keyspace.slotOf(id) !== slot) continue;
      await client.query('INSERT INTO users VALUES ($1, $2)', [id, version]);
    }
  });
  const change: TopologyChange = { keyspace: 'users', owners: [{ shard: to, slots: [slot] }] };
  const current = await direct('catalog', (client) => loadCatalog(client));
  const before = (current as NonNullable<typeof current>).topology;
  const next = before.with(change);
  for (const name of [from, to]) {
    await direct(name, async (client) => {
      await client.query('BEGIN');
      await writeOwnership(client, name, next, 'users');
      await client.query('COMMIT');
    });
  }
  return direct('catalog', (client) => publishChange(client, before, change));
}

/** Polls until a condition holds; the deadline is generous, since the machine may be slow. */
export async function until(
  what: string,
  condition: () => boolean | Promise<boolean>,
): Promise<void> {
  const deadline = Date.now() + 60_000;
  while (!(await condition())) {
    if (Date.now() > deadline) throw new Error(`It never came true that ${what}.`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
