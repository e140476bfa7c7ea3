import { describe, expect, it } from 'vitest';
import { Scheduler } from '../../explore/scheduler.js';
import { ScriptedStore, ScriptedTier } from '../../explore/scripted-tier.js';
import { RingTier } from './ring.js';

function ringOf(names: readonly string[]) {
  const scheduler = new Scheduler();
  const tiers = new Map(
    names.map((name) => [name, new ScriptedTier(name, new ScriptedStore(), scheduler, 'P')]),
  );
  const ring = new RingTier([...tiers].map(([name, tier]) => ({ name, tier })));
  return (address: string) => ring.nodeOf(address).name;
}

describe('the ring of nodes', () => {
  const addresses = Array.from({ length: 20_000 }, (_, index) => `shardline:users:v:${index}`);

  it('gives every node its share', () => {
    const nodeOf = ringOf(['a:1', 'b:1', 'c:1', 'd:1']);
    const counts = new Map<string, number>();
    for (const address of addresses) {
      counts.set(nodeOf(address), (counts.get(nodeOf(address)) ?? 0) + 1);
    }
    for (const count of counts.values()) {
      expect(count).toBeGreaterThan(4600);
      expect(count).toBeLessThan(5400);
    }
    expect(counts.size).toBe(4);
  });

  it('moves only the share of a node that joins, and to nobody but it', () => {
    const before = ringOf(['a:1', 'b:1', 'c:1', 'd:1']);
    const after = ringOf(['a:1', 'b:1', 'c:1', 'd:1', 'e:1']);
    const moved = addresses.filter((address) => before(address) !== after(address));
    expect(moved.every((address) => after(address) === 'e:1')).toBe(true);
    expect(moved.length / addresses.length).toBeGreaterThan(0.18);
    expect(moved.length / addresses.length).toBeLessThan(0.22);
  });

  it('does not depend on the order in which nodes are named', () => {
    const one = ringOf(['a:1', 'b:1', 'c:1']);
    const other = ringOf(['c:1', 'a:1', 'b:1']);
    expect(addresses.every((address) => one(address) === other(address))).toBe(true);
  });
});
