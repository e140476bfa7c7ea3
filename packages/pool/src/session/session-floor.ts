import { laterPosition, type WalPosition } from '../topology/wal-position.js';

/** What a session must not go behind. Plain data; travels in a token. */
export interface SessionFloor {
  /** Newest position written or read. */
  readonly position: WalPosition | undefined;
  /**
   * Transactions below this may have been seen on a replica. A read that falls back to the primary
   * has to prove that the primary sees them too.
   */
  readonly snapshotXmax: bigint | undefined;
}

/** What routing needs to know of a session. */
export interface SessionView {
  readonly floor: SessionFloor;
  /** It wrote or read on the primary, and how far that reaches is still being found out. */
  readonly isPrimaryPending: boolean;
  /** Replicas that it read from, for which that is still being found out. */
  readonly pendingReplicas: ReadonlySet<string>;
}

export const NO_FLOOR: SessionFloor = Object.freeze({
  position: undefined,
  snapshotXmax: undefined,
});

/** Both floors at once. Merging never lowers either, and its order does not matter. */
export function mergeFloors(a: SessionFloor, b: SessionFloor): SessionFloor {
  return {
    position: laterPosition(a.position, b.position),
    snapshotXmax: laterXmax(a.snapshotXmax, b.snapshotXmax),
  };
}

function laterXmax(a: bigint | undefined, b: bigint | undefined): bigint | undefined {
  if (a === undefined || b === undefined) return a ?? b;
  return a > b ? a : b;
}
