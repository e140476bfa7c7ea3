import { HttpLimiter } from './http-limiter.js';
import type { HttpLimitOptions } from './http-options.js';

/** What is used of a context of Hono. */
export interface HonoContext {
  readonly req: {
    readonly method: string;
    readonly url: string;
    header(name: string): string | undefined;
  };
  /** Where @hono/node-server puts the connection. */
  readonly env: unknown;
  header(name: string, value: string): void;
  body(data: string, status: never, headers: Record<string, string>): Response;
}

/**
 * Limits as a middleware of Hono, on any runtime. The peer's address is known on Node; elsewhere give
 * `subject`, or requests count for one unknown address together.
 *
 * @throws ShardlineError `CONFIG_INVALID`.
 *
 * @example
 * ```ts
 * import { createLimiter } from '@shardline/ratelimit';
 * import { honoLimits, type HonoContext } from '@shardline/ratelimit/http';
 *
 * declare const app: {
 *   use(handler: (context: HonoContext, next: () => Promise<void>) => Promise<Response | undefined>): void;
 * };
 * const limiter = createLimiter({ memory: true, policies: { api: { limit: 100, window: '1m' } } });
 *
 * app.use(honoLimits({ limiter, subject: (request) => request.header('x-api-key') }));
 * ```
 */
export function honoLimits<Context extends HonoContext = HonoContext>(
  options: HttpLimitOptions<Context>,
) {
  const limits = new HttpLimiter<Context>(options);
  return async (context: Context, next: () => Promise<void>): Promise<Response | undefined> => {
    const verdict = await limits.decide({
      method: context.req.method,
      url: context.req.url,
      header: (name) => context.req.header(name),
      remoteAddress: remoteAddressOf(context.env),
      native: context,
    });
    if (!verdict.allowed) {
      return context.body(JSON.stringify(verdict.body), verdict.status as never, verdict.headers);
    }
    await next();
    for (const [name, value] of Object.entries(verdict.headers)) context.header(name, value);
    return undefined;
  };
}

function remoteAddressOf(env: unknown): string | undefined {
  const incoming = (env as { incoming?: { socket?: { remoteAddress?: string } } } | undefined)
    ?.incoming;
  return incoming?.socket?.remoteAddress;
}
