import type { Decision } from '../limiter/decision.js';
import type { RateLimiter } from '../limiter/limiter.js';
import type { CheckOptions } from '../limiter/request.js';
import type { TrustedProxies } from './client-address.js';
import type { HeaderVersion } from './headers.js';

/** What a limiter needs to know of a request, whatever the framework. */
export interface RequestView<Native> {
  readonly method: string;
  /** Path and query. */
  readonly url: string;
  /** First value of a header, by its name in lower case. */
  header(name: string): string | undefined;
  /** Address of the peer of the connection, where there is one. */
  readonly remoteAddress: string | undefined;
  /** The framework's own request. */
  readonly native: Native;
}

/** How requests are limited. */
export interface HttpLimitOptions<Native = unknown> {
  readonly limiter: Pick<RateLimiter, 'check' | 'refund'>;
  /** Policies to ask. @default all of the limiter's */
  readonly policy?: CheckOptions['policy'];
  /**
   * Whom a request counts for: a user, an API key. Nothing or an empty text means the client's address.
   * @default the client's address
   */
  readonly subject?: (
    request: RequestView<Native>,
  ) => string | undefined | Promise<string | undefined>;
  /** Tier of the request. @default the limiter's own resolver */
  readonly tier?: (request: RequestView<Native>) => string | undefined;
  /** Tokens that a request costs. @default 1 */
  readonly cost?: number | ((request: RequestView<Native>) => number | Promise<number>);
  /** Lets a request pass without being counted. */
  readonly skip?: (request: RequestView<Native>) => boolean | Promise<boolean>;
  /**
   * Proxies whose `X-Forwarded-For` is believed: how many there are, or their addresses and ranges. Nobody
   * else's is. @default 0
   */
  readonly trustedProxies?: TrustedProxies;
  /** Bits of an IPv6 address that count: an ISP hands whole networks to one person. @default 56 */
  readonly ipv6Prefix?: number;
  /** Form of the RateLimit fields; `false` for none. `Retry-After` is always sent. @default 'draft-11' */
  readonly headers?: HeaderVersion | false;
  /** Called for every decision, before the answer is written. */
  readonly onDecision?: (decision: Decision, request: RequestView<Native>) => void;
}
