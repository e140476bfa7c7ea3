import type { SessionFloor } from './session-floor.js';

/** What routing needs to know of a session. */
export interface SessionView {
  readonly floor: SessionFloor;
  /** A write was acknowledged and its position is still being fetched: only the primary is certain. */
  readonly isWritePending: boolean;
  /** Replicas that were read from and whose position is still being fetched. */
  readonly pendingReplicas: ReadonlySet<string>;
}
