import { describe, expect, test } from 'vitest';
import { parseSlots } from '../topology/slot-set.js';
import { topologyOf } from '../topology/topology-file.js';
import type { PlacementChange } from './placement-change.js';
import { planChange } from './plan-change.js';
import { canonicalJson, checkSeal } from './seal.js';

const topology = topologyOf({
  shards: { a: {}, b: {}, c: { weight: 2 } },
  keyspaces: {
    users: { keyType: 'bigint', slots: 64, owners: { a: '0-15', b: '16-31', c: '32-63' } },
    events: { keyType: 'uuid', slots: 16, owners: { a: '0-3', b: '4-7', c: '8-15' } },
  },
});
const measures = new Map([
  [
    'users',
    Array.from({ length: 64 }, (_, slot) => ({ slot, rows: slot === 3 ? 1000 : 10, bytes: 100 })),
  ],
]);
const moveBytes = 1_000_000;
const plan = (change: PlacementChange) =>
  planChange(change, { id: 'm1', nowMs: 0, topology, measures, moveBytes });
const after = (made: ReturnType<typeof plan>, keyspace: string) => made.balance[keyspace] ?? {};

describe('a plan', () => {
  test('for a new shard moves the minimum, from those who lose to the one who gains', () => {
    const made = plan({ kind: 'add', shard: 'd' });
    for (const keyspace of ['users', 'events']) {
      const { movedSlots, minimumSlots } = made.minimality[keyspace]!;
      expect(movedSlots).toBe(minimumSlots);
    }
    expect(made.moves.every(({ destination }) => destination === 'd')).toBe(true);
    expect(after(made, 'users')['d']?.after).toBeGreaterThanOrEqual(12);
    expect(made.weights).toEqual({ a: 1, b: 1, c: 2, d: 1 });
    expect(made.fromEpoch).toBe(topology.epoch);
  });

  test('to remove or to drain a shard leaves it nothing; only the first takes it off the map', () => {
    const removed = plan({ kind: 'remove', shard: 'b' });
    const drained = plan({ kind: 'drain', shard: 'b' });
    for (const made of [removed, drained]) {
      expect(after(made, 'users')['b']).toEqual({ before: 16, after: 0 });
      expect(new Set(made.moves.map(({ source }) => source))).toEqual(new Set(['b']));
    }
    expect([removed.removeShards, removed.weights['b']]).toEqual([['b'], undefined]);
    expect([drained.removeShards, drained.weights['b']]).toEqual([[], 0]);
  });

  test('keeps a keyspace to the shards that it was declared to live on', () => {
    const confined = new Map([['events', ['a', 'b', 'c']]]);
    const make = (change: PlacementChange) =>
      planChange(change, { id: 'm1', nowMs: 0, topology, measures, moveBytes, confined });

    const added = make({ kind: 'add', shard: 'd' });
    expect(new Set(added.moves.map(({ keyspace }) => keyspace))).toEqual(new Set(['users']));

    const alone = new Map([['events', ['c']]]);
    const homeless = () =>
      planChange(
        { kind: 'drain', shard: 'c' },
        { id: 'm1', nowMs: 0, topology, measures, moveBytes, confined: alone },
      );
    expect(homeless).toThrow(/'events' may live on c only/);

    const strayed = () =>
      planChange(
        { kind: 'move-slots', keyspace: 'events', slots: [8], destination: 'a' },
        { id: 'm1', nowMs: 0, topology, measures, moveBytes, confined: alone },
      );
    expect(strayed).toThrow(/may not live on 'a'/);
  });

  test('cuts what goes from one shard to another into moves of so many bytes, and moves the same slots', () => {
    const change = { kind: 'drain', shard: 'b' } as const;
    const whole = plan(change);
    const cut = planChange(change, { id: 'm1', nowMs: 0, topology, measures, moveBytes: 250 });
    const slotsOf = ({ moves }: typeof whole, keyspace: string) =>
      moves
        .filter((move) => move.keyspace === keyspace)
        .flatMap(({ slots, destination }) =>
          parseSlots(slots, 64).map((slot) => `${slot} ${destination}`),
        )
        .sort();
    for (const keyspace of ['users', 'events']) {
      expect(slotsOf(cut, keyspace)).toEqual(slotsOf(whole, keyspace));
    }
    const users = cut.moves.filter(({ keyspace }) => keyspace === 'users');
    expect(Math.max(...users.map(({ bytes }) => bytes))).toBe(200);
    expect(users.length).toBeGreaterThan(6);
    expect(cut.minimality).toEqual(whole.minimality);
    expect(cut.balance).toEqual(whole.balance);
    checkSeal(cut);
  });

  test('moves named slots and leaves weights alone', () => {
    const made = plan({
      kind: 'move-slots',
      keyspace: 'users',
      slots: [0, 1, 40],
      destination: 'b',
    });
    expect(made.moves).toMatchObject([
      { source: 'a', destination: 'b', slots: '0-1', slotCount: 2, rows: 20, bytes: 200 },
      { source: 'c', destination: 'b', slots: '40', slotCount: 1 },
    ]);
    expect(made.weights).toEqual({ a: 1, b: 1, c: 2 });
  });

  test('splits a shard by what its slots carry, and leaves a slot alone that is hot by itself', () => {
    const made = plan({ kind: 'split', keyspace: 'users', shard: 'a', by: 'rows' });
    const moved = made.moves.flatMap(({ slots }) => parseSlots(slots, 64));
    expect(moved.length).toBeGreaterThan(0);
    expect(moved).not.toContain(3);
    expect(made.moves.every(({ source }) => source === 'a')).toBe(true);
  });

  test.each<PlacementChange>([
    { kind: 'add', shard: 'a' },
    { kind: 'add', shard: 'd', weight: 0 },
    { kind: 'remove', shard: 'x' },
    { kind: 'reweight', weights: { a: -1 } },
    { kind: 'reweight', weights: { a: 0, b: 0, c: 0 } },
    { kind: 'move-slots', keyspace: 'users', slots: [64], destination: 'b' },
    { kind: 'move-slots', keyspace: 'users', slots: [1], destination: 'x' },
    { kind: 'split', keyspace: 'users', shard: 'a', by: 'heat' },
  ])('that cannot be is refused: %j', (change) => {
    expect(() => plan(change)).toThrow(expect.objectContaining({ code: 'PLACEMENT_INVALID' }));
  });

  test('is sealed: whatever is changed in it is noticed, and the order of its members is not', () => {
    const made = plan({ kind: 'add', shard: 'd' });
    checkSeal(made);
    checkSeal(JSON.parse(canonicalJson(made)));
    const edits = [
      { ...made, fromEpoch: made.fromEpoch + 1 },
      { ...made, moves: made.moves.slice(1) },
      { ...made, weights: { ...made.weights, d: 2 } },
      { ...made, seal: `${made.seal.slice(1)}0` },
      { ...made, seal: '' },
    ];
    for (const edited of edits) {
      expect(() => checkSeal(edited)).toThrow(expect.objectContaining({ code: 'PLAN_INVALID' }));
    }
  });
});
