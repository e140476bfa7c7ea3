import { describe, expect, test } from 'vitest';
import { randomOf } from '../random.js';
import { expectGreen, STATES, seed } from './torture-checks.js';
import { type Round, torture } from './torture-run.js';

/** P1, P2 and P7 under everything at once, for as long as CI has time; `torture-long.test.ts` goes on. */
const random = randomOf(seed);
const one = <T>(list: readonly T[]) => list[Math.floor(random() * list.length)] as T;

describe('moves under torture', { timeout: 300_000 }, () => {
  test('a shard joins and leaves again, with everything going wrong that may', async () => {
    const rounds: Round[] = [
      {
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
      },
      {
        changes: [{ kind: 'remove', shard: 'b' }],
        killMoverAt: [one(STATES)],
        faults: { catching_up: [{ kind: 'kill-server', server: one(['a', 'b']) }] },
      },
    ];
    const outcome = await torture({
      seed,
      shards: ['a', 'b'],
      owning: ['a'],
      workers: 2,
      callers: 3,
      nextRound: (number) => rounds[number],
    });
    expect(outcome.rounds).toBe(2);
    expectGreen(outcome, {
      leastByState: 1,
      sqlstates: { SL001: 1 },
      outcomes: { info: 1 },
      events: { held: 1, unleased: 1, thawed: 1, 'mover-killed': 1 },
      kinds: { insert: 10, update: 100, delete: 5, read: 100, scatter: 10 },
    });
  });

  test('two pairs of shards exchange slots side by side, behind PgBouncer, on PostgreSQL 15', async () => {
    const outcome = await torture({
      seed,
      version: 15,
      pooled: true,
      shards: ['a', 'b', 'c', 'd'],
      owning: ['a', 'b', 'c', 'd'],
      workers: 2,
      callers: 3,
      nextRound: async (number, { slotsOf }): Promise<Round | undefined> => {
        const move = async (source: string, destination: string) => ({
          kind: 'move-slots' as const,
          keyspace: 'torture',
          slots: (await slotsOf(source)).slice(-2),
          destination,
        });
        if (number === 0) {
          return {
            changes: [await move('a', 'b'), await move('c', 'd')],
            killMoverAt: [one(STATES), one(STATES)],
            faults: {
              copying: [{ kind: 'rival', change: await move('d', 'a') }],
              catching_up: [{ kind: 'freeze-router' }, { kind: 'long-transaction', shard: 'a' }],
            },
          };
        }
        if (number > 1) return undefined;
        const killMoverAt = [one(STATES)];
        const catalogDiesIn = one(STATES);
        const killCatalog = { kind: 'kill-server', server: 'catalog' } as const;
        const killShard = { kind: 'kill-server', server: one(['a', 'b', 'c', 'd']) } as const;
        return {
          changes: [await move('b', 'a'), await move('d', 'c')],
          killMoverAt,
          // Both may come in the same state.
          faults:
            catalogDiesIn === 'catching_up'
              ? { catching_up: [killCatalog, killShard] }
              : { [catalogDiesIn]: [killCatalog], catching_up: [killShard] },
        };
      },
    });
    expect(outcome.rounds).toBe(2);
    expectGreen(outcome, {
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
    });
  });
});
