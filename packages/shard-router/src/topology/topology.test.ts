import { describe, expect, test } from 'vitest';
import { diffSlots } from '../placement/diff.js';
import { proposeSlots } from '../placement/slot-map.js';
import { Topology, type TopologyData } from './topology.js';
import { topologyFileOf, topologyOf } from './topology-file.js';

const file = {
  shards: { a: {}, b: { weight: 1 } },
  keyspaces: {
    users: { keyType: 'bigint' as const, slots: 16, owners: { a: '0-7', b: '8-15' } },
    events: { keyType: 'uuid' as const, slots: 16, owners: { a: '0-15' } },
  },
};

describe('Topology', () => {
  const first = topologyOf(file);

  test('every slot has its owner since the first epoch', () => {
    const users = first.keyspace('users');
    expect(users.ownerOf(7)).toBe('a');
    expect(users.ownerOf(8)).toBe('b');
    expect(users.slotEpoch(3)).toBe(1);
    expect(users.slotsOf('b')).toEqual([8, 9, 10, 11, 12, 13, 14, 15]);
    expect(first.keyspace('events').owningShards()).toEqual(['a']);
  });

  test('a change makes another topology and leaves the old one as it was', () => {
    const second = first.with({ keyspace: 'users', owners: [{ shard: 'b', slots: [0, 1] }] });
    expect(second.epoch).toBe(2);
    expect(first.keyspace('users').ownerOf(0)).toBe('a');
    const users = second.keyspace('users');
    expect([users.ownerOf(0), users.slotEpoch(0), users.slotEpoch(2)]).toEqual(['b', 2, 1]);
    expect([users.shardEpoch('a'), users.shardEpoch('b')]).toEqual([2, 2]);
    expect(second.keyspace('events').shardEpoch('a')).toBe(1);
  });

  test('there and back again is not the same as never away', () => {
    const back = first
      .with({ keyspace: 'users', owners: [{ shard: 'b', slots: [0] }] })
      .with({ keyspace: 'users', owners: [{ shard: 'a', slots: [0] }] });
    expect(back.keyspace('users').ownerOf(0)).toBe('a');
    expect(back.keyspace('users').slotEpoch(0)).toBe(3);
  });

  test('in transit, the shard that does not own the slot holds foreign rows', () => {
    const both = [
      { shard: 'a', slots: [0, 1] },
      { shard: 'b', slots: [0, 1] },
    ];
    const copying = first.with({ keyspace: 'users', enterTransit: both });
    expect(copying.keyspace('users').isMoving).toBe(true);
    expect(copying.keyspace('users').foreignSlots('a')).toEqual([]);
    expect(copying.keyspace('users').foreignSlots('b')).toEqual([0, 1]);
    const switched = copying.with({ keyspace: 'users', owners: [{ shard: 'b', slots: [0, 1] }] });
    expect(switched.keyspace('users').foreignSlots('a')).toEqual([0, 1]);
    expect(switched.keyspace('users').foreignSlots('b')).toEqual([]);
    const done = switched.with({ keyspace: 'users', leaveTransit: both });
    expect(done.keyspace('users').isMoving).toBe(false);
    expect(done.keyspace('users').shardEpoch('a')).toBe(4);
  });

  test('a new shard joins all keyspaces at the epoch of its arrival', () => {
    const grown = first.with({ keyspace: 'users', shards: [{ name: 'c', weight: 2 }] });
    expect(grown.keyspace('events').shardEpoch('c')).toBe(2);
    expect(grown.shards.map(({ name }) => name)).toEqual(['a', 'b', 'c']);
  });

  test('plain data and the file form bring it back', () => {
    const changed = first.with({ keyspace: 'users', owners: [{ shard: 'b', slots: [3] }] });
    expect(new Topology(changed.toData()).toData()).toEqual(changed.toData());
    expect(topologyOf(topologyFileOf(changed)).keyspace('users').owners()).toEqual(
      changed.keyspace('users').owners(),
    );
  });

  test('65536 slots over 1024 shards are loaded, changed and compared in moments', () => {
    const nodes = Array.from({ length: 1024 }, (_, at) => ({
      name: `s${at}`,
      weight: 1 + (at % 3),
    }));
    const owners = proposeSlots(65536, nodes);
    const data: TopologyData = {
      epoch: 1,
      shards: nodes,
      keyspaces: [{ name: 'k', keyType: 'bigint', hash: 'postgres', slots: 65536, owners }],
    };
    const large = new Topology(data);
    const next = proposeSlots(65536, [...nodes, { name: 'new', weight: 3 }], owners);
    const moved = diffSlots(owners, next);
    expect(moved.every(({ destination }) => destination === 'new')).toBe(true);
    expect(large.keyspace('k').ownerOf(65535)).toBe(owners[65535]);
  });
});

describe('a bad topology', () => {
  test('overlapping slots are named', () => {
    const users = { ...file.keyspaces.users, owners: { a: '0-9', b: '8-15' } };
    expect(() => topologyOf({ ...file, keyspaces: { users } })).toThrow(
      "keyspace 'users': 'b' and another shard both own 8-9",
    );
  });

  test('uncovered slots and unknown shards are named together', () => {
    const users = { ...file.keyspaces.users, owners: { a: '0-3,7', x: '8-15' } };
    expect(() => topologyOf({ ...file, keyspaces: { users } })).toThrow(
      /nobody owns the slots 4-6.*names the unknown shard 'x'/,
    );
  });

  test.each(['16', '3-1', 'a', '1,,2', '-1'])('the range %j is refused', (range) => {
    const users = { ...file.keyspaces.users, owners: { a: range } };
    expect(() => topologyOf({ ...file, keyspaces: { users } })).toThrow('is no range of slots');
  });

  test('a mistyped member is named with the right one', () => {
    expect(() => topologyOf({ ...file, keyspace: {} } as never)).toThrow(
      "is no option; did you mean 'keyspaces'?",
    );
  });

  test('a change of an unknown keyspace, or one that orphans slots, is refused', () => {
    const topology = topologyOf(file);
    expect(() => topology.with({ keyspace: 'user' })).toThrow(
      expect.objectContaining({ code: 'KEYSPACE_UNKNOWN' }),
    );
    expect(() => topology.with({ keyspace: 'users', removeShards: ['b'] })).toThrow(
      "names the unknown shard 'b'",
    );
  });
});
