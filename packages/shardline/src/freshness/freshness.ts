import type { SessionPosition } from '@shardline/pool';

/**
 * How fresh a load must be: the mark that an invalidation leaves in the cache, as text. Pure.
 *
 *     users-2@7412345678901234567/1/16B374D848/771
 *     shard    system identifier  tl   LSN      xmax
 *
 * Read on another shard (the slot has moved), or unreadable, it means `now`: a load then begins at a primary,
 * which holds everything that was acknowledged.
 */
export type LoadFloor = SessionPosition | 'now';

const NOW = 'now';

/** Writes the mark of a write: the position of its commit, or `now` where that could not be learnt. */
export function writeFreshness(shard: string, floor: LoadFloor): string {
  if (floor === NOW || floor.position === undefined) return NOW;
  const { systemIdentifier, position, snapshotXmax } = floor;
  const parts = [
    systemIdentifier,
    position.timeline,
    position.lsn.toString(16).toUpperCase(),
    snapshotXmax ?? '',
  ];
  return `${encodeURIComponent(shard)}@${parts.join('/')}`;
}

const MARK = /^([^@]+)@(\d+)\/(\d+)\/([0-9A-F]{1,16})\/(\d*)$/;

/** What a load on a shard must have reached; undefined if nothing is asked of it. */
export function readFreshness(text: string | undefined, shard: string): LoadFloor | undefined {
  if (text === undefined) return undefined;
  const match = MARK.exec(text);
  if (match === null) return NOW;
  const [, name = '', systemIdentifier = '', timeline, lsn, xmax] = match;
  if (decodeURIComponent(name) !== shard) return NOW;
  return {
    systemIdentifier,
    position: { timeline: Number(timeline), lsn: BigInt(`0x${lsn}`) },
    snapshotXmax: xmax === '' ? undefined : BigInt(xmax as string),
  };
}

/** Both at once. */
export function laterFloor(
  a: LoadFloor | undefined,
  b: LoadFloor | undefined,
): LoadFloor | undefined {
  if (a === undefined || b === undefined) return a ?? b;
  if (a === NOW || b === NOW) return NOW;
  if (a.systemIdentifier !== b.systemIdentifier) return NOW;
  const later = isBefore(a, b) ? b : a;
  return { ...later, snapshotXmax: laterXmax(a.snapshotXmax, b.snapshotXmax) };
}

function isBefore({ position: a }: SessionPosition, { position: b }: SessionPosition): boolean {
  if (a === undefined || b === undefined) return a === undefined;
  return a.timeline === b.timeline ? a.lsn < b.lsn : a.timeline < b.timeline;
}

function laterXmax(a: bigint | undefined, b: bigint | undefined): bigint | undefined {
  if (a === undefined || b === undefined) return a ?? b;
  return a > b ? a : b;
}
