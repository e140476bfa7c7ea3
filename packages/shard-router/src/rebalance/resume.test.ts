import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { isHeldIn, MOVE_STATES, type MoveState, mayAbort } from './move-state.js';
import { openRebalancer } from './open-rebalancer.js';
import { type BusyWorld, startBusyWorld } from './testing-traffic.js';

// Whole moves with traffic: seconds on an idle machine, minutes on one that others use too.
vi.setConfig({ testTimeout: 300_000 });

/**
 * A mover that dies before and after every change of the journal, under traffic; another one takes the move up, or
 * gives it up. Every cell is made from the list of states, so none can be forgotten.
 */
const FORWARD = [
  'preflight',
  'prepared',
  'copying',
  'catching_up',
  'fencing',
  'drained',
  'committed',
  'reversing',
  'cleaning',
  'done',
] as const satisfies readonly MoveState[];
const BACKWARD = [
  'rollback_fencing',
  'rollback_drained',
  'rollback_committed',
  'rollback_cleaning',
  'rolled_back',
] as const satisfies readonly MoveState[];
const GIVEN_UP = ['aborting', 'aborted', 'withdrawing'] as const satisfies readonly MoveState[];

class Died extends Error {}

let busy: BusyWorld;
beforeAll(async () => {
  busy = await startBusyWorld('resume');
});
afterAll(() => busy?.stop());

const open = (failAt?: string) =>
  openRebalancer(
    busy.world.rebalancerOptions({ rollbackWindow: '1h' }),
    failAt === undefined
      ? {}
      : {
          failpoint: (at) => {
            if (at === failAt) throw new Died(at);
          },
        },
  );

/** Slots 0 to 3 go to whichever shard does not have them. */
async function nextPlan(rebalancer: Awaited<ReturnType<typeof open>>) {
  await busy.router.refresh();
  const owner = busy.router.topology.keyspace('users').ownerOf(0);
  const destination = owner === 'a' ? 'b' : 'a';
  const change = {
    kind: 'move-slots',
    keyspace: 'users',
    slots: [0, 1, 2, 3],
    destination,
  } as const;
  return { plan: await rebalancer.plan(change), destination, owner };
}

async function dieAt(point: string, then?: 'rollback' | 'abort'): Promise<string> {
  await using rebalancer = await open(point);
  const { plan } = await nextPlan(rebalancer);
  const work = async () => {
    const report = await rebalancer.apply(plan, { leaveOpen: true });
    const id = report.moves[0]?.id as string;
    if (then === 'rollback') await rebalancer.rollback(id);
    else await rebalancer.finish(id);
  };
  await expect(work()).rejects.toBeInstanceOf(Died);
  return (await rebalancer.move('last'))?.id as string;
}

test('every state is met by one of these tests', () => {
  const met = new Set<string>([
    ...FORWARD,
    ...BACKWARD,
    ...GIVEN_UP,
    'planned',
    'rollback_withdrawing',
  ]);
  expect(MOVE_STATES.filter((state) => !met.has(state))).toEqual([]);
});

describe.each(FORWARD.flatMap((state) => [`before ${state}`, `after ${state}`]))(
  'a mover that died %s',
  (point) => {
    test('is taken over, and the move comes to its end', async () => {
      const id = await dieAt(point);
      await using other = await open();
      await other.resume({ leaveOpen: true });
      const state = (await other.move(id))?.state;
      if (state !== 'done') await other.finish(id);
      expect(await other.move(id)).toMatchObject({ state: 'done' });
      await busy.judge();
    });
  },
);

test('what a mover left at its end is tidied by another one, however long that takes', async () => {
  const id = await dieAt('after done');
  const failpoint = async (at: string) => {
    // Whoever has a lease would have renewed it twice by then.
    if (at === 'before tidy') await new Promise((resolve) => setTimeout(resolve, 400));
  };
  const options = { ...busy.world.rebalancerOptions(), lease: '500ms' } as const;
  await using other = await openRebalancer(options, { failpoint });
  await other.resume({ leaveOpen: true });
  const untidied = 'SELECT id FROM shardline.move WHERE id = $1 AND tidied_at IS NULL';
  expect((await busy.world.catalog.query(untidied, [id])).rows).toEqual([]);
  await busy.judge();
});

describe.each(FORWARD.filter((state) => mayAbort(state)))('a move that died in %s', (state) => {
  test('is aborted by another one, and nothing of it is left', async () => {
    const id = await dieAt(`after ${state}`);
    await using other = await open();
    expect(await other.abort(id)).toMatchObject({ state: 'aborted' });
    const history = await busy.world.catalog.query<{ state: string }>(
      "SELECT state FROM shardline.move_event WHERE move = $1 AND kind = 'state' ORDER BY id",
      [id],
    );
    expect(history.rows.some((row) => row.state === 'withdrawing')).toBe(isHeldIn(state));
    await busy.judge();
  });
});

describe.each(BACKWARD.flatMap((state) => [`before ${state}`, `after ${state}`]))(
  'a rollback whose mover died %s',
  (point) => {
    test('is taken over and ends where it began', async () => {
      const id = await dieAt(point, 'rollback');
      await using other = await open();
      await other.resume();
      expect(await other.move(id)).toMatchObject({ state: 'rolled_back' });
      await busy.judge();
    });
  },
);
