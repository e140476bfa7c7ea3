import { checkInventory } from '@shardline/testkit/check';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import type { Router } from '../router.js';
import { openRebalancer } from './open-rebalancer.js';
import type { RepairAction } from './rebalancer.js';
import { startWorld, type TestingWorld } from './testing-world.js';

vi.setConfig({ testTimeout: 120_000 });

/** Debris of a move that no journal knows, made by hand on real servers. */
let world: TestingWorld;
let router: Router;

beforeAll(async () => {
  world = await startWorld({ name: 'repair', shards: ['a', 'b'], owning: ['a', 'b'] });
  router = await world.router();
  for (let id = 0; id < 200; id += 1) {
    await router.query(id, 'INSERT INTO users (id, name) VALUES ($1, $2)', [id, `user ${id}`]);
  }
});
afterAll(async () => {
  await router?.close();
  await world?.stop();
});

const open = () => openRebalancer(world.rebalancerOptions());
const on = (shard: string, text: string) => world.servers[shard]?.query(text);
const slotsOf = (shard: string) => router.topology.keyspace('users').slotsOf(shard);
const ownedBy = (shard: string) =>
  Array.from({ length: 200 }, (_, id) => id).filter(
    (id) => (router.explain(id) as { shard: string }).shard === shard,
  );

/** As it would be after a catalog has forgotten a move from a to b. */
async function litter(): Promise<void> {
  await on('a', 'CREATE PUBLICATION shardline_dead_forward FOR TABLE users');
  await on('a', 'CREATE ROLE shardline_dead_forward REPLICATION LOGIN');
  await on('a', 'GRANT SELECT ON users TO shardline_dead_forward');
  await on('a', "SELECT pg_create_logical_replication_slot('shardline_dead_forward', 'pgoutput')");
  await on('a', 'ALTER TABLE bets REPLICA IDENTITY FULL');
  await on(
    'a',
    `INSERT INTO shardline.move_record (move, keyspace, shard, other_shard, slots, generation, replica_identities)
     VALUES ('dead', 'users', 'a', 'b', '{${slotsOf('a')[0]}}', 7, '{"public.bets": "DEFAULT"}')`,
  );
  await on('a', `INSERT INTO shardline.move_barrier VALUES ('dead', 7, 'a')`);
  await on(
    'a',
    `UPDATE shardline.slot_ownership SET is_owned = false, is_fenced = true WHERE slot = ${slotsOf('a')[0]}`,
  );
  await on(
    'b',
    `CREATE SUBSCRIPTION shardline_dead_forward CONNECTION 'host=127.0.0.1 port=1 dbname=gone'
     PUBLICATION shardline_dead_forward WITH (connect = false)`,
  );
  const foreign = ownedBy('a').slice(0, 30);
  await world.servers['b']?.withClient(async (client) => {
    await client.query('SET session_replication_role = replica');
    await client.query("INSERT INTO users (id, name) SELECT unnest($1::bigint[]), 'copy'", [
      foreign,
    ]);
  });
  await world.catalog.query(
    `INSERT INTO shardline.hold (keyspace, slots, revision) SELECT 'users', '{${slotsOf('b')[0]}}', revision
     FROM shardline.topology`,
  );
}

const seen = (actions: readonly RepairAction[]) =>
  actions.map(({ on: server, kind, object }) => `${server}: ${kind} ${object}`);

async function everything() {
  const [inventory, a, b] = await Promise.all([
    world.inventory(),
    world.rows('a', 'users'),
    world.rows('b', 'users'),
  ]);
  return { inventory, a, b };
}

describe('debris of a move that nobody knows', () => {
  test('is told by a look that changes nothing, and taken away by a repair', async () => {
    const clean = await everything();
    await litter();
    const littered = await everything();
    await using rebalancer = await open();
    const told = await rebalancer.repair();
    expect(seen(told)).toEqual([
      expect.stringMatching(/^catalog: hold /),
      'a: role shardline_dead_forward',
      'a: replication slot shardline_dead_forward',
      'a: publication shardline_dead_forward',
      'a: replica identity public.bets',
      expect.stringMatching(/^a: fence /),
      'a: journal dead',
      'b: subscription shardline_dead_forward',
      'b: foreign rows public.users',
    ]);
    expect(told.every(({ isDone }) => !isDone)).toBe(true);
    expect(await everything()).toEqual(littered);

    const mended = await rebalancer.repair({ apply: true });
    expect(seen(mended)).toEqual(seen(told));
    expect(mended.every(({ isDone }) => isDone)).toBe(true);
    expect(await rebalancer.repair()).toEqual([]);
    await rebalancer.close();
    const after = await everything();
    expect(checkInventory(clean.inventory, after.inventory).violations).toEqual([]);
    expect([after.a, after.b]).toEqual([clean.a, clean.b]);
    for (const id of [...ownedBy('a'), ...ownedBy('b')]) {
      await router.query(id, 'UPDATE users SET version = version + 1 WHERE id = $1', [id]);
    }
  });

  test('rows stay where the shards do not confirm what the topology says', async () => {
    const [id] = ownedBy('a') as [number];
    const slot = router.keyspace('users').slotOf(id);
    await world.servers['b']?.withClient(async (client) => {
      await client.query('SET session_replication_role = replica');
      await client.query("INSERT INTO users (id, name) VALUES ($1, 'copy')", [id]);
    });
    // The owner's own record is of a later time than the catalog.
    await on('a', `UPDATE shardline.slot_ownership SET epoch = epoch + 1 WHERE slot = ${slot}`);
    await using rebalancer = await open();
    const actions = await rebalancer.repair({ apply: true });
    expect(actions).toMatchObject([{ on: 'b', kind: 'foreign rows', isDone: false }]);
    expect((await world.rows('b', 'users')).map((row) => Number(row['id']))).toContain(id);
  });
});
