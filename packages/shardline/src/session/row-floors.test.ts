import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { mayFollow, type Point, RowFloors, type RowMark, unknownMark } from './row-floors.js';

const at = (lsn: number, timeline = 1): Point => ({ timeline, lsn: BigInt(lsn) });
const mark = (from: number | undefined, to: number, shard = 'one'): RowMark => ({
  shard,
  from: from === undefined ? undefined : at(from),
  to: at(to),
});

describe('a row may follow another', () => {
  test('if it is the same load, or was read after everything that the other can show', () => {
    expect(mayFollow(mark(5, 9), mark(5, 9))).toBe(true);
    expect(mayFollow(mark(9, 12), mark(5, 9))).toBe(true);
    expect(mayFollow(mark(12, 12), mark(12, 12))).toBe(true);
  });

  test('not if the two were read at overlapping times, or nothing is known of when', () => {
    expect(mayFollow(mark(8, 12), mark(5, 9))).toBe(false);
    expect(mayFollow(mark(undefined, 99), mark(5, 9))).toBe(false);
    expect(mayFollow(unknownMark('one'), unknownMark('one'))).toBe(false);
  });

  test('not if it was read on another shard, or on an older timeline', () => {
    expect(mayFollow(mark(99, 99, 'two'), mark(5, 9))).toBe(false);
    const promoted: RowMark = { shard: 'one', from: at(9, 2), to: at(9, 2) };
    expect(mayFollow(promoted, mark(5, 9))).toBe(true);
    expect(mayFollow(mark(99, 99), promoted)).toBe(false);
  });

  test('never if some state between the two could have been seen and lost', () => {
    // A row as a server shows it: the state of some moment between `from` and `to`, of all moments.
    const moments = fc
      .tuple(fc.nat(20), fc.nat(20))
      .map(([a, b]) => [Math.min(a, b), Math.max(a, b)]);
    fc.assert(
      fc.property(moments, moments, ([from = 0, to = 0], [seenFrom = 0, seenTo = 0]) => {
        const isSame = from === seenFrom && to === seenTo;
        if (!mayFollow(mark(from, to), mark(seenFrom, seenTo)) || isSame) return;
        // The earliest that this can show is no earlier than the latest that was shown.
        expect(from).toBeGreaterThanOrEqual(seenTo);
      }),
    );
  });
});

describe('the rows of a session', () => {
  test('are bounded: the one that was seen longest ago falls out', () => {
    const rows = new RowFloors([], 2);
    rows.see('a', mark(1, 1));
    rows.see('b', mark(2, 2));
    rows.see('a', mark(3, 3));
    rows.see('c', mark(4, 4));
    expect([...rows.entries()].map(([row]) => row)).toEqual(['a', 'c']);
  });

  test('of two tokens hold both: the later where they can be compared', () => {
    const rows = new RowFloors([['a', mark(5, 9)]]);
    rows.merge('a', mark(2, 3));
    expect(rows.of('a')).toEqual(mark(5, 9));
    rows.merge('a', mark(9, 12));
    expect(rows.of('a')).toEqual(mark(9, 12));
  });

  test('of two tokens that overlap ask for what is past both', () => {
    const rows = new RowFloors([['a', mark(5, 9)]]);
    rows.merge('a', mark(8, 12));
    const joined = rows.of('a') as RowMark;
    expect(mayFollow(mark(11, 20), joined)).toBe(false);
    expect(mayFollow(mark(12, 20), joined)).toBe(true);
  });

  test('of two tokens from two shards are shown nothing but the source', () => {
    const rows = new RowFloors([['a', mark(5, 9)]]);
    rows.merge('a', mark(7, 7, 'two'));
    expect(mayFollow(mark(99, 99), rows.of('a') as RowMark)).toBe(false);
    expect(mayFollow(mark(99, 99, 'two'), rows.of('a') as RowMark)).toBe(false);
  });
});
