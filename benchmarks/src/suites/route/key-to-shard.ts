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
import { isMet, type Row, type Scenario, type Target } from '../../scenario.js';

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
    const options = { rounds: quick ? 15 : 60, turnMs: 10, signal };
    const texts = Array.from({ length: KEYS }, (_, at) => `user:${at * 7919}`);
    const bigints = Array.from({ length: KEYS }, (_, at) => BigInt(at) * 7919n);
    const uuids = Array.from({ length: KEYS }, () => Buffer.from(randomUUID()).toString());
    const ring = new HashRing(namesOf(8));
    const consistent = new ConsistentHash();
    for (const name of namesOf(8)) consistent.add(name);
    const bare = over('murmurhash3js x86 hash32', texts, (key) => murmurhash3js.x86.hash32(key));
    const contenders = [
      bare,
      over('hashring', texts, (key) => ring.get(key).length),
      over('consistent-hash', texts, (key) => consistent.get(key).length),
      routing('text, murmur3, 8 shards', texts, 8, { keyType: 'text', hash: 'murmur3' }),
      routing('text, murmur3, 64 shards', texts, 64, { keyType: 'text', hash: 'murmur3' }),
      routing('text, murmur3, 1024 shards', texts, 1024, { keyType: 'text', hash: 'murmur3' }),
      routing('text, postgres', texts, 8, { keyType: 'text', hash: 'postgres' }),
      routing('bigint, postgres', bigints, 8, { keyType: 'bigint', hash: 'postgres' }),
      routing('uuid, postgres', uuids, 8, { keyType: 'uuid', hash: 'postgres' }),
      over('murmurhash3js of uuids', uuids, (key) => murmurhash3js.x86.hash32(key)),
    ];
    note('routing keys of every type, beside three libraries');
    const result = await compare(contenders, options);
    const row = (name: string, peer: string, target: Target): Row => {
      const ours = result.figures.get(name)?.nanosecondsPerOperation ?? Number.NaN;
      const theirs = result.figures.get(peer)?.nanosecondsPerOperation ?? Number.NaN;
      const { ratio, ratioSpread } = result.ratioOf(name, peer);
      const met = isMet(target, ratio);
      return {
        suite: 'route',
        name,
        peer,
        unit: 'ns',
        ours,
        theirs,
        ratio,
        ratioSpread,
        target,
        met,
      };
    };
    const atMost = (ratio: number): Target => ({ relation: 'at most', ratio });
    return [
      row('text, murmur3, 8 shards', bare.name, atMost(1)),
      row('text, murmur3, 8 shards', 'hashring', atMost(1 / 40)),
      row('text, murmur3, 8 shards', 'consistent-hash', atMost(1.5)),
      row('text, postgres', bare.name, atMost(1.5)),
      row('bigint, postgres', bare.name, atMost(1.5)),
      row('uuid, postgres', 'murmurhash3js of uuids', atMost(1.5)),
      row('text, murmur3, 64 shards', 'text, murmur3, 8 shards', atMost(1.2)),
      row('text, murmur3, 1024 shards', 'text, murmur3, 8 shards', atMost(1.2)),
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
  return over(name, keys, route(topology, slotOf));
}

/** A loop of its own per contender: shared, the engine would compile one for all of them. */
function over<Key>(name: string, keys: readonly Key[], work: (key: Key) => number): Contender {
  const loop = new Function(
    'keys',
    'work',
    'start',
    'end',
    'let sum = 0; for (let i = start; i < end; i += 1) sum += work(keys[i & (keys.length - 1)]); return sum;',
  ) as (keys: readonly Key[], work: (key: Key) => number, start: number, end: number) => number;
  let next = 0;
  return {
    name,
    run: (operations) => {
      // On through the keys from turn to turn: begun anew each time, a peer's cache would hold the few that come first.
      const start = next;
      next = (start + operations) & (keys.length - 1);
      if (Number.isNaN(loop(keys, work, start, start + operations))) throw new Error('no number');
      return operations;
    },
  };
}
