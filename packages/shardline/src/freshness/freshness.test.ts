import { ManualClock } from '@shardline/core';
import { describe, expect, test } from 'vitest';
import { laterFloor, readFreshness, writeFreshness } from './freshness.js';
import { RecentFloors } from './recent-floors.js';

const position = (lsn: bigint, timeline = 1, snapshotXmax?: bigint) => ({
  systemIdentifier: '7412345678901234567',
  position: { timeline, lsn },
  snapshotXmax,
});

describe('the mark of a write', () => {
  test('is read back on its own shard, whatever that is called', () => {
    for (const shard of ['one', 'a@b/c d', 'ü']) {
      const floor = position(0x16b374d848n, 3, 771n);
      expect(readFreshness(writeFreshness(shard, floor), shard)).toEqual(floor);
    }
    expect(readFreshness(writeFreshness('one', position(5n)), 'one')).toEqual(position(5n));
  });

  test('means "now" on another shard, and where it cannot be read or was not known', () => {
    expect(readFreshness(writeFreshness('one', position(5n)), 'two')).toBe('now');
    expect(readFreshness('who knows', 'one')).toBe('now');
    expect(readFreshness(writeFreshness('one', 'now'), 'one')).toBe('now');
    expect(readFreshness(undefined, 'one')).toBeUndefined();
  });

  test('the later of two holds, by timeline first; what cannot be compared is "now"', () => {
    expect(laterFloor(position(5n, 1, 9n), position(7n, 1, 3n))).toEqual(position(7n, 1, 9n));
    expect(laterFloor(position(9n), position(7n, 2))).toEqual(position(7n, 2));
    expect(laterFloor(undefined, position(7n))).toEqual(position(7n));
    expect(laterFloor('now', position(7n))).toBe('now');
    expect(laterFloor({ ...position(9n), systemIdentifier: '1' }, position(7n))).toBe('now');
  });
});

describe('what every load must have reached', () => {
  test('is never a position that was asked for longer ago than a mark is kept', async () => {
    const clock = new ManualClock();
    let lsn = 0n;
    const floors = new RecentFloors(async () => {
      lsn += 1n;
      return position(lsn);
    }, clock);
    expect(floors.floor()).toBe('now');
    await Promise.resolve();
    for (let seconds = 0; seconds < 300; seconds += 5) {
      await clock.advance(5000);
      const floor = floors.floor();
      await Promise.resolve();
      await Promise.resolve();
      if (floor === 'now') continue;
      // One position every ten seconds or so: the oldest in use is at most five behind the newest.
      expect(lsn - (floor.position?.lsn ?? 0n)).toBeLessThanOrEqual(5n);
    }
    expect(lsn).toBeGreaterThan(20n);
    await clock.advance(120_000);
    expect(floors.floor()).toBe('now');
  });
});
