import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { createRouter } from '../create-router.js';
import type { Router } from '../router.js';
import { openRebalancer } from './open-rebalancer.js';
import { startWorld, type TestingWorld } from './testing-world.js';

vi.setConfig({ testTimeout: 300_000 });

let world: TestingWorld;
let router: Router;

beforeAll(async () => {
  world = await startWorld({ name: 'reference', shards: ['a', 'b'], owning: ['a'] });
  await world.servers['a']?.query('CREATE TABLE countries (code int PRIMARY KEY, name text)');
  router = await createRouter({ ...world.routerOptions, referenceTables: ['countries'] });
});
afterAll(async () => {
  await router?.close();
  await world?.stop();
});

test('a reference table that is written all the while is the same on a shard that joins', async () => {
  await router.query(1, "INSERT INTO users (id, name) VALUES (1, 'Ada')");
  let isOver = false;
  let written = 0;
  const writer = (async () => {
    while (!isOver) {
      await router.reference.write('INSERT INTO countries VALUES ($1, $2)', [written, 'land']);
      written += 1;
    }
  })();
  await using rebalancer = await openRebalancer({
    ...world.rebalancerOptions(),
    referenceTables: ['countries'],
  });
  const report = await rebalancer.apply(await rebalancer.plan({ kind: 'add', shard: 'b' }));
  expect(report.moves.map(({ state }) => state)).toEqual(['done']);
  isOver = true;
  await writer;

  const [a, b] = await Promise.all([world.rows('a', 'countries'), world.rows('b', 'countries')]);
  expect(a).toHaveLength(written);
  expect(b).toEqual(a);
});
