import type { ShardlineError } from '@shardline/core';
import { type PostgresServer, waitUntil } from '@shardline/testkit';
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import type { Router } from '../router.js';
import { openRebalancer } from './open-rebalancer.js';
import type { MoveLimits } from './rebalancer-options.js';
import { type BusyWorld, PEOPLE, startBusyWorld, type Traffic } from './testing-traffic.js';
import type { TestingWorld } from './testing-world.js';

// Whole moves with traffic: seconds on an idle machine, minutes on one that others use too.
vi.setConfig({ testTimeout: 300_000 });

/** What stands in the way of a switch, and what operators say while a move runs. */
let busy: BusyWorld;
let world: TestingWorld;
let router: Router;
let traffic: Traffic;
/** Whose row is kept locked where something is to stand in the way. */
let locked: number;

beforeAll(async () => {
  busy = await startBusyWorld('switch');
  ({ world, router, traffic } = busy);
  const { keyspace } = router.topology.keyspace('users');
  const people = Array.from({ length: PEOPLE }, (_, id) => id);
  locked = people.find((id) => SLOTS.includes(keyspace.slotOf(id))) as number;
  // Whoever waited for the row for longer than `terminateAfter` would be ended with its holder.
  traffic.leftAlone.add(locked);
});
afterAll(() => busy?.stop());

const SLOTS = [0, 1, 2, 3];
let owner: 'a' | 'b';
let destination: 'a' | 'b';
beforeEach(async () => {
  await router.refresh();
  owner = router.topology.keyspace('users').ownerOf(0) as 'a' | 'b';
  destination = owner === 'a' ? 'b' : 'a';
});

const open = (limits?: MoveLimits) => openRebalancer(world.rebalancerOptions(limits));
const planOf = (rebalancer: Awaited<ReturnType<typeof open>>) =>
  rebalancer.plan({ kind: 'move-slots', keyspace: 'users', slots: SLOTS, destination });

/** A move that keeps up and is held before its switch, with a transaction in the way that may be ended. */
async function beginBlocked(rebalancer: Awaited<ReturnType<typeof open>>) {
  const work = rebalancer.apply(await planOf(rebalancer), { holdCutOver: true });
  const id = await waitFor(rebalancer, ({ state }) => state === 'catching_up');
  return { work, id, blocker: await holdTable() };
}
/** Longer than a call of the traffic takes on a slow machine, since what is in the way is sent away whoever began it. */
const TERMINATING = {
  lockTimeout: '50ms',
  longTransactions: 'terminate',
  terminateAfter: '3s',
  pauseTimeout: '30s',
} as const satisfies MoveLimits;

/** A transaction that keeps the table of the source from being locked, until it is ended. */
async function holdTable() {
  const key = locked;
  let end = () => {};
  const ended = new Promise<void>((resolve) => {
    end = resolve;
  });
  let held: Promise<unknown> = Promise.resolve();
  await new Promise<void>((begun, failed) => {
    held = (world.servers[owner] as PostgresServer).withClient(async (client) => {
      await client.query('BEGIN');
      await client.query('UPDATE users SET name = name WHERE id = $1', [key]);
      begun();
      await ended;
      await client.query('COMMIT');
    });
    held.catch(failed);
  });
  return { key, end, held };
}

describe('a switch', () => {
  test('that cannot be made in time lets the callers go, and is made later', async () => {
    await using rebalancer = await open({ pauseTimeout: '3s', lockTimeout: '50ms' });
    const plan = await planOf(rebalancer);
    const work = rebalancer.apply(plan, { holdCutOver: true });
    const id = await waitFor(rebalancer, ({ state }) => state === 'catching_up');
    await waitUntil(async () => (await rebalancer.move(id))?.waitingFor?.includes('release'), {
      what: 'the move to be ready and held before its switch',
    });
    const blocker = await holdTable();
    await rebalancer.steer(id, { isCutOverHeld: false });
    await waitUntil(async () => (await rebalancer.move(id))?.lastError?.includes('let go'), {
      what: 'the switch to be withdrawn',
    });
    const before = traffic.calls;
    await waitUntil(() => traffic.calls > before + 20, { what: 'traffic to go on' });
    blocker.end();
    await blocker.held;
    expect((await work).moves).toMatchObject([{ state: 'done' }]);
    const states = await statesOf(id);
    expect(states).toContain('withdrawing');
    await traffic.judge();
  });

  test('ends a transaction that is in its way for too long, if it may', async () => {
    await using rebalancer = await open(TERMINATING);
    const { work, id, blocker } = await beginBlocked(rebalancer);
    await rebalancer.steer(id, { isCutOverHeld: false });
    expect((await work).moves).toMatchObject([{ state: 'done' }]);
    blocker.end();
    await expect(blocker.held).rejects.toThrow();
    await traffic.judge();
  });

  test('ends a transaction that keeps a router from acknowledging, if it may', async () => {
    await using rebalancer = await open(TERMINATING);
    const { work, id, blocker } = await beginBlocked(rebalancer);
    // In flight, and waiting for the row: until it ends, its router has something to drain.
    const waiting = router
      .query(blocker.key, 'UPDATE users SET name = name WHERE id = $1', [blocker.key])
      .then(
        () => 'answered',
        ({ code }: ShardlineError) => code,
      );
    await rebalancer.steer(id, { isCutOverHeld: false });
    expect((await work).moves).toMatchObject([{ state: 'done' }]);
    expect(await statesOf(id)).not.toContain('withdrawing');
    blocker.end();
    await expect(blocker.held).rejects.toThrow();
    // It has waited for as long as the blocker, so it may be sent away with it.
    expect(['answered', 'POOL_OUTCOME_UNKNOWN']).toContain(await waiting);
    await traffic.judge();
  });
});

describe('an operator', () => {
  test('can hold a move back, pause it and give it up while another process runs it', async () => {
    await using runner = await open();
    await using operator = await open();
    const plan = await planOf(runner);
    const work = runner.apply(plan, { holdCutOver: true });
    const id = await waitFor(operator, ({ state }) => state === 'catching_up');
    await operator.steer(id, { isPaused: true });
    expect((await operator.status()).active).toMatchObject([
      { id, state: 'catching_up', steering: { isPaused: true, isCutOverHeld: true } },
    ]);
    // A paused move can be given up, too.
    expect(await operator.abort(id)).toMatchObject({ state: 'aborted' });
    expect((await work).moves).toMatchObject([{ state: 'aborted' }]);
    await runner.close();
    await operator.close();
    await busy.judge();
  });

  test('cannot begin a second plan on shards that are busy, nor one that is stale or edited', async () => {
    await using rebalancer = await open({ rollbackWindow: '1h' });
    const plan = await planOf(rebalancer);
    const stale = await rebalancer.plan({ kind: 'reweight', weights: { a: 1, b: 3 } });
    await expect(rebalancer.apply({ ...plan, removeShards: ['a'] })).rejects.toMatchObject({
      code: 'PLAN_INVALID',
    });
    const report = await rebalancer.apply(plan, { leaveOpen: true });
    const id = report.moves[0]?.id as string;
    expect(report.moves).toMatchObject([{ state: 'reversing' }]);
    await expect(rebalancer.apply(stale)).rejects.toMatchObject({ code: 'PLAN_STALE' });
    const second = await rebalancer.plan({ kind: 'reweight', weights: { a: 1, b: 3 } });
    await expect(rebalancer.apply(second)).rejects.toMatchObject({ code: 'SHARD_BUSY' });
    await expect(rebalancer.abort(id)).rejects.toMatchObject({ code: 'MOVE_STATE' });
    expect(await rebalancer.rollback('last')).toMatchObject({ id, state: 'rolled_back' });
    await traffic.judge();
  });
});

async function waitFor(
  rebalancer: Awaited<ReturnType<typeof open>>,
  condition: (move: { readonly state: string }) => boolean,
): Promise<string> {
  return waitUntil(
    async () => {
      const { active } = await rebalancer.status();
      return active.find(condition)?.id;
    },
    { what: 'the move to come so far' },
  );
}

async function statesOf(id: string): Promise<string[]> {
  const { rows } = await world.catalog.query<{ state: string }>(
    'SELECT state FROM shardline.move_event WHERE move = $1 ORDER BY id',
    [id],
  );
  return rows.map(({ state }) => state);
}
