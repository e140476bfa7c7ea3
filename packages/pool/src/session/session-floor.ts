import type { WalPosition } from '../topology/wal-position.js';

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
