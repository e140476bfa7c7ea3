import { type PostgresServer, waitUntil } from '@shardline/testkit';
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { openRebalancer } from './open-rebalancer.js';
import type { Rebalancer } from './rebalancer.js';
import type { MoveLimits } from './rebalancer-options.js';
import { type BusyWorld, startBusyWorld } from './testing-traffic.js';

// Whole moves with traffic: seconds on an idle machine, minutes on one that others use too.
vi.setConfig({ testTimeout: 300_000 });

/** PostgreSQL's segments of WAL. */
const SEGMENT = 16 * 1024 * 1024;
/** Segments that a slot may hold back here. */
const KEPT_SEGMENTS = 3;
const SLOTS = [0, 1, 2, 3];

/**
 * The replication slot that feeds a move is lost: dropped by somebody, or thrown away by the server since it held too
 * much back. What came meanwhile is nowhere but on the shard that fed it.
 */
let busy: BusyWorld;
let owner: string;
let destination: string;
beforeAll(async () => {
  busy = await startBusyWorld('lost-slot', {
    max_slot_wal_keep_size: `${(KEPT_SEGMENTS * SEGMENT) / 2 ** 20}MB`,
  });
});
afterAll(() => busy?.stop());
beforeEach(async () => {
  await busy.router.refresh();
  owner = busy.router.topology.keyspace('users').ownerOf(0);
  destination = owner === 'a' ? 'b' : 'a';
});

const open = (limits?: MoveLimits) => openRebalancer(busy.world.rebalancerOptions(limits));
const server = (shard: string) => busy.world.servers[shard] as PostgresServer;
const planOf = (rebalancer: Rebalancer) =>
  rebalancer.plan({ kind: 'move-slots', keyspace: 'users', slots: SLOTS, destination });

/** Begins the move; it keeps up and is held before its switch. */
async function beginHeld(rebalancer: Rebalancer) {
  const work = rebalancer.apply(await planOf(rebalancer), { holdCutOver: true });
  work.catch(() => {});
  const id = await waitUntil(
    async () => (await rebalancer.status()).active.find(({ state }) => state === 'catching_up')?.id,
    { what: 'the move to keep up' },
  );
  return { work, id };
}

async function eventsOf(id: string): Promise<string> {
  const { rows } = await busy.world.catalog.query<{ line: string }>(
    "SELECT concat_ws(' ', kind, state, detail) AS line FROM shardline.move_event WHERE move = $1 ORDER BY id",
    [id],
  );
  return rows.map(({ line }) => line).join('\n');
}

/** The one that copies, as the destination's server knows it. */
async function subscription(): Promise<string | undefined> {
  const { rows } = await server(destination).query<{ id: string }>(
    "SELECT oid::text AS id FROM pg_subscription WHERE subname LIKE 'shardline%forward'",
  );
  return rows[0]?.id;
}

async function someCalls(): Promise<void> {
  const before = busy.traffic.calls;
  await waitUntil(() => busy.traffic.calls > before + 100, { what: 'traffic to go on' });
}

/** @returns whether it was there and nobody else was faster. */
async function dropSlot(shard: string, way: 'forward' | 'reverse'): Promise<boolean> {
  return server(shard).withClient(async (client) => {
    const { rows } = await client.query<{ slot_name: string; active_pid: number | null }>(
      'SELECT slot_name, active_pid FROM pg_replication_slots WHERE slot_name LIKE $1',
      [`shardline%${way}`],
    );
    const [slot] = rows;
    if (slot === undefined) return false;
    // The other side comes back at once; whoever is there first has it.
    await client.query('SELECT pg_terminate_backend($1, 5000)', [slot.active_pid]);
    return client.query('SELECT pg_drop_replication_slot($1)', [slot.slot_name]).then(
      () => true,
      (error: { code?: string }) => {
        if (error.code === '55006' || error.code === '42704') return false;
        throw error;
      },
    );
  });
}

/**
 * Rows cannot arrive, so the slot holds back all that is written, and the server writes more than it may, all at once:
 * nobody has the time to give the move up.
 */
async function invalidateSlot(feeder: string, reader: string, way: 'forward' | 'reverse') {
  await server(reader).withClient(async (client) => {
    await client.query('BEGIN');
    await client.query('LOCK TABLE users IN EXCLUSIVE MODE');
    await server(feeder).withClient(async (other) => {
      const status = async () => {
        const { rows } = await other.query<{ wal_status: string }>(
          'SELECT wal_status FROM pg_replication_slots WHERE slot_name LIKE $1',
          [`shardline%${way}`],
        );
        return rows[0]?.wal_status;
      };
      expect(await status()).toMatch(/reserved|extended/);
      await waitUntil(
        async () => {
          for (let segment = 0; segment <= KEPT_SEGMENTS + 1; segment += 1) {
            await other.query(
              "SELECT pg_logical_emit_message(false, 'filler', 'x'), pg_switch_wal()",
            );
          }
          await other.query('CHECKPOINT');
          // Whoever finds it lost takes it off.
          return ['lost', undefined].includes(await status());
        },
        { what: 'the server to throw the slot away', everyMs: 1 },
      );
    });
    await client.query('ROLLBACK');
  });
}

describe('a move whose slot is lost while it keeps up', () => {
  test.each([
    ['dropped', () => waitUntil(() => dropSlot(owner, 'forward'), { what: 'the slot to go' })],
    ['invalidated', () => invalidateSlot(owner, destination, 'forward')],
  ])('is copied afresh and comes to its end with every row (%s)', async (_, lose) => {
    await using rebalancer = await open();
    const { work, id } = await beginHeld(rebalancer);
    // It looks away meanwhile; else it might see in time that the slot is about to go, and give itself up.
    await rebalancer.steer(id, { isPaused: true });
    await waitUntil(async () => (await rebalancer.move(id))?.waitingFor?.includes('paused'), {
      what: 'the move to stand still',
    });
    const before = await subscription();
    await lose();
    await someCalls();
    await rebalancer.steer(id, { isPaused: false, isCutOverHeld: false });
    await waitUntil(
      async () => {
        const now = await subscription();
        return now !== before && now;
      },
      { what: 'the copy to begin anew' },
    );
    expect((await work).moves, await eventsOf(id)).toMatchObject([
      { id, state: 'done', lastError: expect.stringContaining('MOVE_STREAM_LOST') },
    ]);
    await busy.judge();
  });
});

describe('a move whose slot is lost while callers are held back for its switch', () => {
  test('lets them go, is copied afresh, and is switched later', async () => {
    let isDropped = false;
    await using rebalancer = await openRebalancer(
      busy.world.rebalancerOptions({ pauseTimeout: '1s' }),
      {
        failpoint: async (at) => {
          if (isDropped || at !== 'before fence on source') return;
          isDropped = true;
          await waitUntil(() => dropSlot(owner, 'forward'), { what: 'the slot to go' });
        },
      },
    );
    const report = await rebalancer.apply(await planOf(rebalancer));
    const [move] = report.moves;
    expect(move).toMatchObject({
      state: 'done',
      lastError: expect.stringContaining('MOVE_STREAM_LOST'),
    });
    expect(await eventsOf(move?.id as string)).toContain('withdrawing');
    expect(isDropped).toBe(true);
    await busy.judge();
  });
});

describe('a move whose way back is lost after its switch', () => {
  test('is not rolled back, says so, holds nobody up, and can be finished', async () => {
    await using rebalancer = await open({ rollbackWindow: '1h' });
    const report = await rebalancer.apply(await planOf(rebalancer), { leaveOpen: true });
    const id = report.moves[0]?.id as string;
    await invalidateSlot(destination, owner, 'reverse');
    await someCalls();
    await expect(rebalancer.rollback(id)).rejects.toMatchObject({ code: 'MOVE_ROLLBACK_LOST' });
    expect(await eventsOf(id)).not.toContain('rollback');
    expect(await rebalancer.move(id)).toMatchObject({
      state: 'reversing',
      lastError: expect.stringContaining('no longer be rolled back'),
    });
    expect(await rebalancer.finish(id)).toMatchObject({ state: 'done' });
    await busy.judge();
  });
});
