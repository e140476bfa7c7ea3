/** Writers and readers that go on while a test moves slots, and what they know to be true. */

import type { PostgresSettings } from '@shardline/testkit';
import { checkInventory, type Inventory } from '@shardline/testkit/check';
import { expect } from 'vitest';
import type { Router } from '../router.js';
import { startWorld, type TestingWorld } from './testing-world.js';

/** Rows of the fixed population. */
export const PEOPLE = 400;

/** Traffic that can be ended and judged. */
export interface Traffic {
  readonly failures: readonly unknown[];
  /** Calls that were answered. */
  readonly calls: number;
  /** People whom no writer touches: a test that keeps a row locked must not keep the traffic waiting for it. */
  readonly leftAlone: Set<number>;
  /** Compares what is on the shards with what was acknowledged. Writing pauses meanwhile. */
  judge(): Promise<void>;
  stop(): Promise<void>;
}

/** Two shards that both own slots, with people and traffic, for one file of tests. */
export interface BusyWorld {
  readonly world: TestingWorld;
  readonly router: Router;
  readonly traffic: Traffic;
  /** What stood on the servers before the first move. */
  readonly before: Inventory;
  /** Judges the rows, and that no move has left anything. */
  judge(): Promise<void>;
  stop(): Promise<void>;
}

export async function startBusyWorld(
  name: string,
  settings: PostgresSettings = {},
): Promise<BusyWorld> {
  const world = await startWorld({ name, shards: ['a', 'b'], owning: ['a', 'b'], settings });
  const router = await world.router();
  await populate(router);
  const before = await world.inventory();
  const traffic = startTraffic(world, router);
  return {
    world,
    router,
    traffic,
    before,
    judge: async () => {
      await traffic.judge();
      expect(checkInventory(before, await world.inventory()).violations).toEqual([]);
    },
    stop: async () => {
      await traffic.stop();
      await router.close();
      await world.stop();
    },
  };
}

/** The mover shares the machine with the traffic, and is what is being tested. */
function breathe(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 2));
}

export async function populate(router: Router): Promise<void> {
  const rows = Array.from({ length: PEOPLE }, (_, id) => ({ id, name: `user ${id}` }));
  await router.insertMany('users', rows);
}

/** Begins to update, read and count. */
export function startTraffic(world: TestingWorld, router: Router, writers = 2): Traffic {
  const acknowledged = new Map<number, number>();
  const failures: unknown[] = [];
  const leftAlone = new Set<number>();
  let isOver = false;
  let isPaused = false;
  let paused = 0;
  let calls = 0;
  const work = async (call: (at: number) => Promise<void>) => {
    for (let at = 0; !isOver; at += 1) {
      if (isPaused) {
        paused += 1;
        while (isPaused) await breathe();
        paused -= 1;
      }
      try {
        await call(at);
        calls += 1;
      } catch (error) {
        failures.push(error);
      }
      await breathe();
    }
  };
  const loops = [
    ...Array.from({ length: writers }, (_, writer) =>
      work(async (at) => {
        const id = (writer + writers * at) % PEOPLE;
        if (leftAlone.has(id)) return;
        const { rows } = await router.query<{ version: string }>(
          id,
          'UPDATE users SET version = version + 1 WHERE id = $1 RETURNING version',
          [id],
        );
        acknowledged.set(id, Number(rows[0]?.version));
      }),
    ),
    work(async (at) => {
      const id = (at * 7) % PEOPLE;
      const floor = acknowledged.get(id) ?? 1;
      const { rows } = await router.query<{ version: string }>(
        id,
        'SELECT version FROM users WHERE id = $1',
        [id],
      );
      if (Number(rows[0]?.version) < floor) {
        failures.push(new Error(`stale: ${id} is ${rows[0]?.version}, was ${floor}`));
      }
    }),
    work(async () => {
      const rows = await router.scatter<{ id: string }>('SELECT id FROM users').all();
      const ids = new Set(rows.map(({ id }) => id));
      if (rows.length !== PEOPLE || ids.size !== PEOPLE) {
        failures.push(new Error(`a scatter found ${rows.length} rows of ${ids.size} people`));
      }
    }),
  ];
  return {
    failures,
    leftAlone,
    get calls() {
      return calls;
    },
    judge: async () => {
      isPaused = true;
      try {
        await expect.poll(() => paused).toBe(loops.length);
        await judgeRows(world, router, acknowledged);
        expect(failures).toEqual([]);
      } finally {
        isPaused = false;
      }
    },
    stop: async () => {
      isOver = true;
      await Promise.all(loops);
    },
  };
}

async function judgeRows(
  world: TestingWorld,
  router: Router,
  acknowledged: ReadonlyMap<number, number>,
): Promise<void> {
  await router.refresh();
  const wrong: string[] = [];
  let found = 0;
  for (const shard of Object.keys(world.servers)) {
    for (const { id, version } of await world.rows(shard, 'users')) {
      found += 1;
      const owner = router.explain(id as string);
      if (owner.kind !== 'one' || owner.shard !== shard)
        wrong.push(`${id} is misplaced on ${shard}`);
      const last = acknowledged.get(Number(id)) ?? 1;
      if (Number(version) !== last) wrong.push(`${id} is ${version}, acknowledged was ${last}`);
    }
  }
  expect(wrong).toEqual([]);
  expect(found).toBe(PEOPLE);
}
