import type { StatementClass } from '../classify/statement-class.js';
import type { SessionView } from '../session/session.js';
import type { TopologyState } from '../topology/topology-state.js';

/** Where the caller explicitly wants a statement to run. */
export type RouteTarget = 'primary' | 'replica' | { readonly node: string };

/** Everything that the choice depends on. */
export interface RouteQuestion {
  readonly statement: StatementClass;
  readonly target?: RouteTarget | undefined;
  readonly session?: SessionView | undefined;
  readonly topology: TopologyState;
  /** Names of servers that are ejected for now. */
  readonly ejected: ReadonlySet<string>;
  /** Where reads go when nothing else is said. */
  readonly reads: 'replica' | 'primary';
}

/**
 * Where a statement goes.
 *
 * - `primary`: to that server.
 * - `replicas`: to any of these; the balancer picks one.
 * - `wait-for-primary`: nobody may be written to at present; wait until somebody may, or the deadline.
 * - `wait-for-position`: no replica is known to have reached the session's floor; ask or wait a short
 *   while, then take the primary.
 * - `prove-snapshot`: the primary may be asked, once it is known to see what the session has seen on a replica.
 * - `refuse`: there is no right place, and waiting will not make one.
 */
export type RouteDecision =
  | { readonly to: 'primary'; readonly node: string; readonly reason: string }
  | { readonly to: 'replicas'; readonly nodes: readonly string[]; readonly reason: string }
  | { readonly to: 'wait-for-primary'; readonly reason: string }
  | {
      readonly to: 'wait-for-position';
      readonly nodes: readonly string[];
      readonly reason: string;
    }
  | {
      readonly to: 'prove-snapshot';
      readonly node: string;
      readonly snapshotXmax: bigint;
      readonly reason: string;
    }
  | {
      readonly to: 'refuse';
      readonly code: 'TARGET_UNKNOWN' | 'TARGET_UNUSABLE' | 'SPLIT_BRAIN';
      readonly reason: string;
    };
