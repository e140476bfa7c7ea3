import { checkInventory } from '@shardline/testkit/check';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import type { Router } from '../router.js';
import { openRebalancer } from './open-rebalancer.js';
import { startWorld, type TestingWorld } from './testing-world.js';

// Whole moves with traffic: seconds on an idle machine, minutes on one that others use too.
vi.setConfig({ testTimeout: 300_000 });

/** A whole move on real servers, with writers: nothing lost, nothing twice, nothing left. */
describe.each([18, 15])('a move on PostgreSQL %i', (version) => {
  let world: TestingWorld;
  let router: Router;
  beforeAll(async () => {
    world = await startWorld({
      name: `move-${version}`,
      version,
      shards: ['a', 'b'],
      owning: ['a'],
    });
    router = await world.router();
  });
  afterAll(async () => {
    await router?.close();
    await world?.stop();
  });

  test('adds a shard under load: every acknowledged write is at its owner, once', async () => {
    for (let id = 0; id < 2000; id += 1) {
      await router.query(id, 'INSERT INTO users (id, name) VALUES ($1, $2)', [id, `user ${id}`]);
    }
    await using rebalancer = await openRebalancer(world.rebalancerOptions());
    await rebalancer.prepareShard('b');
    const before = await world.inventory();
    const written = new Map<number, number>();
    const failures: unknown[] = [];
    let isOver = false;
    const writers = Array.from({ length: 4 }, async (_, writer) => {
      for (let at = 0; !isOver; at += 1) {
        const id = (writer + 4 * at) % 2000;
        try {
          const { rows } = await router.query<{ version: string }>(
            id,
            'UPDATE users SET version = version + 1 WHERE id = $1 RETURNING version',
            [id],
          );
          written.set(id, Number(rows[0]?.version));
        } catch (error) {
          failures.push(error);
        }
      }
    });
    const plan = await rebalancer.plan({ kind: 'add', shard: 'b' });
    const report = await rebalancer.apply(plan);
    isOver = true;
    await Promise.all(writers);
    expect(failures).toEqual([]);
    expect(report.moves.map(({ state }) => state)).toEqual(['done']);
    await router.refresh();
    const [a, b] = await Promise.all([world.rows('a', 'users'), world.rows('b', 'users')]);
    expect(a.length + b.length).toBe(2000);
    expect(b.length).toBeGreaterThan(0);
    for (const [shard, rows] of [
      ['a', a],
      ['b', b],
    ] as const) {
      for (const { id, version: found } of rows) {
        const decision = router.explain(id as string);
        expect(decision).toMatchObject({ kind: 'one', shard });
        expect(Number(found)).toBe(written.get(Number(id)) ?? 1);
      }
    }
    await rebalancer.close();
    const verdict = checkInventory(before, await world.inventory());
    expect(verdict.violations).toEqual([]);
  });
});
