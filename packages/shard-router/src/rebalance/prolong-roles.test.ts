import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { openRebalancer } from './open-rebalancer.js';
import { populate } from './testing-traffic.js';
import { startWorld, type TestingWorld } from './testing-world.js';

vi.setConfig({ testTimeout: 300_000 });

let world: TestingWorld;
beforeAll(async () => {
  world = await startWorld({ name: 'roles', shards: ['a', 'b'], owning: ['a'] });
  const router = await world.router();
  await populate(router);
  await router.close();
});
afterAll(() => world?.stop());

test('a move that lives longer than its roles goes on, and its streams can connect anew', async () => {
  const { a } = world.servers;
  if (a === undefined) throw new Error('shard a is missing');
  await using dying = await openRebalancer(world.rebalancerOptions(), {
    failpoint: (at) => {
      if (at === 'after catching_up') throw new Error('died');
    },
  });
  await dying.prepareShard('b');
  const plan = await dying.plan({ kind: 'add', shard: 'b' });
  await expect(dying.apply(plan)).rejects.toThrow('died');
  const { rows } = await a.query<{ name: string }>(
    "SELECT rolname AS name FROM pg_roles WHERE rolname ~ '_forward$'",
  );
  const role = rows[0]?.name as string;
  await a.query(`ALTER ROLE ${role} VALID UNTIL '2020-01-01'`);
  const walsenders = `SELECT pid FROM pg_stat_replication WHERE application_name = '${role}'`;
  await a.query(`SELECT pg_terminate_backend(pid) FROM (${walsenders}) AS sender`);
  const days: number[] = [];
  await using rebalancer = await openRebalancer(world.rebalancerOptions(), {
    failpoint: async (at) => {
      if (at !== 'after prolong-roles') return;
      const answer = await a.query<{ days: number }>(
        `SELECT extract(day FROM rolvaliduntil - now())::integer AS days FROM pg_roles WHERE rolname = '${role}'`,
      );
      days.push(answer.rows[0]?.days as number);
    },
  });
  const { moves } = await rebalancer.resume();
  expect(moves.map(({ state }) => state)).toEqual(['done']);
  expect(days[0]).toBeGreaterThanOrEqual(29);
});
