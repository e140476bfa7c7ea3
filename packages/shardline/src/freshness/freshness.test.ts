import { ManualClock } from '@shardline/core';
import { describe, expect, test } from 'vitest';
import { laterFloor, readFreshness, WRITTEN } from './freshness.js';
import { RecentFloors } from './recent-floors.js';

const position = (lsn: bigint, timeline = 1, snapshotXmax?: bigint) => ({
  systemIdentifier: '7412345678901234567',
  position: { timeline, lsn },
  snapshotXmax,
});

describe('the mark of a write', () => {
  test('asks for all that is acknowledged, whatever it says', () => {
    expect(readFreshness(WRITTEN)).toBe('now');
    expect(readFreshness('0/30000F8')).toBe('now');
    expect(readFreshness(undefined)).toBeUndefined();
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
