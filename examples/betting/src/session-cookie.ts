import type { MiddlewareHandler } from 'hono';
import { getCookie, setCookie } from 'hono/cookie';
import type { BettingLayer } from './layer.js';

const COOKIE = 'betting-session';

/**
 * Every request belongs to a session, whose token travels in a cookie: whoever has just placed a bet sees it, whichever
 * process, cache or replica answers the next request.
 */
export function sessionCookie(layer: BettingLayer): MiddlewareHandler {
  return async (context, next) => {
    const session = layer.session(getCookie(context, COOKIE), { onBadToken: 'begin-at-primary' });
    await session.run(next);
    try {
      setCookie(context, COOKIE, await session.token(), {
        httpOnly: true,
        sameSite: 'Lax',
        path: '/',
        maxAge: 15 * 60,
      });
    } catch {
      // The answer is right and only its token is missing: the next request begins at the primaries.
    }
  };
}
