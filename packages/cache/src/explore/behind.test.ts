import { describe, expect, it, vi } from 'vitest';
import { BehindBuffer } from '../write/behind-buffer.js';
import { exploreAll, exploreRandomly } from './scheduler.js';
import { type Actors, type Setup, scenario } from './world.js';

/**
 * Write-behind in every order of events: it must keep P3 as a write through does, and its own process must
 * never read anything older than what it has written, be that in the buffer, under way or in the source.
 */
const TORTURE = process.env['SHARDLINE_TORTURE'] === '1';
const LIMIT = TORTURE ? 500_000 : 500;

const base = {
  write: 'behind',
  writeBehind: {
    onUnwritten: () => {
      throw new Error('a write was lost');
    },
    interval: '0ms',
    // Each write goes at once, so that the next one of its key finds it under way.
    batch: 1,
  },
} as const;
const two: Setup = { tiers: ['l1', 'l2'], options: { ...base, coherence: 'bounded' } };
const three: Setup = { tiers: ['l1', 'l2', 'l3'], options: { ...base, coherence: 'bounded' } };
const strict: Setup = { tiers: ['l2', 'l3'], options: { ...base, coherence: 'strict' } };
const memory: Setup = { tiers: ['l1'], options: { ...base, coherence: 'bounded' } };

const writeAndChange: Actors = {
  at: (world, one, other) => [world.writeBehind(one, 1001), world.change(other)],
};
const writeAndReads: Actors = {
  before: (world, one, other) => world.read(other).then(() => world.read(one)),
  at: (world, one, other) => [world.writeBehind(one, 1001), world.read(one), world.read(other)],
};
/** A load of the old value is under way in the writer's own process when it writes. */
const writeAndOwnReads: Actors = {
  at: (world, one) => [
    world.read(one),
    (async () => {
      await world.scheduler.step('set begins');
      await one.set('k', 1001);
      await Promise.all([world.readOwnWrite(one, 1001), world.readOwnWrite(one, 1001)]);
      await one.flush({ deadline: '1h' });
      await world.readOwnWrite(one, 1001);
    })(),
  ],
};
const writesOfTwo: Actors = {
  at: (world, one, other) => [world.writeBehind(one, 1001), world.writeBehind(other, 1002)],
};
const writesOfOne: Actors = {
  at: (world, one, other) => [
    (async () => {
      await one.set('k', 1001);
      await world.scheduler.step('between two sets');
      await one.set('k', 1002);
      await world.readOwnWrite(one, 1002);
      await world.writeBehind(one, 1003);
      await world.readOwnWrite(one, 1003);
    })(),
    world.read(other),
  ],
};

const cases: readonly (readonly [string, Setup, Actors])[] = [
  ['a write behind against a change', two, writeAndChange],
  ['a write behind against a change, L2 and L3', three, writeAndChange],
  ['a write behind against a change, strict', strict, writeAndChange],
  ['a write behind against reads', three, writeAndReads],
  ['a write behind against reads, strict', strict, writeAndReads],
  ['a write behind and its own reads', two, writeAndOwnReads],
  ['a write behind and its own reads, L2 and L3', three, writeAndOwnReads],
  ['a write behind and its own reads, in memory alone', memory, writeAndOwnReads],
  ['writes behind in two processes', two, writesOfTwo],
  ['writes behind in two processes, strict', strict, writesOfTwo],
  ['three writes behind in one process', two, writesOfOne],
  ['a first try that fails when it is done', { ...two, failing: [1001] }, writeAndChange],
  ['a first try that fails, and own reads', { ...three, failing: [1001] }, writeAndOwnReads],
  ['first tries that fail in two processes', { ...two, failing: [1001, 1002] }, writesOfTwo],
];

describe('writes behind, in every order of events', () => {
  for (const [title, setup, actors] of cases) {
    it(`${title}: no violation`, { timeout: TORTURE ? 3_600_000 : 60_000 }, async () => {
      const seed = Number(process.env['SHARDLINE_SEED'] ?? 20_261_124);
      const all = await exploreAll(scenario(setup, actors), LIMIT);
      expect(all.violation?.error.message, all.violation?.trace.join(' | ')).toBe(undefined);
      expect(all.interleaved).toBeGreaterThan(all.schedules / 2);
      if (all.isComplete) return;
      const drawn = await exploreRandomly(scenario(setup, actors), { seed, schedules: LIMIT });
      const trace = `seed ${seed}: ${drawn.violation?.trace.join(' | ')}`;
      expect(drawn.violation?.error.message, trace).toBe(undefined);
    });
  }
});

describe('the explorer finds planted faults of a write behind', () => {
  it('a value that is forgotten as soon as it is under way', async () => {
    const newest = vi.spyOn(BehindBuffer.prototype, 'newest').mockReturnValue(undefined);
    const { violation } = await exploreRandomly(scenario(two, writeAndOwnReads), {
      seed: 1,
      schedules: LIMIT,
    });
    newest.mockRestore();
    expect(violation?.error.message).toMatch(/own read|not in the source/);
  });

  it('a failed write that is put back over a newer one', async () => {
    const putBack = BehindBuffer.prototype.putBack;
    const over = vi.spyOn(BehindBuffer.prototype, 'putBack').mockImplementation(function (
      this: BehindBuffer,
      write,
      dueAtMs,
      error,
    ) {
      putBack.call(this, write, dueAtMs, error);
      const { key, value, bytes, options } = write;
      this.put({ key, value, bytes, options, dueAtMs }, 0);
    });
    const setup = { ...two, failing: [1001] };
    const { violation } = await exploreRandomly(scenario(setup, writesOfOne), {
      seed: 1,
      schedules: LIMIT,
    });
    over.mockRestore();
    expect(violation?.trace.length).toBeGreaterThan(0);
  });
});
