import { checkCoverage, conclude, type Verdict } from '@shardline/testkit/check';
import { describe, expect, test } from 'vitest';
import { randomOf } from './torture-plan.js';
import { type Round, type TortureOutcome, torture } from './torture-run.js';

/**
 * P1, P2 and P7 under everything at once. `SHARDLINE_TORTURE=1` runs long; `SHARDLINE_SEED` replays a run as far as
 * processes and servers allow.
 */
const seed = Number(process.env['SHARDLINE_SEED'] ?? Math.floor(Math.random() * 1e6));
const isLong = process.env['SHARDLINE_TORTURE'] === '1';

/** Where a mover may be killed: every state that the journal can be found in before the end. */
const KILLABLE = [
  'preflight',
  'prepared',
  'copying',
  'catching_up',
  'fencing',
  'drained',
  'committed',
  'reversing',
  'cleaning',
];

const violationsOf = (verdicts: Readonly<Record<string, Verdict>>) =>
  Object.entries(verdicts).flatMap(([promise, { violations }]) =>
    violations.slice(0, 5).map(({ rule, message }) => `${promise}: ${rule}: ${message}`),
  );

/** Red is told by its violations, void by what was not seen. */
function expectGreen(
  { history, verdicts, moverErrors }: TortureOutcome,
  least: Parameters<typeof checkCoverage>[1],
) {
  const context = `seed ${seed}; movers gave up at: ${moverErrors.join(' | ') || 'nothing'}`;
  expect(violationsOf(verdicts), context).toEqual([]);
  const coverage = checkCoverage(history, least);
  expect(coverage.violations, `void, not green; ${context}`).toEqual([]);
  expect(conclude(Object.values(verdicts), coverage)).toBe('green');
}

describe('moves under torture', () => {
  test('a shard joins and leaves again, with everything going wrong that may', {
    timeout: 300_000,
  }, async () => {
    const random = randomOf(seed);
    const pick = () => KILLABLE[Math.floor(random() * KILLABLE.length)] as string;
    const rounds: Round[] = [
      {
        change: { kind: 'add', shard: 'b' },
        killMoverAt: [pick(), pick()],
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
        change: { kind: 'remove', shard: 'b' },
        killMoverAt: [pick()],
        faults: { catching_up: [{ kind: 'kill-server', server: random() < 0.5 ? 'a' : 'b' }] },
      },
    ];
    const outcome = await torture({
      seed,
      shards: ['a', 'b'],
      workers: 2,
      callers: 3,
      nextRound: (number) => rounds[number],
    });
    expect(outcome.rounds).toBe(2);
    expectGreen(outcome, {
      states: { copying: 1, catching_up: 1, fencing: 1, cleaning: 1 },
      sqlstates: { SL001: 1 },
      outcomes: { info: 1 },
      events: { held: 1, unleased: 1, thawed: 1, 'mover-killed': 1 },
      kinds: { insert: 10, update: 100, delete: 5, read: 100, scatter: 10 },
    });
  });
});

describe.runIf(isLong)('bugs that are planted are found by the judges', () => {
  const planted: [string, Parameters<typeof torture>[0]['bug'], Round['faults'], RegExp][] = [
    [
      'a fence that waits for nobody',
      {
        file: 'rebalance/steps/fence.ts',
        replace: 'return statement === undefined ? [limit] : [limit, statement];',
        by: 'return statement === undefined ? [limit] : [limit];',
      },
      {
        catching_up: Array.from({ length: 4 }, () => ({
          kind: 'long-transaction' as const,
          shard: 'a',
          holdMs: 30_000,
        })),
      },
      /write-lost|row-outdated|write-half-present|stale/,
    ],
    [
      'a switch that does not wait for the barrier',
      {
        file: 'rebalance/next-step.ts',
        replace: "barrierSeen === journal.generation ? undefined : waitFor('barrier')",
        by: 'barrierSeen >= 0 ? undefined : waitFor("barrier")',
      },
      // The router that stands still keeps the fence waiting, while the foreign client goes on writing.
      { catching_up: [{ kind: 'freeze-router' }, { kind: 'stall-apply', shard: 'b' }] },
      /write-lost|row-outdated|row-lost/,
    ],
    [
      'a shard that forgets what it does not own',
      undefined,
      { catching_up: [{ kind: 'disable-guard', shard: 'a' }] },
      /write-misplaced|write-lost|row-misplaced|row-duplicated/,
    ],
  ];
  test.each(planted)('%s', { timeout: 300_000 }, async (_, bug, faults, rules) => {
    const round: Round = { change: { kind: 'add', shard: 'b' }, killMoverAt: [], faults };
    const { verdicts } = await torture({
      seed,
      shards: ['a', 'b'],
      workers: 2,
      callers: 2,
      ...(bug === undefined ? {} : { bug }),
      nextRound: (number) => (number === 0 ? round : undefined),
    });
    expect(violationsOf(verdicts).join('\n'), `seed ${seed}`).toMatch(rules);
  });
});

describe.runIf(isLong)('moves under long torture', () => {
  const minutes = Number(process.env['SHARDLINE_TORTURE_MINUTES'] ?? 10);

  test(`shards join, leave and change their weights for ${minutes} minutes`, {
    timeout: (minutes + 10) * 60_000,
  }, async () => {
    const random = randomOf(seed);
    const end = performance.now() + minutes * 60_000;
    const members = new Set(['a']);
    const outcome = await torture({
      seed,
      shards: ['a', 'b', 'c'],
      workers: 4,
      callers: 4,
      nextRound: () => (performance.now() > end ? undefined : longRound(random, members)),
    });
    expectGreen(outcome, {
      states: Object.fromEntries(
        ['copying', 'catching_up', 'fencing', 'reversing', 'cleaning'].map((state) => [state, 100]),
      ),
      sqlstates: { SL001: 1 },
      outcomes: { info: 1 },
      events: { held: 1, unleased: 1, thawed: 1, 'mover-killed': 1, 'server-killed': 1 },
    });
  });
});

/** A random change of the placement with random faults, and the members as they will be after it. */
function longRound(random: () => number, members: Set<string>): Round {
  const one = <T>(list: readonly T[]) => list[Math.floor(random() * list.length)] as T;
  const outside = ['b', 'c'].filter((shard) => !members.has(shard));
  const leaving = [...members].filter((shard) => shard !== 'a');
  const choice = random();
  let change: Round['change'];
  if (outside.length > 0 && (choice < 0.5 || leaving.length === 0)) {
    const shard = one(outside);
    members.add(shard);
    change = { kind: 'add', shard };
  } else if (choice < 0.75) {
    const shard = one(leaving);
    members.delete(shard);
    change = { kind: 'remove', shard };
  } else {
    const weights = Object.fromEntries(
      [...members].map((shard) => [shard, 1 + Math.floor(random() * 3)]),
    );
    change = { kind: 'reweight', weights };
  }
  return {
    change,
    killMoverAt: [one(KILLABLE), one(KILLABLE), one(KILLABLE)],
    faults: {
      copying: [{ kind: 'ddl', shards: random() < 0.5 ? ['a', 'b', 'c'] : ['c', 'b', 'a'] }],
      catching_up: [
        { kind: 'freeze-router' },
        { kind: 'long-transaction', shard: one([...members, 'a']) },
        { kind: 'prepared-transaction', shard: 'a' },
        ...(random() < 0.5
          ? [{ kind: 'kill-server' as const, server: one(['a', 'b', 'c', 'catalog']) }]
          : []),
      ],
    },
  };
}
