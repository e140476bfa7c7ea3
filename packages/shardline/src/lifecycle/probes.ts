import type { DataLayer, DataLayerHealth } from '../data-layer.js';

/** What of a layer probes ask. */
export type ProbedLayer = Pick<DataLayer, 'health'>;

/** The answer to a probe of a balancer or an orchestrator. */
export interface ProbeAnswer {
  readonly status: 200 | 503;
  readonly body: Readonly<Record<string, unknown>>;
}

/** Paths of the probes. */
export interface ProbePaths {
  /** @default '/healthz' */
  readonly liveness?: string;
  /** @default '/readyz' */
  readonly readiness?: string;
}

/**
 * Whether the process should go on: 503 only once the layer has been closed. A database that is away is no
 * reason to restart the process.
 *
 * @example
 * ```ts
 * import { createServer } from 'node:http';
 * import { type DataLayer, liveness } from 'shardline';
 *
 * declare const layer: DataLayer;
 * createServer((_request, response) => {
 *   const { status, body } = liveness(layer);
 *   response.writeHead(status).end(JSON.stringify(body));
 * });
 * ```
 */
export function liveness(layer: ProbedLayer): ProbeAnswer {
  const { live } = layer.health();
  return { status: live ? 200 : 503, body: { live } };
}

/** Whether requests should come here: 503 while a shard cannot be used, and once the layer begins to close. */
export function readiness(layer: ProbedLayer): ProbeAnswer {
  const { ready, reasons, router, cache, limits } = layer.health();
  return {
    status: ready ? 200 : 503,
    body: {
      ready,
      reasons,
      shards: router?.shards,
      cache: shortOf(cache),
      limits: limits?.breaker,
    },
  };
}

/** The answer to a path, if it is that of a probe. */
export function probe(
  layer: ProbedLayer,
  path: string,
  { liveness: livePath = '/healthz', readiness: readyPath = '/readyz' }: ProbePaths = {},
): ProbeAnswer | undefined {
  if (path === livePath) return liveness(layer);
  return path === readyPath ? readiness(layer) : undefined;
}

function shortOf(cache: DataLayerHealth['cache']) {
  if (cache === undefined) return undefined;
  const { healthy, pendingInvalidations, tiers } = cache;
  return { healthy, pendingInvalidations, tiers };
}
