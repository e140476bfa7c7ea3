/**
 * The data layer for Fastify.
 */
import { type FastifyLike, fastifySessions } from '@shardline/pool/http';
import type { FastifyPluginAsync } from 'fastify';
import type { DataLayer } from '../data-layer.js';
import type { KitLayer, KitOptions } from '../kits/kit-options.js';
import { liveness, readiness } from '../lifecycle/probes.js';

export type { KitLayer, KitOptions, KitSessions } from '../kits/kit-options.js';

/** What the plugin is told. */
export interface FastifyLayerOptions<Layer extends KitLayer = KitLayer> extends KitOptions<Layer> {
  /** Whether the layer is closed with the application. @default true */
  readonly close?: boolean;
}

/**
 * The plugin: the layer as `app.layer`, each request in the session of its client, the probes as routes, and
 * the layer closed after the application has answered its last request.
 *
 * @example
 * ```ts
 * import fastify from 'fastify';
 * import type { DataLayer } from 'shardline';
 * import { fastifyLayer } from 'shardline/fastify';
 *
 * declare module 'fastify' {
 *   interface FastifyInstance {
 *     layer: DataLayer;
 *   }
 * }
 * declare const layer: DataLayer;
 *
 * const app = fastify();
 * await app.register(fastifyLayer, { layer });
 * app.get('/stats', async () => app.layer.stats());
 * ```
 */
export const fastifyLayer: FastifyPluginAsync<FastifyLayerOptions> = Object.assign(
  (async (app, options) => {
    const { layer, session = {}, probes = {}, close = true } = options;
    app.decorate('layer', layer as never);
    if (session !== false) {
      fastifySessions(app as unknown as FastifyLike, { ...session, pool: layer });
    }
    if (probes !== false) {
      app.get(probes.liveness ?? '/healthz', async (_request, reply) => {
        const { status, body } = liveness(layer);
        return reply.code(status).send(body);
      });
      app.get(probes.readiness ?? '/readyz', async (_request, reply) => {
        const { status, body } = readiness(layer);
        return reply.code(status).send(body);
      });
    }
    if (close) {
      app.addHook('onClose', async () => {
        await (layer as Partial<DataLayer>).close?.();
      });
    }
  }) satisfies FastifyPluginAsync<FastifyLayerOptions>,
  // What it decorates is for the application, not for a context of its own; so `fastify-plugin` marks it.
  { [Symbol.for('skip-override')]: true },
);
