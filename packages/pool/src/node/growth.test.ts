import {
  type FaultProxy,
  type PostgresServer,
  startFaultProxy,
  startPostgres,
} from '@shardline/testkit';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { ReplicaPool } from '../index.js';

/** How a pool grows with its load, over a network on which a dial takes several round trips. */
let server: PostgresServer;
let proxy: FaultProxy;
let pool: ReplicaPool;

beforeAll(async () => {
  server = await startPostgres({ name: 'growth' });
});
afterAll(() => server?.stop());
beforeEach(async () => {
  proxy = await startFaultProxy(server);
  const { host, port } = proxy;
  pool = new ReplicaPool({ host, port, user: 'postgres', database: server.database, max: 12 });
});
afterEach(async () => {
  await pool.close();
  await proxy.close();
});

/** Callers that ask again as soon as they are answered, until a condition holds. */
async function load(callers: number, isDone: () => boolean): Promise<void> {
  const deadline = performance.now() + 20_000;
  const caller = async () => {
    while (!isDone()) {
      if (performance.now() > deadline) throw new Error(`${pool.totalCount} connections are open.`);
      await pool.query('SELECT 1');
    }
  };
  await Promise.all(Array.from({ length: callers }, caller));
}

test('callers that keep coming back to a full pool get connections of their own', async () => {
  proxy.latency('5ms');
  await Promise.all([pool.query('SELECT 1'), pool.query('SELECT 1')]);
  expect(pool.totalCount).toBe(2);
  // Each wait is shorter than a dial, and the line is never empty.
  await load(8, () => pool.totalCount >= 8);
});
