import { type HandlerRun, ResponseCache, type ResponseCacheOptions } from './response-cache.js';
import type { RenderedResponse } from './stored-response.js';

/** What is used of a context of Hono. */
export interface HonoCachedContext {
  readonly req: {
    readonly method: string;
    readonly url: string;
    header(name: string): string | undefined;
  };
  get res(): Response;
  set res(response: Response | undefined);
}

/**
 * Caches responses as a middleware of Hono, on any runtime.
 *
 * @throws ShardlineError `CONFIG_INVALID`.
 *
 * @example
 * ```ts
 * import { createCache } from '@shardline/cache';
 * import { type HonoCachedContext, honoResponses, type StoredResponse } from '@shardline/cache/http';
 *
 * declare const app: {
 *   request(path: string, init: { headers: Record<string, string> }): Promise<Response> | Response;
 *   use(
 *     path: string,
 *     handler: (context: HonoCachedContext, next: () => Promise<void>) => Promise<Response | undefined>,
 *   ): void;
 * };
 * const cache = createCache({ redis: 'redis://127.0.0.1:6379' });
 * const namespace = cache.namespace<StoredResponse>('pages', {
 *   ttl: '1m',
 *   staleWhileRevalidate: '10m',
 * });
 *
 * app.use('/boards/*', honoResponses({ namespace, revalidate: (path, init) => app.request(path, init) }));
 * ```
 */
export function honoResponses<Context extends HonoCachedContext = HonoCachedContext>(
  options: ResponseCacheOptions,
) {
  const responses = new ResponseCache(options);
  return async (context: Context, next: () => Promise<void>): Promise<Response | undefined> => {
    const { method, url } = context.req;
    const { pathname, search } = new URL(url);
    const verdict = await responses.decide({
      method,
      path: pathname + search,
      header: (name) => context.req.header(name),
    });
    if (verdict.kind === 'answer') return responseOf(verdict.response);
    if (verdict.kind === 'pass') {
      await next();
      return undefined;
    }
    await runHandler(context, next, verdict.run);
    return undefined;
  };
}

async function runHandler(
  context: HonoCachedContext,
  next: () => Promise<void>,
  run: HandlerRun,
): Promise<void> {
  try {
    await next();
  } catch (error) {
    run.abandon();
    throw error;
  }
  const { res } = context;
  const body = await bodyOf(res, run.maxBytes);
  if (body === undefined) {
    run.abandon();
    return;
  }
  const headers: Record<string, string> = {};
  for (const [name, value] of res.headers) headers[name] = value;
  if (res.headers.getSetCookie().length > 0) {
    // A cookie is for one client, and several of them do not fit into one field.
    run.abandon();
    return;
  }
  const rendered = await run.finish({ status: res.status, headers, body });
  // Hono merges the old response's headers into the new one unless it is taken away first.
  context.res = undefined;
  context.res = responseOf(rendered);
}

/** The body of a response, which stays readable; undefined if it streams or is too large. */
async function bodyOf(response: Response, maxBytes: number): Promise<Buffer | undefined> {
  if (response.headers.get('content-type')?.startsWith('text/event-stream')) return undefined;
  if (Number(response.headers.get('content-length') ?? 0) > maxBytes) return undefined;
  const stream = response.clone().body;
  if (stream === null) return Buffer.alloc(0);
  const reader = stream.getReader();
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return Buffer.concat(chunks);
    bytes += value.length;
    if (bytes > maxBytes) {
      void reader.cancel();
      return undefined;
    }
    chunks.push(value);
  }
}

function responseOf({ status, headers, body }: RenderedResponse): Response {
  return new Response(body === undefined ? null : new Uint8Array(body), { status, headers });
}
