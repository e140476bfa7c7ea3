import {
  diffSlots,
  HashRing,
  movedSlots,
  proposeSlots,
  Topology,
  type WeightedNode,
} from '@shardline/shard-router';
import { atMost, countedRow, exactly } from '../../measure/rows.js';
import type { Row, Scenario } from '../../scenario.js';

const SHARDS = 1000;
const SLOTS = 65_536;
/** What rings of other libraries have per node: hashring 160 points, consistent-hash as many. */
const RING_POINTS = 160;
const RING_SAMPLE = 2_000_000;

/**
 * Models: the placement itself, as the router has it, and every key's hash. A thousand shards share 65 536 slots, so
 * nobody can do better than one slot of 66 off. Leaves out: that keys differ in size and in how often they are asked for;
 * servers; the time that moving takes.
 */
export const thousandShards: Scenario = {
  suite: 'simulation',
  name: 'thousand-shards',
  situation:
    'Placement where no test machine can go: a thousand shards, 10^8 user ids in sequence (10^7 in a quick run), then ' +
    'one shard more. Real hashes and real placement, no servers; keys weigh the same.',
  async run({ quick, note, signal }) {
    const nodes = Array.from({ length: SHARDS }, (_, at) => ({ name: `s${at}`, weight: 1 }));
    const keys = quick ? 10_000_000 : 100_000_000;
    note(`${keys} keys over ${SHARDS} shards`);
    const owners = proposeSlots(SLOTS, nodes);
    const ours = peakOf(countByShard(owners, nodes, keys, signal));
    note(`the same on a ring of ${RING_POINTS} points per shard, ${RING_SAMPLE} keys`);
    const ring = peakOf(countOnRing(nodes));
    const grown = [...nodes, { name: 'new', weight: 1 }];
    const next = proposeSlots(SLOTS, grown, owners);
    const moved = movedSlots(diffSlots(owners, next));
    const row = (about: Pick<Row, 'name' | 'peer' | 'unit' | 'ours' | 'theirs' | 'target'>) =>
      countedRow({ suite: 'simulation', ...about });
    return [
      row({
        name: `peak over average keys, ${SHARDS} shards`,
        peer: 'the best that whole slots allow, and chance',
        unit: 'x average',
        ours,
        // Keys fall into slots by chance: of a thousand shards one lies some three and a half deviations above.
        theirs: Math.ceil(SLOTS / SHARDS) / (SLOTS / SHARDS) + 3.5 / Math.sqrt(keys / SHARDS),
        target: atMost(1.002),
      }),
      row({
        name: `peak above average keys, ${SHARDS} shards`,
        peer: `a ring of ${RING_POINTS} points`,
        unit: '% above',
        ours: 100 * (ours - 1),
        theirs: 100 * (ring - 1),
        target: atMost(0.2),
      }),
      row({
        name: `slots moved for shard ${SHARDS + 1}`,
        peer: 'its own share',
        unit: 'slots',
        ours: moved,
        theirs: next.filter((owner) => owner === 'new').length,
        target: exactly(1),
      }),
    ];
  },
};

function countByShard(
  owners: readonly string[],
  shards: readonly WeightedNode[],
  keys: number,
  signal: AbortSignal,
): Uint32Array {
  const keyspace = new Topology({
    epoch: 1,
    shards: shards.map(({ name, weight = 1 }) => ({ name, weight })),
    keyspaces: [{ name: 'users', slots: SLOTS, owners, keyType: 'bigint', hash: 'postgres' }],
  }).keyspace('users');
  const { slotOf } = keyspace.keyspace;
  const counts = new Uint32Array(shards.length);
  for (let key = 1; key <= keys; key += 1) {
    const owner = keyspace.ownerIndex(slotOf(key));
    counts[owner] = (counts[owner] as number) + 1;
    if (key % 1_000_000 === 0) signal.throwIfAborted();
  }
  return counts;
}

function countOnRing(nodes: readonly WeightedNode[]): Uint32Array {
  const ring = new HashRing(nodes, { points: RING_POINTS });
  const indexes = new Map(nodes.map(({ name }, index) => [name, index]));
  const counts = new Uint32Array(nodes.length);
  for (let key = 1; key <= RING_SAMPLE; key += 1) {
    const owner = indexes.get(ring.get(`user:${key}`)) as number;
    counts[owner] = (counts[owner] as number) + 1;
  }
  return counts;
}

function peakOf(counts: Uint32Array): number {
  let peak = 0;
  let total = 0;
  for (const count of counts) {
    peak = Math.max(peak, count);
    total += count;
  }
  return peak / (total / counts.length);
}
