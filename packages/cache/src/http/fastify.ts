import { type HandlerRun, ResponseCache, type ResponseCacheOptions } from './response-cache.js';
import type { RenderedResponse } from './stored-response.js';

/** What is used of a request of Fastify. */
export interface FastifyCachedRequest {
  readonly method: string;
  readonly url: string;
  readonly headers: Record<string, string | string[] | undefined>;
}

/** What is used of a reply. */
export interface FastifyCachedReply {
  readonly statusCode: number;
  readonly raw: { once(event: 'close', listener: () => void): unknown };
  getHeaders(): Record<string, string | string[] | number | undefined>;
  headers(values: Record<string, string>): unknown;
  removeHeader(name: string): unknown;
  code(status: number): unknown;
  send(body: unknown): unknown;
}

/** What is used of a server. */
export interface FastifyCachedServer {
  addHook(
    name: 'onRequest',
    hook: (request: FastifyCachedRequest, reply: FastifyCachedReply) => Promise<unknown>,
  ): unknown;
  addHook(
    name: 'onSend',
    hook: (
      request: FastifyCachedRequest,
      reply: FastifyCachedReply,
      payload: unknown,
    ) => Promise<unknown>,
  ): unknown;
}

/**
 * Caches responses as a plugin of Fastify, for the server or the scope that it is registered in.
 *
 * @throws ShardlineError `CONFIG_INVALID`.
 *
 * @example
 * ```ts
 * import { createCache } from '@shardline/cache';
 * import { type FastifyCachedServer, fastifyResponses, type StoredResponse } from '@shardline/cache/http';
 *
 * declare const app: { register(plugin: (server: FastifyCachedServer) => Promise<void>): void };
 * const cache = createCache({ redis: 'redis://127.0.0.1:6379' });
 * const namespace = cache.namespace<StoredResponse>('pages', { ttl: '1m' });
 *
 * app.register(fastifyResponses({ namespace }));
 * ```
 */
export function fastifyResponses(options: ResponseCacheOptions) {
  const responses = new ResponseCache(options);
  const runs = new WeakMap<FastifyCachedRequest, HandlerRun>();
  const plugin = async (server: FastifyCachedServer): Promise<void> => {
    server.addHook('onRequest', async (request, reply) => {
      const { method, url: path, headers } = request;
      const known = { ...headers };
      const header = (name: string) => textOf(known[name]);
      const verdict = await responses.decide({ method, path, header });
      if (verdict.kind === 'pass') return undefined;
      if (verdict.kind === 'answer') {
        apply(reply, verdict.response);
        // A hook that returns its reply has answered; the handler is not run.
        reply.send(verdict.response.body);
        return reply;
      }
      // The handler must answer in full: what the client knows already is compared here.
      delete headers['if-none-match'];
      delete headers['if-modified-since'];
      runs.set(request, verdict.run);
      reply.raw.once('close', () => verdict.run.abandon());
      return undefined;
    });
    server.addHook('onSend', async (request, reply, payload) => {
      const run = runs.get(request);
      runs.delete(request);
      const body = run && bytesOf(payload, run.maxBytes);
      if (run === undefined || body === undefined) {
        run?.abandon();
        return payload;
      }
      const before = reply.getHeaders();
      const rendered = await run.finish({ status: reply.statusCode, headers: before, body });
      for (const name of Object.keys(before)) {
        if (!(name in rendered.headers)) reply.removeHeader(name);
      }
      apply(reply, rendered);
      return rendered.body ?? null;
    });
  };
  // Fastify gives a plugin a scope of its own unless it says that it wants none.
  return Object.assign(plugin, { [Symbol.for('skip-override')]: true });
}

function apply(reply: FastifyCachedReply, { status, headers }: RenderedResponse): void {
  const { 'set-cookie': _, ...others } = headers;
  reply.code(status);
  // Fastify knows the length of what it sends.
  reply.removeHeader('content-length');
  reply.headers(others);
}

/** The body, if it is there as a whole; a stream goes on as it is. */
function bytesOf(payload: unknown, maxBytes: number): Buffer | undefined {
  const body =
    typeof payload === 'string'
      ? Buffer.from(payload)
      : payload === null || payload === undefined
        ? Buffer.alloc(0)
        : Buffer.isBuffer(payload)
          ? payload
          : undefined;
  return body !== undefined && body.length <= maxBytes ? body : undefined;
}

function textOf(value: string | string[] | undefined): string | undefined {
  return Array.isArray(value) ? value.join(', ') : value;
}
