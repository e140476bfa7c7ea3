import type { SessionPosition } from '@shardline/pool';

/**
 * How fresh a load must be. Pure.
 *
 * The mark that an invalidation leaves in the cache says `now`: a load behind it begins at what a primary holds at that
 * time, which is everything that was acknowledged. It is not the position of the write, though more replicas could
 * answer then. Marks of two writers may arrive in another order than they committed in, and a cache cannot compare
 * them: where unlike ones meet it asks for the freshest there is, which comes to the same.
 */
export type LoadFloor = SessionPosition | 'now';

/** The mark of a write. */
export const WRITTEN = 'now';

/** What a load must have reached; undefined if nothing is asked of it. Whatever the mark says, nothing less will do. */
export function readFreshness(mark: string | undefined): LoadFloor | undefined {
  return mark === undefined ? undefined : 'now';
}

/** Both at once. */
export function laterFloor(
  a: LoadFloor | undefined,
  b: LoadFloor | undefined,
): LoadFloor | undefined {
  if (a === undefined || b === undefined) return a ?? b;
  if (a === 'now' || b === 'now') return 'now';
  if (a.systemIdentifier !== b.systemIdentifier) return 'now';
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
