import { HttpLimiter, type HttpVerdict } from './http-limiter.js';
import type { HttpLimitOptions } from './http-options.js';

/**
 * Limits for anything that speaks `Request`: says what is to be done and which headers to send.
 *
 * @throws ShardlineError `CONFIG_INVALID`.
 *
 * @example
 * ```ts
 * import { createLimiter } from '@shardline/ratelimit';
 * import { fetchLimits } from '@shardline/ratelimit/http';
 *
 * const limiter = createLimiter({ memory: true, policies: { api: { limit: 100, window: '1m' } } });
 * const limits = fetchLimits({ limiter });
 *
 * export async function handle(request: Request, remoteAddress: string): Promise<Response> {
 *   const verdict = await limits(request, remoteAddress);
 *   if (verdict.allowed) return new Response('hello', { headers: verdict.headers });
 *   return new Response(JSON.stringify(verdict.body), verdict);
 * }
 * ```
 */
export function fetchLimits(options: HttpLimitOptions<Request>) {
  const limits = new HttpLimiter<Request>(options);
  return (request: Request, remoteAddress?: string): Promise<HttpVerdict> =>
    limits.decide({
      method: request.method,
      url: request.url,
      header: (name) => request.headers.get(name) ?? undefined,
      remoteAddress,
      native: request,
    });
}
