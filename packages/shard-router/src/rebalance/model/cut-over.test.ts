import { type Exploration, explore, formatTrace } from '@shardline/testkit';
import { afterAll, describe, expect, test } from 'vitest';
import { MOVE_STATES } from '../move-state.js';
import { type CutOverModel, cutOverModel } from './cut-over-model.js';
import { MUTANTS, rulesOf } from './mutants.js';
import { RULES } from './rules.js';
import type { CutOverBounds, CutOverState } from './state.js';

const isLong = process.env['SHARDLINE_TORTURE'] === '1';
const showsTraces = process.env['SHARDLINE_TRACES'] === '1';
const LONG_MS = 4 * 60 * 60_000;

const rows: string[] = [];
afterAll(() => console.error(rows.join('\n')));

function report(name: string, found: Exploration<CutOverState>): void {
  const { states, edges, depth, seconds, finding } = found;
  const counts = `${states} states, ${edges} edges, depth ${depth}, ${seconds.toFixed(1)} s`;
  const trace =
    finding === undefined ? '' : `: ${finding.reason} (${finding.trace.length - 1} steps)`;
  rows.push(`${name}: ${counts}${trace}`);
  if (finding !== undefined && showsTraces) rows.push(formatTrace(finding.trace));
}

const NOTHING: CutOverBounds = {
  routers: 1,
  writes: 0,
  reads: 0,
  foreignWrites: 0,
  moves: 1,
  zombies: 0,
};
const ALL_SORTS: CutOverBounds = { ...NOTHING, writes: 1, reads: 1, foreignWrites: 1 };

const EVERY_PUSH: readonly [string, CutOverBounds][] = [
  ['two routers, a write each, one move', { ...NOTHING, routers: 2, writes: 1 }],
  ['two routers, a read each, one move', { ...NOTHING, routers: 2, reads: 1 }],
  [
    'a write and a read, two moves, a command that outlives its mover',
    { ...ALL_SORTS, foreignWrites: 0, moves: 2, zombies: 1 },
  ],
  [
    'a foreign write, two moves, a command that outlives its mover',
    { ...NOTHING, foreignWrites: 1, moves: 2, zombies: 1 },
  ],
];

const WITHDRAWN: readonly [string, CutOverBounds][] = [
  [
    'a write, a read and a foreign write, one move whose switch may be withdrawn',
    { ...ALL_SORTS, canWithdraw: true },
  ],
  [
    'a foreign write, one move whose switch may be withdrawn, a slot is lost, a command that outlives its mover',
    { ...NOTHING, routers: 0, foreignWrites: 1, zombies: 1, canWithdraw: true, losses: 1 },
  ],
];

/** Where streams may overlap, as from PostgreSQL 16 on. */
const OVERLAPPING: readonly [string, CutOverBounds][] = [
  [
    'a foreign write, two moves, a command that outlives its mover',
    { ...NOTHING, routers: 0, foreignWrites: 1, moves: 2, zombies: 1, canWithdraw: true },
  ],
  [
    'a write, a read and a foreign write, one move whose switch may be withdrawn, a slot is lost',
    { ...ALL_SORTS, canWithdraw: true, losses: 1 },
  ],
  [
    'two foreign writes, one move whose switch may be withdrawn, a slot is lost, a command that outlives its mover',
    { ...NOTHING, routers: 0, foreignWrites: 2, zombies: 1, canWithdraw: true, losses: 1 },
  ],
];

const LONG_OVERLAPPING: readonly [string, CutOverBounds][] = [
  [
    'a write, a read and a foreign write, two moves whose switch may be withdrawn, a slot is lost',
    { ...ALL_SORTS, moves: 2, canWithdraw: true, losses: 1 },
  ],
];

/** Those of every push at once, and beyond: a minute each to hours. */
const LONG: readonly [string, CutOverBounds][] = [
  [
    'two routers, a write and a read each, one move',
    { ...ALL_SORTS, routers: 2, foreignWrites: 0 },
  ],
  [
    'a write, a read and a foreign write, two moves, a command that outlives its mover',
    { ...ALL_SORTS, moves: 2, zombies: 1 },
  ],
  [
    'two writes, two reads, two moves, a command that outlives its mover',
    { ...NOTHING, writes: 2, reads: 2, moves: 2, zombies: 1 },
  ],
  [
    'two routers, a write and a read each, one move, a command that outlives its mover',
    { ...NOTHING, routers: 2, writes: 1, reads: 1, zombies: 1 },
  ],
  [
    'two routers, two writes and two reads each, one move',
    { ...NOTHING, routers: 2, writes: 2, reads: 2 },
  ],
  [
    'two routers, two writes and two reads each, one move, a command that outlives its mover',
    { ...NOTHING, routers: 2, writes: 2, reads: 2, zombies: 1 },
  ],
];

describe('a cut-over', () => {
  test.each([...EVERY_PUSH, ...WITHDRAWN, ...(isLong ? LONG : [])])(
    'loses no write, shows nothing stale and never gets stuck: %s',
    async (name, bounds) => {
      const found = await explore(cutOverModel(bounds), { maxStates: 100_000_000 });
      report(name, found);
      expect(formatTrace(found.finding?.trace ?? [])).toBe('');
      expect(found).toMatchObject({ finding: undefined, isComplete: true });
    },
    isLong ? LONG_MS : 240_000,
  );

  test.each([...OVERLAPPING, ...(isLong ? LONG_OVERLAPPING : [])])(
    'the same where streams may overlap: %s',
    async (name, bounds) => {
      const found = await explore(cutOverModel(bounds, { ...RULES, streamsOverlap: true }), {
        maxStates: 100_000_000,
      });
      report(`overlapping streams, ${name}`, found);
      expect(formatTrace(found.finding?.trace ?? [])).toBe('');
      expect(found).toMatchObject({ finding: undefined, isComplete: true });
    },
    isLong ? LONG_MS : 240_000,
  );

  test('comes to done from every state if nobody gives it up', async () => {
    const bounds = { ...ALL_SORTS, zombies: 1, canAbort: false, canRollBack: false };
    const found = await explore(cutOverModel(bounds));
    report('without abort and rollback', found);
    expect(found).toMatchObject({ finding: undefined, isComplete: true });
  });

  test('the model gets into every state that touches a shard, and everything happens in it', async () => {
    const overlapping = { ...RULES, streamsOverlap: true };
    const watchers = [
      watched(cutOverModel({ ...NOTHING, reads: 1, foreignWrites: 1, zombies: 1 })),
      watched(cutOverModel({ ...NOTHING, writes: 1 })),
      watched(
        cutOverModel(
          { ...NOTHING, routers: 0, foreignWrites: 1, canWithdraw: true, losses: 1 },
          overlapping,
        ),
      ),
    ];
    for (const { model } of watchers) await explore(model);
    const quiet = ['planned', 'preflight', 'prepared'];
    const met = new Set(watchers.flatMap(({ states }) => [...states]));
    expect([...met].sort()).toEqual(MOVE_STATES.filter((state) => !quiet.includes(state)).sort());
    const kinds = watchers.flatMap(({ actions }) => [...actions]).join('\n');
    for (const wanted of [
      /lease ends$/m,
      /lease ends for the catalog/,
      /the guard of a refuses/,
      /verifies: moved/,
      /verifies and answers/,
      /answers under its lease/,
      /lets a foreign write in/,
      /late: fence on a$/m,
      /late: create-inbound on b$/m,
      /another mover takes over/,
      /the barrier arrives on a/,
      /the stream brings version \d to a/,
      /journal: aborted/,
      /journal: rolled_back/,
      /the slot that feeds a is lost/,
      /the slot that feeds b is lost/,
      /the reverse stream is made ready/,
      /what is left of the stream to b goes/,
      /the stream back to a goes/,
      /an earlier copy goes from b/,
    ]) {
      expect(kinds).toMatch(wanted);
    }
  });

  test('a packed state is the same after it was unpacked and packed again', async () => {
    const model = cutOverModel({ ...NOTHING, routers: 2, reads: 1 });
    const once = new Uint32Array(model.wordsPerState);
    const twice = new Uint32Array(model.wordsPerState);
    const checked = {
      ...model,
      violation: (state: CutOverState) => {
        model.pack(state, once);
        model.pack(model.unpack(once, 0), twice);
        return once.every((word, at) => word === twice[at]) ? undefined : 'it has changed';
      },
    };
    expect((await explore(checked, { requireEnds: false })).finding).toBeUndefined();
  });
});

function watched(model: CutOverModel) {
  const states = new Set<string>();
  const actions = new Set<string>();
  const watching: CutOverModel = {
    ...model,
    successors: (state, visit) => {
      states.add(state.journal.state);
      model.successors(state, (action, next) => {
        actions.add(action);
        visit(action, next);
      });
    },
  };
  return { model: watching, states, actions };
}

describe('a cut-over of which a rule is broken', () => {
  test.each(
    MUTANTS.filter(({ caught }) => caught !== 'harmless alone').map((m) => [m.name, m] as const),
  )('is caught: %s', async (name, mutant) => {
    const found = await explore(cutOverModel(mutant.bounds, rulesOf(mutant)));
    report(name, found);
    expect(found.finding?.reason).toMatch(mutant.caught as RegExp);
  });

  test.each(
    MUTANTS.filter(({ caught }) => caught === 'harmless alone').map((m) => [m.name, m] as const),
  )('is saved by another rule: %s', async (name, mutant) => {
    const found = await explore(cutOverModel(mutant.bounds, rulesOf(mutant)));
    report(name, found);
    expect(found).toMatchObject({ finding: undefined, isComplete: true });
  });
});
