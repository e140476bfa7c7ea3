import { checkOptions, type Duration, durationOption } from '@shardline/core';
import * as v from 'valibot';

/** A session as it is carried: of one pool, or of a data layer over many. */
export interface CarriedSession {
  run<T>(work: () => T): T;
  token(): Promise<string>;
}

/** What begins sessions: a `ReplicaPool`, or a data layer. */
export interface SessionSource {
  session(
    token?: string,
    options?: { readonly onBadToken?: 'throw' | 'begin-at-primary' },
  ): CarriedSession;
}

/**
 * How a session travels with HTTP requests: its token comes in by a cookie or a header, everything
 * that the request does belongs to the session, and the new token leaves by the same way.
 *
 * A token that is no good does not fail the request; the session begins at the primary then. Tokens are
 * signed if the pool has signing keys, and should be: they come from outside.
 */
export interface SessionCarrierOptions {
  /** A `ReplicaPool`, or a data layer. */
  readonly pool: SessionSource;
  /** `'cookie'` for browsers, `'header'` for services that pass it on themselves. @default 'cookie' */
  readonly via?: 'cookie' | 'header';
  /** Of the cookie or the header. @default 'shardline-session' */
  readonly name?: string;
  /** Whether the cookie is for HTTPS only. @default true */
  readonly secure?: boolean;
  /** @default 'Lax' */
  readonly sameSite?: 'Lax' | 'Strict' | 'None';
  /** How long a browser keeps the cookie. @default '15m' */
  readonly maxAge?: Duration;
}

/** RFC 6265 and RFC 9110 call this a token. */
const NAME = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;

const schema = v.strictObject({
  pool: v.custom<SessionSource>(
    (pool) => typeof (pool as SessionSource | undefined)?.session === 'function',
    'must be a ReplicaPool or a data layer',
  ),
  via: v.optional(v.picklist(['cookie', 'header']), 'cookie'),
  name: v.optional(
    v.pipe(v.string(), v.regex(NAME, 'must be a name without spaces')),
    'shardline-session',
  ),
  secure: v.optional(v.boolean(), true),
  sameSite: v.optional(v.picklist(['Lax', 'Strict', 'None']), 'Lax'),
  maxAge: v.optional(durationOption({ min: '1s' }), '15m'),
});

/** Takes sessions out of requests and puts them into responses. */
export class SessionCarrier {
  readonly #options: v.InferOutput<typeof schema>;

  /** @throws ShardlineError `CONFIG_INVALID` */
  constructor(options: SessionCarrierOptions) {
    this.#options = checkOptions(schema, options, 'the session middleware');
  }

  /** The session of a request, by its headers. */
  begin(header: (name: string) => string | undefined): CarriedSession {
    const { pool, via, name } = this.#options;
    const token = via === 'header' ? header(name) : cookieOf(header('cookie'), name);
    return pool.session(token, { onBadToken: 'begin-at-primary' });
  }

  /** The header that takes the session along. */
  async finish(session: CarriedSession): Promise<readonly [name: string, value: string]> {
    const { via, name, secure, sameSite, maxAge } = this.#options;
    const token = await session.token();
    if (via === 'header') return [name, token];
    const seconds = Math.floor(maxAge / 1000);
    const parts = [
      `${name}=${token}`,
      'Path=/',
      `Max-Age=${seconds}`,
      'HttpOnly',
      `SameSite=${sameSite}`,
    ];
    return ['Set-Cookie', [...parts, ...(secure ? ['Secure'] : [])].join('; ')];
  }
}

function cookieOf(header: string | undefined, name: string): string | undefined {
  for (const part of header?.split(';') ?? []) {
    const at = part.indexOf('=');
    if (at > 0 && part.slice(0, at).trim() === name) return part.slice(at + 1).trim();
  }
  return undefined;
}
