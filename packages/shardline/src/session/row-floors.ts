/**
 * What a session has seen of single rows, so that no cache shows it an older one. Pure.
 *
 * A cache holds what was read at some time from some server, and two entries of one row cannot be told by
 * their age alone: clocks differ, and a replica lags. Positions tell. Every cached row carries a *mark*, the
 * two positions of its shard between which it was read:
 *
 * - it shows everything that was acknowledged up to `from`;
 * - it shows nothing that was committed after `to`.
 *
 * So a row may follow one that was seen before if it is the same load, or if its `from` has reached the other's
 * `to`. Anything else may be older, and is not shown. A write of the session's own has one position for both.
 *
 * The memory is bounded, since it travels in a token: the rows seen longest ago fall out. For those, the
 * session rests on what the cache promises to everybody: that an acknowledged invalidation is heard of.
 */
export interface Point {
  readonly timeline: number;
  readonly lsn: bigint;
}

/** Where a row was read. */
export interface RowMark {
  readonly shard: string;
  /** Undefined where nothing is known of it. */
  readonly from: Point | undefined;
  readonly to: Point;
}

/** Rows that a session remembers. */
export const MAX_ROWS = 32;

/** Later than any position: what was seen is not known, so nothing but the source will do. */
const BEYOND: Point = { timeline: 0xffff_ffff, lsn: 0xffff_ffff_ffff_ffffn };

/** A mark that nothing reaches. */
export function unknownMark(shard: string): RowMark {
  return { shard, from: undefined, to: BEYOND };
}

/** Whether a point holds everything up to another; on an older timeline nothing is proven. */
export function reaches(point: Point, wanted: Point): boolean {
  return point.timeline >= wanted.timeline && point.lsn >= wanted.lsn;
}

/** Whether a row may be shown to somebody who has seen another state of it. */
export function mayFollow(mark: RowMark, seen: RowMark): boolean {
  if (isSameLoad(mark, seen)) return true;
  if (mark.shard !== seen.shard || mark.from === undefined) return false;
  return reaches(mark.from, seen.to);
}

function isSameLoad(a: RowMark, b: RowMark): boolean {
  const isKnown = b.to.timeline !== BEYOND.timeline;
  return isKnown && a.shard === b.shard && isSame(a.from, b.from) && isSame(a.to, b.to);
}

function isSame(a: Point | undefined, b: Point | undefined): boolean {
  return a?.timeline === b?.timeline && a?.lsn === b?.lsn;
}

/** Both at once: the later where they can be compared, else one that nothing reaches. */
function joinMarks(a: RowMark, b: RowMark): RowMark {
  if (mayFollow(a, b)) return a;
  if (mayFollow(b, a)) return b;
  if (a.shard !== b.shard) return unknownMark(a.shard);
  // Two loads that overlap: whatever follows must have reached the later end of both.
  const to = reaches(a.to, b.to) ? a.to : reaches(b.to, a.to) ? b.to : BEYOND;
  return { shard: a.shard, from: undefined, to };
}

/** A bounded memory of rows by the hash of their name. */
export class RowFloors {
  readonly #rows = new Map<string, RowMark>();
  readonly #limit: number;

  constructor(rows: Iterable<readonly [row: string, mark: RowMark]> = [], limit = MAX_ROWS) {
    this.#limit = limit;
    for (const [row, mark] of rows) this.see(row, mark);
  }

  /** What was seen of a row last. */
  of(row: string): RowMark | undefined {
    return this.#rows.get(row);
  }

  /** Remembers a row that may follow what was seen of it before. */
  see(row: string, mark: RowMark): void {
    this.#rows.delete(row);
    this.#rows.set(row, mark);
    if (this.#rows.size <= this.#limit) return;
    const [oldest] = this.#rows.keys();
    if (oldest !== undefined) this.#rows.delete(oldest);
  }

  /** Takes in what another session has seen. */
  merge(row: string, mark: RowMark): void {
    const known = this.#rows.get(row);
    this.see(row, known === undefined ? mark : joinMarks(known, mark));
  }

  /** The longest remembered first. */
  entries(): IterableIterator<[string, RowMark]> {
    return this.#rows.entries();
  }
}
