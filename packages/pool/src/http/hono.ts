import { SessionCarrier, type SessionCarrierOptions } from './session-carrier.js';

/** What of a Hono context is used. */
export interface HonoContextLike {
  readonly req: { header(name: string): string | undefined };
  header(name: string, value: string, options?: { append?: boolean }): void;
}

/**
 * Sessions for Hono.
 *
 * @example
 * ```ts
 * import { Hono } from 'hono';
 * import { ReplicaPool } from '@shardline/pool';
 * import { honoSessions } from '@shardline/pool/http';
 *
 * declare const pool: ReplicaPool;
 * const app = new Hono();
 * app.use(honoSessions({ pool }));
 * ```
 */
export function honoSessions(options: SessionCarrierOptions) {
  const carrier = new SessionCarrier(options);
  return async (context: HonoContextLike, next: () => Promise<void>): Promise<void> => {
    const session = carrier.begin((name) => context.req.header(name));
    await session.run(next);
    try {
      const [name, value] = await carrier.finish(session);
      context.header(name, value, { append: true });
    } catch {
      // The answer is right and only its token is missing: the next request begins without a floor.
    }
  };
}
