import type { SessionPosition } from '../pool-session.js';
import type { TopologyState } from './topology-state.js';
import { comparePositions, type WalPosition } from './wal-position.js';

/**
 * The earliest of the positions that the servers in use are known to have reached. Pure.
 *
 * Positions only grow on a server that is used, so whatever was acknowledged up to this one every later read
 * shows, wherever it goes.
 */
export function reachedByAll(state: TopologyState): SessionPosition | undefined {
  const { systemIdentifier, primary, replicas, nodes } = state;
  if (systemIdentifier === undefined || primary === undefined) return undefined;
  let earliest: WalPosition | undefined;
  for (const name of [primary, ...replicas]) {
    const position = nodes.get(name)?.position;
    if (position === undefined) return undefined;
    if (earliest === undefined || comparePositions(position, earliest) < 0) earliest = position;
  }
  return { systemIdentifier, position: earliest, snapshotXmax: undefined };
}
