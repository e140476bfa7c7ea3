import type { NodeState } from './node-state.js';

/** What is known of all servers of one topology at one moment. */
export interface TopologyState {
  readonly nodes: ReadonlyMap<string, NodeState>;
  /** The one server that may be written to; undefined while that is not certain. */
  readonly primary: string | undefined;
  /** Why there is no primary, when there is none. */
  readonly noPrimaryReason: 'not-yet-probed' | 'none-found' | 'split-brain' | undefined;
  /** Newest timeline seen on any server of this cluster. */
  readonly timeline: number;
  /** The cluster that this topology belongs to, once known. */
  readonly systemIdentifier: string | undefined;
}
