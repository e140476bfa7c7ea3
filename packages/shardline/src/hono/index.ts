/**
 * The data layer for Hono.
 */
import { honoSessions } from '@shardline/pool/http';
import type { MiddlewareHandler } from 'hono';
import type { KitLayer, KitOptions } from '../kits/kit-options.js';
import { probe } from '../lifecycle/probes.js';

export type { KitLayer, KitOptions, KitSessions } from '../kits/kit-options.js';

/** Variables that the middleware sets. */
export interface LayerVariables<Layer> {
  layer: Layer;
}

/**
 * One middleware: the layer as `context.get('layer')`, each request in the session of its client, and the
 * probes. Put it before the routes.
 *
 * @throws ShardlineError `CONFIG_INVALID`.
 *
 * @example
 * ```ts
 * import { Hono } from 'hono';
 * import type { DataLayer } from 'shardline';
 * import { honoLayer } from 'shardline/hono';
 *
 * declare const layer: DataLayer;
 * const app = new Hono<{ Variables: { layer: DataLayer } }>();
 * app.use(honoLayer({ layer }));
 * app.get('/stats', (context) => context.json(context.get('layer').stats()));
 * ```
 */
export function honoLayer<Layer extends KitLayer>(
  options: KitOptions<Layer>,
): MiddlewareHandler<{ Variables: LayerVariables<Layer> }> {
  const { layer, session = {}, probes = {} } = options;
  const sessions = session === false ? undefined : honoSessions({ ...session, pool: layer });
  return async (context, next) => {
    const answer = probes === false ? undefined : probe(layer, context.req.path, probes);
    if (answer !== undefined) return context.json(answer.body, answer.status);
    context.set('layer', layer);
    if (sessions === undefined) await next();
    else await sessions(context, next);
    return undefined;
  };
}
