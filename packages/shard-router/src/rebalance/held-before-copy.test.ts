import { type PostgresServer, waitUntil } from '@shardline/testkit';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { openRebalancer } from './open-rebalancer.js';
import { startWorld, type TestingWorld } from './testing-world.js';

// Whole moves: seconds on an idle machine, minutes on one that others use too.
vi.setConfig({ testTimeout: 300_000 });

let world: TestingWorld;
beforeAll(async () => {
  world = await startWorld({ name: 'held', shards: ['a', 'b'], owning: ['a', 'b'] });
  await using router = await world.router();
  await router.copyFrom(
    'users',
    Array.from({ length: 200 }, (_, id) => ({ id, name: `user ${id}` })),
    { columns: ['id', 'name'] },
  );
});
afterAll(() => world?.stop());

/** Writes until it is told to stop: a replica that has nothing to apply is behind with nothing. */
function keepBusy(server: PostgresServer): () => Promise<void> {
  let isOver = false;
  const work = (async () => {
    await server.query('CREATE TABLE noise (n int)');
    while (!isOver) await server.query('INSERT INTO noise VALUES (1)');
  })();
  return () => {
    isOver = true;
    return work;
  };
}

test('a plan is cut by bytes; and no copy of it begins while a replica of the destination is behind', async () => {
  const b = world.servers['b'] as PostgresServer;
  const replica = await b.addReplica({ name: 'slow', applyDelay: '1s' });
  const stopNoise = keepBusy(b);
  const lag = async () => {
    const { rows } = await b.query<{ ms: number }>(
      'SELECT coalesce(max(extract(epoch FROM replay_lag)), 0)::float8 * 1000 AS ms FROM pg_stat_replication',
    );
    return rows[0]?.ms ?? 0;
  };
  await waitUntil(async () => (await lag()) > 500, { what: 'the replica to fall behind' });
  // Less than the smallest slot with rows has, so that each is a move of its own.
  await using rebalancer = await openRebalancer(
    world.rebalancerOptions({ replicaLag: '200ms', moveBytes: 1 }),
  );
  const plan = await rebalancer.plan({ kind: 'drain', shard: 'a' });
  expect(plan.moves.length).toBeGreaterThan(4);
  expect(plan.moves.every(({ slotCount }) => slotCount === 1)).toBe(true);
  const work = rebalancer.apply(plan);
  work.catch(() => {});
  await waitUntil(
    async () =>
      (await rebalancer.status()).active.some(({ waitingFor }) => waitingFor?.includes("'slow'")),
    { what: 'the first move to be held back' },
  );
  const { rows } = await b.query('SELECT subname FROM pg_subscription');
  expect(rows).toEqual([]);
  await replica.stop();
  await stopNoise();
  const { moves } = await work;
  expect(moves.map(({ state }) => state)).toEqual(plan.moves.map(() => 'done'));
  expect(await world.rows('a', 'users')).toEqual([]);
  expect(await world.rows('b', 'users')).toHaveLength(200);
});
