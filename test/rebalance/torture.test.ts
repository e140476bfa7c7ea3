import { describe, test } from 'vitest';
import { randomOf } from '../random.js';
import { coverageOf, expectGreen, type Least, STATES, seed } from './torture-checks.js';
import { type Round, type TortureOptions, torture } from './torture-run.js';
import type { TortureWorld } from './torture-world.js';

/** P1, P2 and P7 under everything at once, for as long as CI has time; `torture-long.test.ts` goes on. */
const random = randomOf(seed);
const one = <T>(list: readonly T[]) => list[Math.floor(random() * list.length)] as T;

/** What must have been met may be missed by a hair on a slow machine; then the rounds are gone through once more. */
const MOST_ROUNDS = 8;

/** Goes through the rounds in turns, at least once, until everything was seen that is to be. */
function roundsUntil(
  least: Least,
  rounds: readonly ((world: TortureWorld) => Round | Promise<Round>)[],
): TortureOptions['nextRound'] {
  return async (number, world, seenSoFar) => {
    const isThrough = number > 0 && number % rounds.length === 0;
    if (isThrough && coverageOf(await seenSoFar(), least).valid) return undefined;
    return number < MOST_ROUNDS ? rounds[number % rounds.length]?.(world) : undefined;
  };
}

describe('moves under torture', { timeout: 600_000 }, () => {
  test('a shard joins and leaves again, with everything going wrong that may', async () => {
    const least: Least = {
      leastByState: 1,
      sqlstates: { SL001: 1 },
      outcomes: { info: 1 },
      events: { held: 1, unleased: 1, thawed: 1, 'mover-killed': 1 },
      kinds: { insert: 10, update: 100, delete: 5, read: 100, scatter: 10 },
    };
    const joins = (): Round => ({
      changes: [{ kind: 'add', shard: 'b' }],
      killMoverAt: [one(STATES), one(STATES)],
      faults: {
        copying: [{ kind: 'ddl', shards: random() < 0.5 ? ['a', 'b'] : ['b', 'a'] }],
        catching_up: [
          { kind: 'freeze-router' },
          { kind: 'long-transaction', shard: 'a' },
          { kind: 'prepared-transaction', shard: 'a' },
        ],
      },
    });
    const leaves = (): Round => ({
      changes: [{ kind: 'remove', shard: 'b' }],
      killMoverAt: [one(STATES)],
      faults: { catching_up: [{ kind: 'kill-server', server: one(['a', 'b']) }] },
    });
    const outcome = await torture({
      seed,
      shards: ['a', 'b'],
      owning: ['a'],
      workers: 2,
      callers: 3,
      nextRound: roundsUntil(least, [joins, leaves]),
    });
    expectGreen(outcome, least);
  });

  test('two pairs of shards exchange slots side by side, behind PgBouncer, on PostgreSQL 15', async () => {
    const least: Least = {
      leastByState: 1,
      outcomes: { info: 1 },
      events: {
        held: 1,
        unleased: 1,
        thawed: 1,
        'mover-killed': 1,
        'server-killed': 2,
        'rival-refused': 1,
      },
      kinds: { insert: 10, update: 100, delete: 5, read: 100, scatter: 10 },
    };
    const move = async ({ slotsOf }: TortureWorld, source: string, destination: string) => ({
      kind: 'move-slots' as const,
      keyspace: 'torture',
      slots: (await slotsOf(source)).slice(-2),
      destination,
    });
    const there = async (world: TortureWorld): Promise<Round> => ({
      changes: [await move(world, 'a', 'b'), await move(world, 'c', 'd')],
      killMoverAt: [one(STATES), one(STATES)],
      faults: {
        copying: [{ kind: 'rival', change: await move(world, 'd', 'a') }],
        catching_up: [{ kind: 'freeze-router' }, { kind: 'long-transaction', shard: 'a' }],
      },
    });
    const back = async (world: TortureWorld): Promise<Round> => {
      const killMoverAt = [one(STATES)];
      const catalogDiesIn = one(STATES);
      const killCatalog = { kind: 'kill-server', server: 'catalog' } as const;
      const killShard = { kind: 'kill-server', server: one(['a', 'b', 'c', 'd']) } as const;
      return {
        changes: [await move(world, 'b', 'a'), await move(world, 'd', 'c')],
        killMoverAt,
        // Both may come in the same state.
        faults:
          catalogDiesIn === 'catching_up'
            ? { catching_up: [killCatalog, killShard] }
            : { [catalogDiesIn]: [killCatalog], catching_up: [killShard] },
      };
    };
    const outcome = await torture({
      seed,
      version: 15,
      pooled: true,
      shards: ['a', 'b', 'c', 'd'],
      owning: ['a', 'b', 'c', 'd'],
      workers: 2,
      callers: 3,
      nextRound: roundsUntil(least, [there, back]),
    });
    expectGreen(outcome, least);
  });
});
