import { waitUntil } from '@shardline/testkit';
import { checkInventory } from '@shardline/testkit/check';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { openRebalancer } from './open-rebalancer.js';
import { startWorld, type TestingWorld } from './testing-world.js';

// A whole move and ten failures of another: seconds on an idle machine, minutes on one that others use too.
vi.setConfig({ testTimeout: 300_000 });

let world: TestingWorld;
beforeAll(async () => {
  world = await startWorld({
    name: 'fails',
    shards: ['a', 'b'],
    owning: ['a', 'b'],
    settings: { wal_retrieve_retry_interval: '200ms' },
  });
});
afterAll(() => world?.stop());

test('rows that the destination does not take end the move with an error that says where to look, and it goes on once that is mended', async () => {
  await using router = await world.router();
  const slotsOfA = router.topology.keyspace('users').slotsOf('a');
  const ids = Array.from({ length: 100 }, (_, id) => id);
  // A name is unique on each shard, and two shards may have the same.
  for (const server of Object.values(world.servers)) {
    await server.query('CREATE UNIQUE INDEX one_name ON users (name)');
  }
  const ownerOf = (id: number) => {
    const route = router.explain(id);
    return route.kind === 'one' ? route.shard : '';
  };
  const here = ids.find((id) => ownerOf(id) === 'a') as number;
  const there = ids.find((id) => ownerOf(id) === 'b') as number;
  await router.insertMany(
    'users',
    [here, there].map((id) => ({ id, name: 'Ada' })),
  );
  const before = await world.inventory();

  await using rebalancer = await openRebalancer(world.rebalancerOptions());
  const plan = await rebalancer.plan({
    kind: 'move-slots',
    keyspace: 'users',
    slots: slotsOfA,
    destination: 'b',
  });
  const work = rebalancer.apply(plan);
  work.catch(() => {});
  await waitUntil(
    async () =>
      (await rebalancer.status()).active.some(({ waitingFor }) =>
        waitingFor?.includes("in a row on 'b'"),
      ),
    { what: 'the status to tell of the failures' },
  );
  await expect(work).rejects.toMatchObject({
    code: 'MOVE_STREAM_FAILS',
    details: { shard: 'b' },
  });
  expect(await rebalancer.move('last')).toMatchObject({
    state: 'copying',
    lastError: expect.stringContaining("on 'b'"),
  });

  await router.query(there, "UPDATE users SET name = 'Eve' WHERE id = $1", [there]);
  const { moves } = await rebalancer.resume();
  expect(moves.map(({ state }) => state)).toEqual(['done']);
  expect((await world.rows('b', 'users')).map(({ name }) => name).sort()).toEqual(['Ada', 'Eve']);
  expect(checkInventory(before, await world.inventory()).violations).toEqual([]);
});
