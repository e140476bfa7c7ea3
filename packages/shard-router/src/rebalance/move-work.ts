/**
 * A move as it is being worked at: what is moved, the sessions on both shards, how careful to be.
 */

import type { MoveContext } from './move-context.js';
import type { MoveRow } from './move-row.js';
import type { MoveSession } from './move-session.js';
import type { MoveRole } from './move-state.js';
import type { FilledMoveLimits } from './rebalancer-options.js';

/** One side of a move. */
export interface MoveSide {
  readonly role: MoveRole;
  readonly shard: string;
  readonly session: MoveSession;
  /** Major version of the server. */
  readonly version: number;
  /** How the other side's server reaches this one, without user and password. */
  readonly peerAddress: string;
}

/** Everything that a step needs. */
export interface MoveWork {
  /** The journal's row, as of its newest generation. */
  readonly row: MoveRow;
  readonly context: MoveContext;
  readonly source: MoveSide;
  readonly destination: MoveSide;
  readonly limits: FilledMoveLimits;
  /** Told between the parts of long work; throws to end it at a safe point. */
  readonly checkpoint: () => Promise<void>;
}

/** The other side. */
export function otherRole(role: MoveRole): MoveRole {
  return role === 'source' ? 'destination' : 'source';
}
