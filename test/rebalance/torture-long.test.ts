import { describe, expect, test } from 'vitest';
import { bundle, type PlantedBug } from '../bundle.js';
import { randomOf } from '../random.js';
import { expectGreen, isLong, STATES, seed, violationsOf } from './torture-checks.js';
import { type Round, torture } from './torture-run.js';

/** What is planted, the faults that bring it to light, and the rules by which the judges tell. */
const PLANTED: [string, PlantedBug | undefined, Round['faults'], RegExp][] = [
  [
    'a fence that waits for nobody',
    {
      file: 'rebalance/steps/fence.ts',
      replace: '    lockStatement(keyspace),\n',
      by: '',
    },
    {
      catching_up: Array.from({ length: 8 }, () => ({
        kind: 'long-transaction' as const,
        shard: 'a',
        holdMs: 5000,
        isAlone: true,
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

// The long run is made seldom: a plant whose place has been rewritten is to be noticed when that is done.
test.each(PLANTED.filter(([, bug]) => bug !== undefined))(
  '%s has a place to be planted',
  async (_, bug) => {
    await bundle(new URL('torture-mover-main.ts', import.meta.url), bug);
  },
);

describe.runIf(isLong)('bugs that are planted are found by the judges', () => {
  test.each(PLANTED)('%s', { timeout: 300_000 }, async (_, bug, faults, rules) => {
    const round: Round = { changes: [{ kind: 'add', shard: 'b' }], killMoverAt: [], faults };
    const { verdicts } = await torture({
      seed,
      shards: ['a', 'b'],
      owning: ['a'],
      workers: 2,
      callers: 2,
      ...(bug === undefined ? {} : { bug }),
      nextRound: (number) => (number === 0 ? round : undefined),
    });
    expect(violationsOf(verdicts).join('\n'), `seed ${seed}`).toMatch(rules);
  });
});

describe.runIf(isLong)('moves under long torture', () => {
  const minutes = Number(process.env['SHARDLINE_TORTURE_MINUTES'] ?? 10) / 2;

  test.each([
    { version: 18, pooled: false, by: 'directly' },
    { version: 15, pooled: true, by: 'by PgBouncer' },
  ])(
    `shards join, leave and change weights for ${minutes} minutes, reached $by, on $version`,
    {
      timeout: (minutes + 10) * 60_000,
    },
    async ({ version, pooled }) => {
      const random = randomOf(seed);
      const end = performance.now() + minutes * 60_000;
      const members = new Set(['a']);
      const outcome = await torture({
        seed,
        version,
        pooled,
        shards: ['a', 'b', 'c'],
        owning: ['a'],
        workers: 4,
        callers: 4,
        nextRound: () => (performance.now() > end ? undefined : longRound(random, members)),
      });
      expectGreen(outcome, {
        // A state may last for milliseconds; what is in flight then counts, at each of a few moves a minute.
        leastByState: Math.ceil(10 * minutes),
        sqlstates: { SL001: 1 },
        outcomes: { info: 1 },
        events: { held: 1, unleased: 1, thawed: 1, 'mover-killed': 1, 'server-killed': 1 },
      });
    },
  );
});

/** A random change of the placement with random faults, and the members as they will be after it. */
function longRound(random: () => number, members: Set<string>): Round {
  const one = <T>(list: readonly T[]) => list[Math.floor(random() * list.length)] as T;
  const outside = ['b', 'c'].filter((shard) => !members.has(shard));
  const leaving = [...members].filter((shard) => shard !== 'a');
  const choice = random();
  let change: Round['changes'][number];
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
  const faults: Record<string, Round['faults'][string]> = {
    copying: [{ kind: 'ddl', shards: random() < 0.5 ? ['a', 'b', 'c'] : ['c', 'b', 'a'] }],
    catching_up: [
      { kind: 'freeze-router' },
      { kind: 'long-transaction', shard: one([...members, 'a']) },
      { kind: 'prepared-transaction', shard: 'a' },
    ],
  };
  // At any state, whoever is needed just then: source, destination, catalog.
  for (const server of [one(['a', 'b', 'c']), 'catalog']) {
    if (random() < 0.5) continue;
    const state = one(STATES);
    faults[state] = [...(faults[state] ?? []), { kind: 'kill-server', server }];
  }
  return { changes: [change], killMoverAt: [one(STATES), one(STATES), one(STATES)], faults };
}
