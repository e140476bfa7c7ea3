import { type FaultProxy, startFaultProxy } from '@shardline/testkit';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { createRouter } from '../create-router.js';
import type { Router } from '../router.js';
import { openRebalancer } from './open-rebalancer.js';
import { startWorld, type TestingWorld } from './testing-world.js';

vi.setConfig({ testTimeout: 300_000 });

/**
 * A router that hears nothing of the catalog any more, past the end of its lease, while a shard joins: as one that was
 * frozen all the while and thaws.
 */
let world: TestingWorld;
let proxy: FaultProxy;
let router: Router;

beforeAll(async () => {
  world = await startWorld({ name: 'cut-off', shards: ['a', 'b', 'c', 'd'], owning: ['a'] });
  await world.servers['a']?.query('CREATE TABLE countries (code int PRIMARY KEY, name text)');
  proxy = await startFaultProxy(world.catalog);
});
afterAll(async () => {
  await proxy?.close();
  await world?.stop();
});
beforeEach(async () => {
  const { port, ...catalog } = partsOf(world.catalog.url);
  router = await createRouter({
    ...world.routerOptions,
    catalog: { primary: { ...catalog, host: proxy.host, port: proxy.port } },
    referenceTables: ['countries'],
    lease: '1s',
    holdTimeout: '2s',
  });
});
afterEach(async () => {
  await proxy.heal();
  await router?.close();
});

function partsOf(url: string) {
  const { username, password, port, pathname } = new URL(url);
  return {
    user: decodeURIComponent(username),
    password: decodeURIComponent(password),
    port: Number(port),
    database: pathname.slice(1),
  };
}

const open = (failAt?: string) =>
  openRebalancer(
    { ...world.rebalancerOptions(), referenceTables: ['countries'] },
    failAt === undefined
      ? {}
      : {
          failpoint: (at) => {
            if (at === failAt) throw new Error(`died ${at}`);
          },
        },
  );

/** Adds a shard while the router knows nothing of it. */
async function join(shard: string): Promise<void> {
  proxy.blackHole();
  await using rebalancer = await open();
  const report = await rebalancer.apply(await rebalancer.plan({ kind: 'add', shard }));
  for (const { state } of report.moves) expect(state).toBe('done');
}

const insert = (code: number) =>
  router.reference.write('INSERT INTO countries VALUES ($1, $2)', [code, 'land']);

async function expectEqual(shards: readonly string[], codes: readonly number[]): Promise<void> {
  for (const shard of shards) {
    const rows = await world.rows(shard, 'countries');
    expect(
      rows.map(({ code }) => code),
      shard,
    ).toEqual(codes);
  }
}

describe('a router that is cut off from the catalog while a shard joins', () => {
  test('writes reference tables there too once it hears of it, and nowhere before', async () => {
    await insert(1);
    await join('b');
    expect(router.topology.shards.map(({ name }) => name)).toEqual(['a']);
    await expect(insert(2)).rejects.toMatchObject({ code: 'TOPOLOGY_OUTDATED', retryable: true });
    await expectEqual(['a', 'b'], [1]);
    const writing = insert(3);
    await proxy.heal();
    await writing;
    await expectEqual(['a', 'b'], [1, 3]);
  });

  test('runs DDL there too once it hears of it, and nowhere before', async () => {
    const add = () => router.everywhere('ALTER TABLE countries ADD COLUMN IF NOT EXISTS note text');
    const columns = async (shard: string) =>
      Object.keys((await world.rows(shard, 'countries'))[0] ?? {});
    await join('c');
    await expect(add()).rejects.toMatchObject({ code: 'TOPOLOGY_OUTDATED', retryable: true });
    for (const shard of ['a', 'b', 'c']) expect(await columns(shard)).not.toContain('note');
    await proxy.heal();
    await add();
    for (const shard of ['a', 'b', 'c']) expect(await columns(shard)).toContain('note');
  });

  test('goes on writing while no shard joins, without catalog and lease', async () => {
    proxy.blackHole();
    await expect.poll(() => router.health().catalog?.leased, { timeout: 20_000 }).toBe(false);
    await insert(4);
    await expectEqual(['a', 'b', 'c'], [1, 3, 4]);
  });

  test('is waited for as long as its lease runs, and no longer than `routersTimeout`', async () => {
    await world.catalog.query(
      `INSERT INTO shardline.router (id, name, version, revision, lease_until)
       VALUES (gen_random_uuid(), 'frozen', '0', 0, clock_timestamp() + interval '10 minutes')`,
    );
    await using rebalancer = await openRebalancer({
      ...world.rebalancerOptions({ routersTimeout: '300ms' }),
      referenceTables: ['countries'],
    });
    const plan = await rebalancer.plan({ kind: 'add', shard: 'd' });
    await expect(rebalancer.apply(plan)).rejects.toMatchObject({ code: 'DEADLINE_EXCEEDED' });
    await world.catalog.query("DELETE FROM shardline.router WHERE name = 'frozen'");
  });

  test('a shard whose mover died as it joined is compared by whoever takes the move up', async () => {
    // The plan of the test before; it was begun, and stopped before the tables were compared.
    await world.servers['d']?.query('DELETE FROM countries WHERE code > 1');
    await using other = await open();
    await other.resume();
    await expectEqual(['a', 'b', 'c', 'd'], [1, 3, 4]);
  });
});
