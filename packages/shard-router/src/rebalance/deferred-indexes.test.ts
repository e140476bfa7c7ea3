import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import type { Router } from '../router.js';
import { openRebalancer } from './open-rebalancer.js';
import type { PlacementChange } from './placement-change.js';
import { populate } from './testing-traffic.js';
import { startWorld, type TestingWorld } from './testing-world.js';

// Whole moves: seconds on an idle machine, minutes on one that others use too.
vi.setConfig({ testTimeout: 300_000 });

const INDEXES = `
  CREATE INDEX users_by_name ON users (name);
  CREATE INDEX bets_by_user ON bets (user_id, id DESC) WHERE stake > 0;
  CREATE UNIQUE INDEX bets_once ON bets (user_id, id);
  CREATE INDEX users_told ON users (version);
  COMMENT ON INDEX users_told IS 'would not come back';
`;
const DEFERRED = ['bets_by_user', 'users_by_name'];

class Died extends Error {}

describe('indexes of a shard that joins', () => {
  let world: TestingWorld;
  let router: Router;
  let whole: unknown[];
  beforeAll(async () => {
    world = await startWorld({ name: 'indexes', shards: ['a', 'b', 'c'], owning: ['a', 'c'] });
    for (const server of Object.values(world.servers)) await server.query(INDEXES);
    router = await world.router();
    await populate(router);
    whole = await indexesOn('b');
  });
  afterAll(async () => {
    await router?.close();
    await world?.stop();
  });

  async function indexesOn(shard: string): Promise<Record<string, unknown>[]> {
    const { rows } = await (
      world.servers[shard] as { query: TestingWorld['catalog']['query'] }
    ).query(`SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1`);
    return rows;
  }

  const missing = async (shard: string) => {
    const there = new Set((await indexesOn(shard)).map(({ indexname }) => indexname));
    return (whole as { indexname: string }[])
      .map(({ indexname }) => indexname)
      .filter((name) => !there.has(name));
  };

  /** Begins the move, dies at a point of it, and says which indexes the shard lacked then. */
  async function dieAt(
    point: string,
    change: PlacementChange,
  ): Promise<{ id: string; lacked: string[] }> {
    let lacked: string[] = [];
    await using rebalancer = await openRebalancer(world.rebalancerOptions(), {
      failpoint: async (at) => {
        if (at !== point) return;
        lacked = await missing('b');
        throw new Died(at);
      },
    });
    await rebalancer.prepareShard('b');
    const plan = await rebalancer.plan(change);
    await expect(rebalancer.apply(plan)).rejects.toThrow(Died);
    return { id: (await rebalancer.move('last'))?.id as string, lacked };
  }

  test('are dropped for the copy, and made again by whoever gives the move up', async () => {
    const { lacked } = await dieAt('after create-inbound on destination', {
      kind: 'add',
      shard: 'b',
    });
    expect(lacked).toEqual(DEFERRED);
    expect(await missing('b')).toEqual(DEFERRED);
    await using rebalancer = await openRebalancer(world.rebalancerOptions());
    for (const { id } of (await rebalancer.status()).active) await rebalancer.abort(id);
    expect(await indexesOn('b')).toEqual(whole);
  });

  test('are made again before the rows are compared, by whoever takes the move over', async () => {
    const { lacked } = await dieAt('before build-indexes', {
      kind: 'move-slots',
      keyspace: 'users',
      slots: [0, 1, 2, 3],
      destination: 'b',
    });
    expect(lacked).toEqual(DEFERRED);
    let lackedLater: string[] | undefined;
    await using rebalancer = await openRebalancer(world.rebalancerOptions(), {
      failpoint: async (at) => {
        if (at === 'before verify') lackedLater ??= await missing('b');
      },
    });
    const { moves } = await rebalancer.resume();
    expect(new Set(moves.map(({ state }) => state))).toEqual(new Set(['done']));
    expect(lackedLater).toEqual([]);
    expect(await indexesOn('b')).toEqual(whole);
  });

  test('stay on a shard that serves already', async () => {
    const lacked: string[] = [];
    await using rebalancer = await openRebalancer(world.rebalancerOptions(), {
      failpoint: async (at) => {
        if (at === 'after create-inbound on destination') lacked.push(...(await missing('b')));
      },
    });
    const weights = { a: 1, b: 3, c: 1 };
    const report = await rebalancer.apply(await rebalancer.plan({ kind: 'reweight', weights }));
    expect(report.moves.map(({ state }) => state)).toContain('done');
    expect(lacked).toEqual([]);
  });
});
