import { firstOf } from './express.js';
import { HttpLimiter } from './http-limiter.js';
import type { HttpLimitOptions } from './http-options.js';

/** What is used of a request of Fastify. */
export interface FastifyLimitedRequest {
  readonly method: string;
  readonly url: string;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly socket: { readonly remoteAddress?: string | undefined };
}

/** What is used of a reply. */
export interface FastifyLimitedReply {
  headers(values: Record<string, string>): unknown;
  code(status: number): unknown;
  send(body: string): unknown;
}

/**
 * Limits as an `onRequest` hook of Fastify, for the server, a plugin or one route.
 *
 * @throws ShardlineError `CONFIG_INVALID`.
 *
 * @example
 * ```ts
 * import { createLimiter } from '@shardline/ratelimit';
 * import { fastifyLimits, type FastifyLimitedReply, type FastifyLimitedRequest } from '@shardline/ratelimit/http';
 *
 * declare const app: {
 *   addHook(
 *     name: 'onRequest',
 *     hook: (request: FastifyLimitedRequest, reply: FastifyLimitedReply) => Promise<unknown>,
 *   ): void;
 * };
 * const limiter = createLimiter({ memory: true, policies: { api: { limit: 100, window: '1m' } } });
 *
 * app.addHook('onRequest', fastifyLimits({ limiter }));
 * ```
 */
export function fastifyLimits<Request extends FastifyLimitedRequest = FastifyLimitedRequest>(
  options: HttpLimitOptions<Request>,
) {
  const limits = new HttpLimiter<Request>(options);
  return async (request: Request, reply: FastifyLimitedReply): Promise<unknown> => {
    const verdict = await limits.decide({
      method: request.method,
      url: request.url,
      header: (name) => firstOf(request.headers[name], name),
      remoteAddress: request.socket.remoteAddress,
      native: request,
    });
    reply.headers(verdict.headers);
    if (verdict.allowed) return undefined;
    reply.code(verdict.status);
    // A hook that returns its reply has answered; the handler is not run.
    reply.send(JSON.stringify(verdict.body));
    return reply;
  };
}
