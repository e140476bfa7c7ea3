import {
  type CarriedSession,
  SessionCarrier,
  type SessionCarrierOptions,
} from './session-carrier.js';

/** What of a Fastify instance is used. */
export interface FastifyLike {
  addHook(
    name: 'onRequest',
    hook: (request: FastifyRequestLike, reply: FastifyReplyLike, done: () => void) => void,
  ): unknown;
  addHook(
    name: 'onSend',
    hook: (
      request: FastifyRequestLike,
      reply: FastifyReplyLike,
      payload: unknown,
    ) => Promise<unknown>,
  ): unknown;
}

interface FastifyRequestLike {
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
}

interface FastifyReplyLike {
  header(name: string, value: string): unknown;
}

/**
 * Sessions for Fastify: adds its hooks to an instance, and so to all routes registered on it.
 *
 * @example
 * ```ts
 * import { ReplicaPool } from '@shardline/pool';
 * import { fastifySessions, type FastifyLike } from '@shardline/pool/http';
 *
 * declare const app: FastifyLike; // fastify()
 * declare const pool: ReplicaPool;
 * fastifySessions(app, { pool });
 * ```
 */
export function fastifySessions(app: FastifyLike, options: SessionCarrierOptions): void {
  const carrier = new SessionCarrier(options);
  const sessions = new WeakMap<object, CarriedSession>();
  app.addHook('onRequest', (request, _reply, done) => {
    const session = carrier.begin((name) => {
      const value = request.headers[name.toLowerCase()];
      return Array.isArray(value) ? value[0] : value;
    });
    sessions.set(request, session);
    session.run(done);
  });
  app.addHook('onSend', async (request, reply, payload) => {
    const session = sessions.get(request);
    if (session === undefined) return payload;
    try {
      reply.header(...(await carrier.finish(session)));
    } catch {
      // The answer is right and only its token is missing: the next request begins without a floor.
    }
    return payload;
  });
}
