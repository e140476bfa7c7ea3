import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { ManualClock } from '@shardline/core';
import { waitUntil } from '@shardline/testkit';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createRouter } from '../create-router.js';
import { openRebalancer } from '../rebalance/open-rebalancer.js';
import { startWorld, type TestingWorld } from '../rebalance/testing-world.js';
import { topologyOf } from '../topology/topology-file.js';
import { Shard } from './shard.js';
import { joiningShards, WarmUp } from './warm-up.js';

const standing = topologyOf({
  shards: { a: {}, b: {}, c: {} },
  keyspaces: { users: { keyType: 'bigint', slots: 8, owners: { a: '0-3', b: '4-7' } } },
});
const copying = standing.with({
  keyspace: 'users',
  enterTransit: [
    { shard: 'a', slots: [0] },
    { shard: 'b', slots: [0] },
    { shard: 'c', slots: [1] },
  ],
});

describe('a shard that is about to join', () => {
  test('owns nothing and holds rows in transit', () => {
    expect(joiningShards(standing)).toEqual([]);
    expect(joiningShards(copying)).toEqual(['c']);
    const joined = copying.with({ keyspace: 'users', owners: [{ shard: 'c', slots: [1] }] });
    expect(joiningShards(joined)).toEqual([]);
  });

  test('is asked for once and looked for again when it cannot be reached', async () => {
    let dials = 0;
    const refusing = createServer((socket) => {
      dials += 1;
      socket.destroy();
    });
    await once(refusing.listen(0, '127.0.0.1'), 'listening');
    const { port } = refusing.address() as AddressInfo;
    const idle = new pg.Pool({ host: '127.0.0.1', port });
    const pool = new pg.Pool({ host: '127.0.0.1', port });
    const shardOf = (name: string, its: pg.Pool) =>
      [name, new Shard({ name, pool: its, ownsPool: false, hasRecord: true })] as const;
    const shards = new Map([shardOf('a', idle), shardOf('c', pool)]);
    const clock = new ManualClock();
    const warmUp = new WarmUp({ shards, topology: () => copying, clock });
    warmUp.look();
    await waitUntil(() => dials === 1 && pool.totalCount === 0, { what: 'the dial to fail' });
    await waitUntil(() => clock.pending === 1, { what: 'only the next look to be due' });
    await clock.advance(5000);
    await waitUntil(() => dials === 2 && pool.totalCount === 0, { what: 'another dial' });
    await waitUntil(() => clock.pending === 1, { what: 'only the next look to be due' });
    warmUp.close();
    warmUp.look();
    expect(clock.pending).toBe(0);
    await Promise.all([idle.end(), pool.end()]);
    refusing.close();
  });
});

describe('a shard that accepts a dial and says nothing', () => {
  test('is waited for within a time, and then asked anew', async () => {
    const sockets = new Set<Socket>();
    const silent = createServer((socket) => {
      sockets.add(socket);
    });
    await once(silent.listen(0, '127.0.0.1'), 'listening');
    // Made without any time to dial in, as pools are that nobody has told.
    const pool = new pg.Pool({ host: '127.0.0.1', port: (silent.address() as AddressInfo).port });
    const shard = new Shard({ name: 'c', pool, ownsPool: false, hasRecord: true });
    const clock = new ManualClock();
    const warmUp = new WarmUp({
      shards: new Map([['c', shard]]),
      topology: () => copying,
      clock,
    });
    warmUp.look();
    await waitUntil(() => sockets.size === 1, { what: 'the dial' });
    expect(clock.pending).toBe(2); // The next look, and the end of this one.
    await clock.advance(5000);
    expect(clock.pending).toBe(2); // It was given up, or it would not have been asked anew.
    warmUp.close();
    for (const socket of sockets) socket.destroy();
    await waitUntil(() => pool.totalCount === 0, { what: 'the dial to end' });
    await pool.end();
    silent.close();
  });
});

describe('a move to a shard that joins', () => {
  let world: TestingWorld;
  beforeAll(async () => {
    world = await startWorld({ name: 'warm', shards: ['a', 'b'], owning: ['a'] });
  });
  afterAll(() => world?.stop());

  test('finds as many connections there, before the switch, as the owner has', async () => {
    const poolOf = (shard: string) => new pg.Pool({ connectionString: world.servers[shard]?.url });
    const [owner, joining] = [poolOf('a'), poolOf('b')];
    const router = await createRouter({
      ...world.routerOptions,
      shards: { a: owner, b: joining },
    });
    await Promise.all(Array.from({ length: 5 }, () => owner.query('SELECT pg_sleep(0.1)')));
    expect([owner.totalCount, joining.totalCount]).toEqual([5, 0]);

    await using rebalancer = await openRebalancer(world.rebalancerOptions());
    await rebalancer.prepareShard('b');
    const plan = await rebalancer.plan({ kind: 'add', shard: 'b' });
    const work = rebalancer.apply(plan, { holdCutOver: true });
    await waitUntil(() => joining.totalCount === 5 && joining.idleCount === 5, {
      what: 'connections to the shard that joins',
    });
    const keyspace = router.topology.keyspace('users');
    expect(keyspace.owningShards()).toEqual(['a']);

    const { active } = await rebalancer.status();
    await rebalancer.steer(active[0]?.id as string, { isCutOverHeld: false });
    expect((await work).moves).toMatchObject([{ state: 'done' }]);
    await router.close();
    await Promise.all([owner.end(), joining.end()]);
  });
});
