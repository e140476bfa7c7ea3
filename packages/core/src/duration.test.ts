import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { durationMs, formatDuration } from './duration.js';
import { isShardlineError } from './errors.js';

describe('durationMs', () => {
  test.each([
    ['250ms', 250],
    ['30s', 30_000],
    ['5m', 300_000],
    ['1h', 3_600_000],
    ['7d', 604_800_000],
    ['2w', 1_209_600_000],
    ['1.5s', 1500],
    ['1h30m', 5_400_000],
    ['0s', 0],
  ] as const)('reads %s as %d ms', (text, expected) => {
    expect(durationMs(text)).toBe(expected);
  });

  test.each([
    '',
    '30',
    's',
    '-1s',
    '1 s',
    '1y',
    '30m1h',
    '1s1s',
    '1s ',
    'Infinitys',
    '9e9s',
    '1e999w',
  ])('refuses %j', (text) => {
    expect(() => durationMs(text)).toThrow(expect.objectContaining({ code: 'DURATION_INVALID' }));
  });

  test('refuses a bare number and quotes both readings', () => {
    expect(() => durationMs(30 as never, 'ttl')).toThrow(
      /ttl: 30 has no unit: write '30s' if seconds are meant, '30ms' if milliseconds/,
    );
  });

  test('an endless length is refused, not rounded to nonsense', () => {
    try {
      durationMs(`${'9'.repeat(30)}w`);
      expect.unreachable();
    } catch (error) {
      expect(isShardlineError(error, 'DURATION_INVALID')).toBe(true);
    }
  });

  test('what formatDuration writes, durationMs reads back', () => {
    fc.assert(
      fc.property(fc.nat({ max: 2 ** 40 }), (milliseconds) => {
        expect(durationMs(formatDuration(milliseconds))).toBe(milliseconds);
      }),
    );
  });
});
