import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  comparePositions,
  formatLsn,
  hasReached,
  laterPosition,
  parseLsn,
  settleInsertLsn,
} from './wal-position.js';

const MEBIBYTE = 1024n * 1024n;
const anyLsn = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });
const anyPosition = fc.record({ timeline: fc.integer({ min: 1, max: 5 }), lsn: anyLsn });

describe('an LSN', () => {
  test('is read and written as PostgreSQL does', () => {
    expect(parseLsn('16/B374D848')).toBe(0x16_b374_d848n);
    expect(formatLsn(0x16_b374_d848n)).toBe('16/B374D848');
    expect(formatLsn(0n)).toBe('0/0');
  });

  test('of any value survives the round trip', () => {
    fc.assert(fc.property(anyLsn, (lsn) => parseLsn(formatLsn(lsn)) === lsn));
  });

  test.each(['', '1', '/', '1/', 'G/0', '1/123456789', '1/2/3', ' 1/2'])('is not %j', (text) => {
    expect(parseLsn(text)).toBeUndefined();
  });
});

describe('a position behind the header of an unwritten page', () => {
  test('means the edge of the page', () => {
    expect(settleInsertLsn(parseLsn('0/3002018') as bigint)).toBe(parseLsn('0/3002000'));
  });

  test('means the edge of the segment where the long header lies', () => {
    expect(settleInsertLsn(parseLsn('0/3000028') as bigint)).toBe(parseLsn('0/3000000'));
    expect(settleInsertLsn(parseLsn('0/3000018') as bigint)).toBe(parseLsn('0/3000018'));
    expect(settleInsertLsn(parseLsn('0/3002028') as bigint)).toBe(parseLsn('0/3002028'));
  });

  test('depends on the size of segments', () => {
    const inSegmentOf16 = 17n * MEBIBYTE + 24n;
    expect(settleInsertLsn(inSegmentOf16)).toBe(17n * MEBIBYTE);
    expect(settleInsertLsn(17n * MEBIBYTE + 40n, MEBIBYTE)).toBe(17n * MEBIBYTE);
  });

  test('is the only one that moves, and never by more than a header', () => {
    fc.assert(
      fc.property(anyLsn, (lsn) => {
        const settled = settleInsertLsn(lsn);
        const moved = lsn - settled;
        return moved === 0n || ((moved === 24n || moved === 40n) && settled % 8192n === 0n);
      }),
    );
  });
});

describe('positions', () => {
  test('are ordered by timeline first', () => {
    fc.assert(
      fc.property(anyPosition, anyPosition, (a, b) => {
        const order = comparePositions(a, b);
        expect(Math.sign(comparePositions(b, a))).toBe(-Math.sign(order) + 0);
        const later = laterPosition(a, b);
        return (
          later !== undefined && comparePositions(later, a) >= 0 && comparePositions(later, b) >= 0
        );
      }),
    );
  });

  test('on an older timeline prove nothing, whatever the address', () => {
    fc.assert(
      fc.property(anyPosition, anyPosition, (reached, wanted) => {
        if (!hasReached(reached, wanted)) return true;
        return reached.timeline >= wanted.timeline && reached.lsn >= wanted.lsn;
      }),
    );
    expect(hasReached({ timeline: 1, lsn: 100n }, { timeline: 2, lsn: 1n })).toBe(false);
    expect(hasReached({ timeline: 2, lsn: 99n }, { timeline: 1, lsn: 100n })).toBe(false);
    expect(hasReached({ timeline: 2, lsn: 100n }, { timeline: 1, lsn: 100n })).toBe(true);
  });
});
