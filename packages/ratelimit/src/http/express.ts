import { HttpLimiter } from './http-limiter.js';
import type { HttpLimitOptions, RequestView } from './http-options.js';

/** What is used of a request of Express, or of any server on `node:http`. */
export interface ExpressRequest {
  readonly method?: string | undefined;
  readonly originalUrl?: string | undefined;
  readonly url?: string | undefined;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly socket?: { readonly remoteAddress?: string | undefined } | undefined;
}

/** What is used of a response. */
export interface ExpressResponse {
  statusCode: number;
  setHeader(name: string, value: string): unknown;
  end(body: string): unknown;
}

/**
 * Limits for Express 4 and 5, Connect, and plain `node:http`.
 *
 * @throws ShardlineError `CONFIG_INVALID`.
 *
 * @example
 * ```ts
 * import { createServer } from 'node:http';
 * import { createLimiter } from '@shardline/ratelimit';
 * import { expressLimits } from '@shardline/ratelimit/http';
 *
 * const limiter = createLimiter({ memory: true, policies: { api: { limit: 100, window: '1m' } } });
 * const limits = expressLimits({ limiter, trustedProxies: 1 });
 *
 * createServer((request, response) => {
 *   limits(request, response, () => response.end('hello'));
 * });
 * ```
 */
export function expressLimits<Request extends ExpressRequest = ExpressRequest>(
  options: HttpLimitOptions<Request>,
) {
  const limits = new HttpLimiter<Request>(options);
  return (request: Request, response: ExpressResponse, next: (error?: unknown) => void): void => {
    limits.decide(viewOf(request)).then((verdict) => {
      for (const [name, value] of Object.entries(verdict.headers)) response.setHeader(name, value);
      if (verdict.allowed) {
        next();
        return;
      }
      response.statusCode = verdict.status;
      response.end(JSON.stringify(verdict.body));
    }, next);
  };
}

function viewOf<Request extends ExpressRequest>(request: Request): RequestView<Request> {
  return {
    method: request.method ?? 'GET',
    url: request.originalUrl ?? request.url ?? '/',
    header: (name) => firstOf(request.headers[name], name),
    remoteAddress: request.socket?.remoteAddress,
    native: request,
  };
}

/** Lines of X-Forwarded-For add up; of any other header the first counts. */
export function firstOf(value: string | string[] | undefined, name: string): string | undefined {
  if (!Array.isArray(value)) return value;
  return name === 'x-forwarded-for' ? value.join(',') : value[0];
}
