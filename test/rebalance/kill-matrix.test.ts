/**
 * A mover killed by SIGKILL before and after every change of the journal. Another one takes the move up, or gives it up,
 * and then nothing is lost, misplaced or left.
 */

import { spawn } from 'node:child_process';
import { rm } from 'node:fs/promises';
import { openRebalancer, type PlacementChange } from '@shardline/shard-router/rebalance';
import { checkInventory, type Inventory } from '@shardline/testkit/check';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { bundle } from '../bundle.js';
import type { KillOrder } from './kill-main.js';
import { isLong } from './torture-checks.js';
import { startTortureWorld, type TortureWorld } from './torture-world.js';

// A process, a move and another process for each cell.
vi.setConfig({ testTimeout: 300_000 });

/** The changes of state that a way meets, in order. A state that is added to the machine must be added here. */
const WAYS = {
  forward:
    'preflight prepared copying catching_up fencing drained committed reversing cleaning done',
  back: 'rollback_fencing rollback_drained rollback_committed rollback_cleaning rolled_back',
} as const;
/** States that only a move is in which was given up; their cells are the aborts below and in the package's own tests. */
const GIVEN_UP = 'planned withdrawing aborting aborted rollback_withdrawing';

/** Before the row of a change all that led to it stands, and the journal does not know; after it nothing follows yet. */
const MOMENTS = ['before', 'after'] as const;

interface Cell {
  readonly killAt: string;
  readonly rollsBack: boolean;
  readonly next: 'resume' | 'abort';
}

const STATES_BEFORE_SWITCH = WAYS.forward
  .split(' ')
  .slice(0, WAYS.forward.split(' ').indexOf('committed'));
const CELLS: readonly Cell[] = [
  ...cellsOf(WAYS.forward.split(' '), { next: 'resume', rollsBack: false }),
  ...cellsOf(STATES_BEFORE_SWITCH, { next: 'abort', rollsBack: false }),
  ...cellsOf(WAYS.back.split(' '), { next: 'resume', rollsBack: true }),
].filter(isForThisRun);

function cellsOf(states: readonly string[], cell: Omit<Cell, 'killAt'>): Cell[] {
  return states.flatMap((state) =>
    MOMENTS.map((moment) => ({ ...cell, killAt: `${moment} ${state}` })),
  );
}

/**
 * On every push the package's own tests let a mover die at every cell, within their process. A process is killed there at
 * the cells of a switch, and where the servers have most in hand; the long run kills it at each of them.
 */
function isForThisRun({ killAt, next, rollsBack }: Cell): boolean {
  if (isLong) return true;
  if (next === 'abort') return ['after copying', 'after fencing'].includes(killAt);
  if (rollsBack) return ['after rollback_fencing', 'after rollback_committed'].includes(killAt);
  return [
    'after copying',
    'after fencing',
    'before drained',
    'before committed',
    'after committed',
    'before reversing',
    'after cleaning',
  ].includes(killAt);
}

let world: TortureWorld;
let program: string;
let before: Inventory;
let rows: string;
beforeAll(async () => {
  [world, program] = await Promise.all([
    startTortureWorld({ shards: ['a', 'b'], owning: ['a'] }),
    bundle(new URL('kill-main.ts', import.meta.url)),
  ]);
  await using rebalancer = await openRebalancer(world.rebalancerOptions);
  await rebalancer.apply(await rebalancer.plan({ kind: 'add', shard: 'b' }));
  await rebalancer.close();
  before = await world.inventory();
  rows = await contents();
});
afterAll(async () => {
  await world?.stop();
  if (program !== undefined) await rm(program, { force: true });
});

/** Keys and values of all shards together, without regard to where they are. */
async function contents(): Promise<string> {
  const all = await Promise.all(
    Object.values(world.shards).map(async (shard) => {
      const answer = await shard.query<{ row: string }>(
        "SELECT key || ' ' || version || ' ' || coalesce(value, '') AS row FROM register",
      );
      return answer.rows.map(({ row }) => row);
    }),
  );
  return all.flat().sort().join('\n');
}

/** Slots go to whichever of the two shards does not have them. */
async function nextChange(): Promise<PlacementChange> {
  const { rows: found } = await world.catalog.query<{ shard: string }>(
    "SELECT shard FROM shardline.slot WHERE keyspace = 'torture' AND slot = 0",
  );
  const destination = found[0]?.shard === 'a' ? 'b' : 'a';
  return { kind: 'move-slots', keyspace: 'torture', slots: [0], destination };
}

async function runUntilKilled(order: KillOrder): Promise<void> {
  const child = spawn(process.execPath, [program, JSON.stringify(order)], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let errors = '';
  child.stderr.on('data', (chunk) => {
    errors += String(chunk);
  });
  const end = await new Promise((resolve) =>
    child.once('exit', (code, signal) => resolve(signal ?? code)),
  );
  expect([end, errors]).toEqual(['SIGKILL', '']);
}

test('every state of a move is a row of the matrix', async () => {
  const { rows: found } = await world.catalog.query<{ state: string }>(
    "SELECT DISTINCT state FROM shardline.move_event WHERE kind = 'state'",
  );
  const listed = new Set([...`${WAYS.forward} ${WAYS.back} ${GIVEN_UP}`.split(' ')]);
  expect(found.map(({ state }) => state).filter((state) => !listed.has(state))).toEqual([]);
  expect(found.map(({ state }) => state).sort()).toEqual(WAYS.forward.split(' ').sort());
});

describe.each(CELLS)('a mover killed $killAt, then $next', ({ killAt, rollsBack, next }) => {
  test('ends, and nothing is lost or left', async () => {
    // Whoever comes next waits for the end of the dead one's lease: cell by cell it adds up.
    const options = { ...world.rebalancerOptions, lease: '500ms' } as const;
    await runUntilKilled({ options, change: await nextChange(), killAt, rollsBack });
    await using rebalancer = await openRebalancer(options);
    const move = (await rebalancer.move('last'))?.id as string;
    if (next === 'abort') {
      expect(await rebalancer.abort(move)).toMatchObject({ state: 'aborted' });
    } else {
      await rebalancer.resume();
      expect(await rebalancer.move(move)).toMatchObject({
        state: rollsBack ? 'rolled_back' : 'done',
      });
    }
    expect((await rebalancer.verify()).foreignRows).toEqual([]);
    expect((await rebalancer.status()).shards.every(({ isRecordCurrent }) => isRecordCurrent)).toBe(
      true,
    );
    await rebalancer.close();
    expect(await contents()).toBe(rows);
    expect(checkInventory(before, await world.inventory()).violations).toEqual([]);
  });
});
