import type { Cluster } from './cluster.js';
import type { NodePoolCounts } from './node/node-pool-options.js';

/** How one server does. */
export interface NodeHealth {
  readonly name: string;
  readonly role: 'primary' | 'replica' | 'unknown';
  /** Why it is not used, if it is not. */
  readonly fault: string | undefined;
  readonly isEjected: boolean;
  readonly lagMs: number | undefined;
  readonly lagBytes: bigint | undefined;
  readonly connections: NodePoolCounts;
  /** Why the last dial failed, while none has succeeded since. */
  readonly lastDialError: string | undefined;
}

/** How the pool does. */
export interface PoolHealth {
  /** `up`: all is well. `degraded`: some server is not used. `down`: nothing can be written. */
  readonly status: 'up' | 'degraded' | 'down';
  /** The server that takes writes. */
  readonly primary: string | undefined;
  readonly nodes: readonly NodeHealth[];
}

/** Says how the pool does from what is known, without asking anybody. */
export function healthOf(cluster: Cluster): PoolHealth {
  const isWatched = cluster.nodes.size > 1;
  const { state } = cluster.monitor;
  const ejected = cluster.ejection.ejected(cluster.monotonicMs());
  const nodes = [...cluster.nodes.values()].map((node): NodeHealth => {
    const view = state.nodes.get(node.name);
    const failure = node.pool.lastDialError;
    return {
      name: node.name,
      role: isWatched ? (view?.role ?? 'unknown') : 'primary',
      fault: view?.fault,
      isEjected: ejected.has(node.name),
      lagMs: view?.lagMs,
      lagBytes: view?.lagBytes,
      connections: node.pool.counts,
      lastDialError: failure?.message,
    };
  });
  const primary = isWatched ? state.primary : cluster.declared.name;
  const hasFault = nodes.some(
    ({ fault, isEjected, lastDialError }) => fault !== undefined || isEjected || lastDialError,
  );
  const isDown = primary === undefined || (!isWatched && nodes[0]?.lastDialError !== undefined);
  return { status: isDown ? 'down' : hasFault ? 'degraded' : 'up', primary, nodes };
}
