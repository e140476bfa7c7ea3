import { checkInventory, type Inventory } from '@shardline/testkit/check';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import type { Router } from '../router.js';
import { openRebalancer } from './open-rebalancer.js';
import { populate, startTraffic, type Traffic } from './testing-traffic.js';
import { startWorld, type TestingWorld } from './testing-world.js';

// Whole moves with traffic: seconds on an idle machine, minutes on one that others use too.
vi.setConfig({ testTimeout: 300_000 });

/** The replication slot that feeds a move is lost while it keeps up: what came meanwhile is nowhere but at the source. */
let world: TestingWorld;
let router: Router;
let traffic: Traffic;
let before: Inventory;

beforeAll(async () => {
  world = await startWorld({ name: 'lost-slot', shards: ['a', 'b'], owning: ['a', 'b'] });
  router = await world.router();
  await populate(router);
  before = await world.inventory();
  traffic = startTraffic(world, router);
});
afterAll(async () => {
  await traffic?.stop();
  await router?.close();
  await world?.stop();
});

async function dropSlots(shard: string): Promise<number> {
  let dropped = 0;
  await world.servers[shard]?.withClient(async (client) => {
    const { rows } = await client.query<{ slot_name: string; active_pid: number | null }>(
      "SELECT slot_name, active_pid FROM pg_replication_slots WHERE slot_name LIKE 'shardline%forward'",
    );
    for (const { slot_name: name, active_pid: pid } of rows) {
      // The other side comes back at once; whoever is there first has it.
      await client.query('SELECT pg_terminate_backend($1, 5000)', [pid]);
      await client.query('SELECT pg_drop_replication_slot($1)', [name]).then(
        () => {
          dropped += 1;
        },
        (error: { code?: string }) => {
          if (error.code !== '55006' && error.code !== '42704') throw error;
        },
      );
    }
  });
  return dropped;
}

test('is copied afresh and comes to its end with every row', async () => {
  await using rebalancer = await openRebalancer(world.rebalancerOptions());
  const slots = router.topology.keyspace('users').slotsOf('a').slice(0, 4);
  const plan = await rebalancer.plan({
    kind: 'move-slots',
    keyspace: 'users',
    slots,
    destination: 'b',
  });
  const states: string[] = [];
  const applying = rebalancer.apply(plan, {
    holdCutOver: true,
    onProgress: ({ state }) => {
      if (states.at(-1) !== state) states.push(state);
    },
  });
  await expect.poll(() => states, { timeout: 120_000 }).toContain('catching_up');
  await expect.poll(() => dropSlots('a'), { timeout: 60_000, interval: 5 }).toBeGreaterThan(0);
  const calls = traffic.calls;
  await expect.poll(() => traffic.calls, { timeout: 60_000 }).toBeGreaterThan(calls + 100);
  const { id } = (await rebalancer.move('last')) ?? {};
  await rebalancer.steer(id as string, { isCutOverHeld: false });
  const report = await applying;
  expect(report.moves.map(({ state }) => state)).toEqual(['done']);
  await traffic.judge();
  expect(checkInventory(before, await world.inventory()).violations).toEqual([]);
});
