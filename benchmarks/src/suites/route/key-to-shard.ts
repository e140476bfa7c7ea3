import { randomUUID } from 'node:crypto';
import {
  type KeyspaceDefinition,
  proposeSlots,
  type ShardKey,
  Topology,
} from '@shardline/shard-router';
import ConsistentHash from 'consistent-hash';
import HashRing from 'hashring';
import murmurhash3js from 'murmurhash3js';
import { type Contender, compare } from '../../measure/compare.js';
import { overKeys } from '../../measure/key-loop.js';
import { atMost, timeRow } from '../../measure/rows.js';
import type { Row, Scenario, Target } from '../../scenario.js';
import type { TargetId } from '../../targets.js';

/** As many different keys as keep a service's hot set out of the processor's smallest cache. */
const KEYS = 1 << 14;

/**
 * From a key to the shard that owns it: paid by every call of a service, some hundred thousand times a second. The keys are
 * those of the betting app: texts such as `user:7919`, 64-bit ids, uuids.
 */
export const keyToShard: Scenario = {
  suite: 'route',
  name: 'key-to-shard',
  situation:
    'Every call of a service asks for the shard of its key; keys are user ids as text, bigint and uuid, uniformly drawn.',
  async run({ quick, signal, note }) {
    const options = { rounds: quick ? 15 : 60, turnMs: 10, clock: 'cpu' as const, signal };
    const texts = Array.from({ length: KEYS }, (_, at) => `user:${at * 7919}`);
    const bigints = Array.from({ length: KEYS }, (_, at) => BigInt(at) * 7919n);
    const uuids = Array.from({ length: KEYS }, () => Buffer.from(randomUUID()).toString());
    const ring = new HashRing(namesOf(8));
    const consistent = new ConsistentHash();
    for (const name of namesOf(8)) consistent.add(name);
    const bare = overKeys('murmurhash3js x86 hash32', texts, (key) =>
      murmurhash3js.x86.hash32(key),
    );
    const contenders = [
      bare,
      overKeys('hashring', texts, (key) => ring.get(key).length),
      overKeys('consistent-hash', texts, (key) => consistent.get(key).length),
      routing('text, murmur3, 8 shards', texts, 8, { keyType: 'text', hash: 'murmur3' }),
      routing('text, murmur3, 64 shards', texts, 64, { keyType: 'text', hash: 'murmur3' }),
      routing('text, murmur3, 1024 shards', texts, 1024, { keyType: 'text', hash: 'murmur3' }),
      routing('text, postgres', texts, 8, { keyType: 'text', hash: 'postgres' }),
      routing('bigint, postgres', bigints, 8, { keyType: 'bigint', hash: 'postgres' }),
      routing('uuid, postgres', uuids, 8, { keyType: 'uuid', hash: 'postgres' }),
      overKeys('murmurhash3js of uuids', uuids, (key) => murmurhash3js.x86.hash32(key)),
    ];
    note('routing keys of every type, beside three libraries');
    const result = await compare(contenders, options);
    const row = (name: string, peer: string, target: Target, answers?: TargetId): Row =>
      timeRow(result, { suite: 'route', name, peer, target, answers });
    const few = 'text, murmur3, 8 shards';
    return [
      row(few, bare.name, atMost(1), 'route/text'),
      row(few, 'hashring', atMost(1 / 40), 'route/text'),
      row(few, 'consistent-hash', atMost(1.5)),
      row('text, postgres', bare.name, atMost(1.5), 'route/postgres-hash'),
      row('bigint, postgres', bare.name, atMost(1.5), 'route/postgres-hash'),
      row('uuid, postgres', 'murmurhash3js of uuids', atMost(1.5), 'route/postgres-hash'),
      row('text, murmur3, 64 shards', few, atMost(1.2), 'route/many-shards'),
      row('text, murmur3, 1024 shards', few, atMost(1.2), 'route/many-shards'),
    ];
  },
};

function namesOf(shards: number): string[] {
  return Array.from({ length: shards }, (_, at) => `shard-${at}`);
}

function routing<Key extends ShardKey>(
  name: string,
  keys: readonly Key[],
  shards: number,
  kind: Pick<KeyspaceDefinition, 'keyType' | 'hash'>,
): Contender {
  const nodes = namesOf(shards).map((node) => ({ name: node, weight: 1 }));
  const owners = proposeSlots(4096, nodes);
  const topology = new Topology({
    epoch: 1,
    shards: nodes,
    keyspaces: [{ name: 'users', slots: 4096, owners, ...kind }],
  }).keyspace('users');
  const { slotOf } = topology.keyspace;
  for (const key of keys.slice(0, 100)) {
    if (topology.ownerOf(slotOf(key)) !== owners[slotOf(key)]) throw new Error('a wrong owner');
  }
  // A function of its own, as a service has it: closures of one literal would share what the engine learns of them.
  const route = new Function(
    'topology',
    'slotOf',
    'return (key) => topology.ownerIndex(slotOf(key));',
  ) as (topology: object, slotOf: object) => (key: Key) => number;
  return overKeys(name, keys, route(topology, slotOf));
}
