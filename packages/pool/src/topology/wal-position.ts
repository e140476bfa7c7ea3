/**
 * Positions in PostgreSQL's write-ahead log.
 *
 * A position is a timeline and a byte address (LSN). Addresses grow along one timeline; a promotion
 * starts a new one, which continues the addresses from the point of the fork. Two addresses of
 * different timelines say nothing about each other unless the later timeline descends from the
 * earlier, which is so for every timeline of one cluster that Shardline will read from: a node whose
 * timeline is older than the newest known one is never taken as proof for a newer position.
 *
 * **The page-boundary trap.** `pg_current_wal_insert_lsn()` is where the *next* record will start. If
 * the last record ended exactly on the edge of a page, that is after the header of a page that nobody
 * has written yet: 24 bytes past the edge, or 40 where the page also begins a segment. Replay and
 * flush positions stop at the edge itself, and while the server is idle they stay there, so that a wait
 * for the raw value would never end (about 1 in 2000 waits, pgsql-hackers on WAIT FOR LSN). A position
 * of exactly page start plus header therefore means the page start. No record ends inside a header, so
 * mapping it back loses nothing.
 */
const PAGE_BYTES = 8192n;
const SHORT_HEADER_BYTES = 24n;
const LONG_HEADER_BYTES = 40n;
/** initdb's default; servers made with --wal-segsize say theirs in the probe. */
export const DEFAULT_SEGMENT_BYTES = 16n * 1024n * 1024n;

/** An address in the write-ahead log: a byte offset of up to 64 bits. */
export type Lsn = bigint;

/** A point in the history of a cluster. */
export interface WalPosition {
  readonly timeline: number;
  readonly lsn: Lsn;
}

const LSN_TEXT = /^([0-9A-Fa-f]{1,8})\/([0-9A-Fa-f]{1,8})$/;

/** Reads `16/B374D848`. Undefined if the text is no LSN. */
export function parseLsn(text: string): Lsn | undefined {
  const match = LSN_TEXT.exec(text);
  if (match === null) return undefined;
  return (BigInt(`0x${match[1]}`) << 32n) | BigInt(`0x${match[2]}`);
}

/** Writes an address the way PostgreSQL does: `16/B374D848`. */
export function formatLsn(lsn: Lsn): string {
  const high = (lsn >> 32n).toString(16).toUpperCase();
  const low = (lsn & 0xffff_ffffn).toString(16).toUpperCase();
  return `${high}/${low}`;
}

/** The end of the last record, given where the next one would start. */
export function settleInsertLsn(insertLsn: Lsn, segmentBytes: bigint = DEFAULT_SEGMENT_BYTES): Lsn {
  const pageStart = insertLsn - (insertLsn % PAGE_BYTES);
  const headerBytes = pageStart % segmentBytes === 0n ? LONG_HEADER_BYTES : SHORT_HEADER_BYTES;
  return insertLsn - pageStart === headerBytes ? pageStart : insertLsn;
}

/** Less than zero, zero or more than zero, by timeline first and address second. */
export function comparePositions(a: WalPosition, b: WalPosition): number {
  if (a.timeline !== b.timeline) return a.timeline - b.timeline;
  return a.lsn === b.lsn ? 0 : a.lsn < b.lsn ? -1 : 1;
}

/** The later of two positions; undefined is earlier than any. */
export function laterPosition(
  a: WalPosition | undefined,
  b: WalPosition | undefined,
): WalPosition | undefined {
  if (a === undefined) return b;
  if (b === undefined) return a;
  return comparePositions(a, b) >= 0 ? a : b;
}

/**
 * Whether a node that stands at `reached` holds everything up to `wanted`.
 *
 * On a newer timeline the address still has to be reached: what lies before the fork is common
 * history, and what the old timeline held beyond it is gone with it. On an older timeline nothing is
 * proven, whatever the address.
 */
export function hasReached(reached: WalPosition, wanted: WalPosition): boolean {
  return reached.timeline >= wanted.timeline && reached.lsn >= wanted.lsn;
}
