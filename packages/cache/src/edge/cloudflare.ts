import { type EdgePurger, type Fetch, purgeFailed, sendPurge } from './purger.js';

/** How Cloudflare is reached. */
export interface CloudflareOptions {
  readonly zoneId: string;
  /** An API token with the permission to purge the zone's cache. */
  readonly token: string;
  /** @default 'https://api.cloudflare.com/client/v4' */
  readonly baseUrl?: string | undefined;
  /** @default the global fetch */
  readonly fetch?: Fetch | undefined;
}

/**
 * Purges Cloudflare by cache tags, up to 30 in one request, which every plan takes.
 *
 * @example
 * ```ts
 * import { cloudflarePurger, createCache } from '@shardline/cache';
 *
 * declare const token: string;
 * await using cache = createCache({ edge: [cloudflarePurger({ zoneId: '023e105f4ecef8ad', token })] });
 * ```
 */
export function cloudflarePurger(options: CloudflareOptions): EdgePurger {
  const { zoneId, token, baseUrl = 'https://api.cloudflare.com/client/v4' } = options;
  const send = options.fetch ?? fetch;
  const url = `${baseUrl}/zones/${encodeURIComponent(zoneId)}/purge_cache`;
  const headers = { Authorization: `Bearer ${token}`, 'Content-Type': 'application/json' };
  return {
    name: 'cloudflare',
    maxTargets: 30,
    async purge(targets, { signal }) {
      const body = JSON.stringify({ tags: targets.map((one) => one.surrogateKey) });
      const response = await sendPurge('cloudflare', send, url, { headers, body, signal });
      const { success, errors } = (await response.json()) as {
        success?: boolean;
        errors?: unknown;
      };
      if (success !== true) throw purgeFailed('cloudflare', `refused: ${JSON.stringify(errors)}`);
    },
  };
}
