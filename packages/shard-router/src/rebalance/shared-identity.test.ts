import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { openRebalancer } from './open-rebalancer.js';
import { startWorld, type TestingWorld } from './testing-world.js';

// Whole moves: seconds on an idle machine, minutes on one that others use too.
vi.setConfig({ testTimeout: 300_000 });

let world: TestingWorld;
beforeAll(async () => {
  world = await startWorld({ name: 'identity', shards: ['a', 'b'], owning: ['a', 'b'] });
});
afterAll(() => world?.stop());

const identities = async () =>
  Promise.all(
    Object.values(world.servers).map(async (server) => {
      const { rows } = await server.query<{ identity: string }>(
        "SELECT relreplident AS identity FROM pg_class WHERE relname = 'bets'",
      );
      return rows[0]?.identity;
    }),
  );

/**
 * The table's key does not hold the column by which rows are filtered, so it has its whole row as its identity while a stream
 * leads away from it. Two moves that are left open feed the same shard back; the first that ends must not take that away.
 */
test('the end of one move leaves the replica identities that another one still needs', async () => {
  await using router = await world.router();
  const ids = Array.from({ length: 64 }, (_, id) => id);
  for (const id of ids) {
    await router.query(id, 'INSERT INTO users (id) VALUES ($1)', [id]);
    await router.query(id, 'INSERT INTO bets (id, user_id, stake) VALUES ($1, $1, 1)', [id]);
  }
  const before = await identities();
  await using rebalancer = await openRebalancer(
    world.rebalancerOptions({ rollbackWindow: '1h', moveBytes: 1 }),
  );
  const slots = router.topology.keyspace('users').slotsOf('a').slice(0, 2);
  const plan = await rebalancer.plan({
    kind: 'move-slots',
    keyspace: 'users',
    slots,
    destination: 'b',
  });
  const { moves } = await rebalancer.apply(plan, { leaveOpen: true });
  expect(moves.map(({ state }) => state)).toEqual(['reversing', 'reversing']);
  const [first, second] = moves.map(({ id }) => id) as [string, string];

  const stakes = async () => {
    for (const id of ids)
      await router.query(id, 'UPDATE bets SET stake = stake + 1 WHERE user_id = $1', [id]);
  };
  await stakes();
  await rebalancer.finish(first);
  await stakes();
  await rebalancer.finish(second);
  await stakes();
  expect(await identities()).toEqual(before);
  const rows = [...(await world.rows('a', 'bets')), ...(await world.rows('b', 'bets'))];
  expect(rows.map(({ stake }) => stake)).toEqual(ids.map(() => 4));
});
