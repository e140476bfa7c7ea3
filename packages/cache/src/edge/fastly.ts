import { type EdgePurger, type Fetch, sendPurge } from './purger.js';

/** How Fastly is reached. */
export interface FastlyOptions {
  readonly serviceId: string;
  /** An API token with the scope `purge_select`. */
  readonly token: string;
  /** Mark as stale rather than remove, so that the edge may serve it while it revalidates. @default false */
  readonly isSoft?: boolean | undefined;
  /** @default 'https://api.fastly.com' */
  readonly baseUrl?: string | undefined;
  /** @default the global fetch */
  readonly fetch?: Fetch | undefined;
}

/**
 * Purges Fastly by surrogate keys, up to 256 in one request.
 *
 * @example
 * ```ts
 * import { createCache, fastlyPurger } from '@shardline/cache';
 *
 * declare const token: string;
 * await using cache = createCache({ edge: [fastlyPurger({ serviceId: 'SU1Z0isxPaozGVKXdv0eY', token })] });
 * ```
 */
export function fastlyPurger(options: FastlyOptions): EdgePurger {
  const { serviceId, token, isSoft = false, baseUrl = 'https://api.fastly.com' } = options;
  const send = options.fetch ?? fetch;
  const url = `${baseUrl}/service/${encodeURIComponent(serviceId)}/purge`;
  const headers = {
    'Fastly-Key': token,
    'Content-Type': 'application/json',
    Accept: 'application/json',
    ...(isSoft ? { 'Fastly-Soft-Purge': '1' } : {}),
  };
  return {
    name: 'fastly',
    maxTargets: 256,
    async purge(targets, { signal }) {
      const body = JSON.stringify({ surrogate_keys: targets.map((one) => one.surrogateKey) });
      await sendPurge('fastly', send, url, { headers, body, signal });
    },
  };
}
