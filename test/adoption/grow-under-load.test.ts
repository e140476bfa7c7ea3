import { openRebalancer } from '@shardline/shard-router/rebalance';
import { type PostgresServer, startPostgres } from '@shardline/testkit';
import pg from 'pg';
import {
  createDataLayer,
  type DataLayer,
  type DataLayerConfig,
  initialiseShards,
  rebalancerOptionsOf,
} from 'shardline';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type PageModules, pageModules } from '../guides/page-modules.js';

/**
 * The guide "Growing from one database", followed to its end while users come: a service on one PostgreSQL becomes
 * the same service on three, by the very code of the page, and no request fails.
 */

const CUSTOMERS = 300;
const CALLERS = 4;
/** Requests that must be seen in each state of things before it is left. */
const ENOUGH = 60;

/** What the service does, whatever it does it with. */
interface Service {
  read(id: bigint): Promise<{ name: string } | undefined>;
  rename(id: bigint, name: string): Promise<unknown>;
}

interface CustomersModule {
  readonly layer: DataLayer;
  readCustomer(id: bigint): Promise<{ name: string } | undefined>;
  renameCustomer(id: bigint, name: string): Promise<unknown>;
  countOrders(id: bigint): Promise<number>;
  turnover(): Promise<bigint>;
}

let live: PostgresServer;
let two: PostgresServer;
let three: PostgresServer;
let page: PageModules;

beforeAll(async () => {
  [live, two, three] = await Promise.all([
    startPostgres({ name: 'live' }),
    startPostgres({ name: 'two' }),
    startPostgres({ name: 'three' }),
  ]);
  await live.query('CREATE TABLE customers (customer_id bigint PRIMARY KEY, name text NOT NULL)');
  await live.query(
    `CREATE TABLE orders (customer_id bigint NOT NULL, order_id uuid NOT NULL DEFAULT gen_random_uuid(),
       cents bigint NOT NULL, PRIMARY KEY (customer_id, order_id))`,
  );
  await live.query(
    `INSERT INTO customers SELECT id, 'new' FROM generate_series(1, ${CUSTOMERS}) id`,
  );
  await live.query(
    `INSERT INTO orders (customer_id, cents) SELECT id, 100 FROM generate_series(1, ${CUSTOMERS}) id`,
  );
  process.env['SHOP_LIVE'] = live.url;
  process.env['SHOP_TWO'] = two.url;
  process.env['SHOP_THREE'] = three.url;
  page = pageModules('growing-from-one-database');
});

afterAll(async () => {
  page?.[Symbol.dispose]();
  await Promise.all([live?.stop(), two?.stop(), three?.stop()]);
});

/** Users who rename customers and read them back, each customer by one user alone. */
class Users {
  readonly failures: unknown[] = [];
  readonly names = new Map<bigint, string>();
  answered = 0;
  service: Service;
  #isOver = false;
  readonly #running: Promise<unknown>;

  constructor(service: Service) {
    this.service = service;
    this.#running = Promise.all(Array.from({ length: CALLERS }, (_, caller) => this.#run(caller)));
  }

  /** Waits until enough requests were answered as things are now. */
  async settle(): Promise<void> {
    const from = this.answered;
    await expect.poll(() => this.answered, { timeout: 120_000 }).toBeGreaterThan(from + ENOUGH);
  }

  async end(): Promise<void> {
    this.#isOver = true;
    await this.#running;
  }

  async #run(caller: number): Promise<void> {
    for (let turn = 0; !this.#isOver; turn += 1) {
      const id = BigInt(1 + ((caller + CALLERS * turn) % CUSTOMERS));
      const name = `name ${caller}.${turn}`;
      try {
        await this.service.rename(id, name);
        this.names.set(id, name);
        const found = await this.service.read(id);
        if (found?.name !== name) throw new Error(`${id} is ${found?.name}, not ${name}`);
        this.answered += 1;
      } catch (error) {
        this.failures.push(error);
      }
    }
  }
}

async function countOn(server: PostgresServer): Promise<{ customers: number; orders: number }> {
  const { rows } = await server.query<{ customers: string; orders: string }>(
    'SELECT (SELECT count(*) FROM customers) AS customers, (SELECT count(*) FROM orders) AS orders',
  );
  return { customers: Number(rows[0]?.customers), orders: Number(rows[0]?.orders) };
}

test('a service on one database becomes one on three while users come, and no request fails', {
  timeout: 600_000,
}, async () => {
  // As it is today.
  const pool = new pg.Pool({ connectionString: live.url });
  const users = new Users({
    read: async (id) =>
      (await pool.query('SELECT name FROM customers WHERE customer_id = $1', [id])).rows[0],
    rename: (id, name) =>
      pool.query('UPDATE customers SET name = $2 WHERE customer_id = $1', [id, name]),
  });
  await users.settle();

  // Step 2: the database becomes a shard, and the old code notices nothing.
  await page.import('adopt.ts');
  await users.settle();

  // Step 3: the code moves over.
  const customers = await page.import<CustomersModule>('customers.ts');
  users.service = { read: customers.readCustomer, rename: customers.renameCustomer };
  await users.settle();
  expect(await customers.countOrders(1n)).toBe(1);
  expect(await customers.turnover()).toBe(BigInt(CUSTOMERS * 100));

  // Step 5: the new shards are named, and every process is started anew with them.
  const { default: next } = await page.import<{ default: DataLayerConfig }>(
    'shardline.config.next.ts',
  );
  await initialiseShards(next);
  await using layer = await createDataLayer(next);
  const entity = layer.entities['customers']!;
  users.service = {
    read: (id) => entity.get(id) as Promise<{ name: string } | undefined>,
    rename: (id, name) => entity.update(id, { name }),
  };
  await users.settle();
  await customers.layer.close();
  await pool.end();

  // Step 6: split.
  await using rebalancer = await openRebalancer(
    rebalancerOptionsOf({ ...next, administration: { limits: { rollbackWindow: '0s' } } }),
  );
  for (const shard of ['two', 'three']) {
    await rebalancer.prepareShard(shard);
    const report = await rebalancer.apply(await rebalancer.plan({ kind: 'add', shard }));
    expect(report.moves.map(({ state }) => state)).toEqual(report.moves.map(() => 'done'));
    await users.settle();
  }

  await users.end();
  expect(users.failures).toEqual([]);
  const counts = await Promise.all([live, two, three].map(countOn));
  for (const kind of ['customers', 'orders'] as const) {
    expect(counts.reduce((sum, each) => sum + each[kind], 0)).toBe(CUSTOMERS);
    expect(Math.min(...counts.map((each) => each[kind]))).toBeGreaterThan(0);
  }
  for (const [id, name] of users.names) expect((await entity.get(id))?.['name']).toBe(name);
});
