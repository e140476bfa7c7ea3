import type { PostgresServer } from '@shardline/testkit';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import type { Router } from '../router.js';
import { openRebalancer } from './open-rebalancer.js';
import { populate } from './testing-traffic.js';
import { startWorld, type TestingWorld } from './testing-world.js';

// Whole moves: seconds on an idle machine, minutes on one that others use too.
vi.setConfig({ testTimeout: 300_000 });

describe('statistics of what was copied', () => {
  let world: TestingWorld;
  let router: Router;
  beforeAll(async () => {
    // Nobody but the move gathers any.
    const settings = { autovacuum: 'off' };
    world = await startWorld({
      name: 'statistics',
      shards: ['a', 'b', 'c'],
      owning: ['a'],
      settings,
    });
    router = await world.router();
    await populate(router);
    await world.servers['a']?.query('INSERT INTO bets (user_id, stake) SELECT id, 1 FROM users');
  });
  afterAll(async () => {
    await router?.close();
    await world?.stop();
  });

  async function known(shard: string): Promise<string[]> {
    const { rows } = await (world.servers[shard] as PostgresServer).query<{ name: string }>(
      `SELECT DISTINCT tablename AS name FROM pg_stats WHERE schemaname = 'public' ORDER BY 1`,
    );
    return rows.map(({ name }) => name);
  }

  test('are there before a shard that joins owns its first slot', async () => {
    const before: string[][] = [];
    const atSwitch: string[][] = [];
    await using rebalancer = await openRebalancer(world.rebalancerOptions(), {
      failpoint: async (at) => {
        if (at === 'before gather-statistics') before.push(await known('b'));
        if (at === 'before rehearse') atSwitch.push(await known('b'));
      },
    });
    await rebalancer.prepareShard('b');
    const { moves } = await rebalancer.apply(await rebalancer.plan({ kind: 'add', shard: 'b' }));
    expect(new Set(moves.map(({ state }) => state))).toEqual(new Set(['done']));
    expect(before[0]).toEqual([]);
    expect(atSwitch[0]).toEqual(['bets', 'users']);
  });

  test('that cannot be gathered of one table are there of the others, and hold no move up', async () => {
    const { a, b, c } = world.servers as Record<'a' | 'b' | 'c', PostgresServer>;
    await c.query('CREATE STATISTICS broken ON (1 / stake) FROM bets');
    for (const owner of [a, b]) await owner.query('UPDATE bets SET stake = 0');
    const atSwitch: string[][] = [];
    await using rebalancer = await openRebalancer(world.rebalancerOptions(), {
      failpoint: async (at) => {
        if (at === 'before rehearse') atSwitch.push(await known('c'));
      },
    });
    await rebalancer.prepareShard('c');
    const { moves } = await rebalancer.apply(await rebalancer.plan({ kind: 'add', shard: 'c' }));
    expect(new Set(moves.map(({ state }) => state))).toEqual(new Set(['done']));
    expect(atSwitch[0]).toEqual(['users']);
  });
});
