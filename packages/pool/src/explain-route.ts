import { withDeadline } from '@shardline/core';
import type { Cluster } from './cluster.js';
import type { RouteExplanation, RouteRequest } from './router.js';

/**
 * Where a statement would go, once the servers' roles are known or the time for that is over: a cluster
 * without a primary has an explanation too.
 */
export async function explainRoute(
  cluster: Cluster,
  request: RouteRequest,
  timeoutMs: number,
): Promise<RouteExplanation> {
  const { signal } = request;
  const starting = cluster.start().catch(() => {});
  const wait = { timeoutMs, signal, doing: 'Learning the roles of the servers' };
  await withDeadline(wait, () => starting).catch((error: unknown) => {
    if (signal?.aborted) throw error;
  });
  return cluster.router.explain(request);
}
