import { diffSlots, movedSlots, proposeSlots, type WeightedNode } from '@shardline/shard-router';
import { isMet, type Row, type Scenario, type Target } from '../../scenario.js';

const SLOTS = 65536;

/** Balance and movement: what an operator sees of placement when shards of unlike size come and go. */
export const balance: Scenario = {
  suite: 'placement',
  name: 'balance',
  situation:
    'From 3 to 64 shards of weights 1 to 5, then one more of each weight: the peak load over the fair one, and slots moved over the least that must move.',
  async run() {
    let peak = 0;
    let moved = 0;
    let least = 0;
    for (let count = 3; count <= 64; count += 1) {
      const nodes = Array.from({ length: count }, (_, at) => ({
        name: `s${at}`,
        weight: 1 + (at % 5),
      }));
      const owners = proposeSlots(SLOTS, nodes);
      peak = Math.max(peak, peakOf(owners, nodes));
      const grown = [...nodes, { name: 'new', weight: 1 + (count % 5) }];
      const next = proposeSlots(SLOTS, grown, owners);
      peak = Math.max(peak, peakOf(next, grown));
      moved += movedSlots(diffSlots(owners, next));
      least += next.filter((owner) => owner === 'new').length;
    }
    const atMost = (ratio: number): Target => ({ relation: 'at most', ratio });
    return [
      row('peak over fair load', 'perfect balance', peak, 1, atMost(1.005)),
      row('slots moved for a new shard', 'its own share', moved, least, {
        relation: 'exactly',
        ratio: 1,
      }),
    ];
  },
};

function peakOf(owners: readonly string[], nodes: readonly Required<WeightedNode>[]): number {
  const total = nodes.reduce((sum, { weight }) => sum + weight, 0);
  const held = new Map<string, number>();
  for (const owner of owners) held.set(owner, (held.get(owner) ?? 0) + 1);
  return Math.max(
    ...nodes.map(({ name, weight }) => (held.get(name) ?? 0) / ((owners.length * weight) / total)),
  );
}

function row(name: string, peer: string, ours: number, theirs: number, target: Target): Row {
  const ratio = ours / theirs;
  const unit = theirs === 1 ? 'x' : 'slots';
  return {
    suite: 'placement',
    name,
    answers: 'placement/balance',
    peer,
    unit,
    ours,
    theirs,
    ratio,
    ratioSpread: 0,
    target,
    met: isMet(target, ratio),
  };
}
