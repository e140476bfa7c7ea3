import { describe, expect, test } from 'vitest';
import { analyze } from './analyze.js';
import { proposeSlots } from './slot-map.js';

const weights = new Map([
  ['a', 1],
  ['b', 1],
]);
const owners = proposeSlots(16, [{ name: 'a' }, { name: 'b' }]);

describe('analyze', () => {
  test('even loads need nothing', () => {
    const measures = owners.map((_, slot) => ({ slot, rows: 100, bytes: 1000 }));
    const result = analyze(owners, weights, measures);
    expect(result.needsRebalancing).toBe(false);
    expect(result.skew).toEqual({ slots: 1, rows: 1, bytes: 1, heat: undefined });
    expect(result.reasons).toEqual(['Every measured load is within its limits.']);
  });

  test('a hot slot is named as the cause of the skew', () => {
    const measures = owners.map((_, slot) => ({ slot, rows: slot === 5 ? 5000 : 100 }));
    const result = analyze(owners, weights, measures);
    expect(result.needsRebalancing).toBe(true);
    expect(result.hotSlots[0]).toMatchObject({ slot: 5, shard: owners[5], by: 'rows' });
    expect(result.reasons.join()).toContain('slot 5 alone is');
  });

  test('slots on a shard without weight are a reason', () => {
    const result = analyze(owners, new Map([['a', 1]]), []);
    expect(result.needsRebalancing).toBe(true);
    expect(result.skew.slots).toBe(Number.POSITIVE_INFINITY);
    expect(result.reasons).toContain("Shard 'b' owns 8 slots; its weight gives it 0.0.");
  });
});
