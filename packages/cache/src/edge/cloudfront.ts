import { createHash } from 'node:crypto';
import { type EdgePurger, type Fetch, sendPurge } from './purger.js';
import type { EdgeTarget } from './surrogate-keys.js';

/** A request that is to be signed. */
export interface UnsignedRequest {
  readonly method: 'POST';
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/** How CloudFront is reached. */
export interface CloudFrontOptions {
  readonly distributionId: string;
  /** Which paths show a target: `/users/42`, `/boards/*`. None is fine, too. */
  readonly pathsOf: (target: EdgeTarget) => readonly string[];
  /**
   * Signs a request with AWS Signature Version 4 (service `cloudfront`, region `us-east-1`) and returns all
   * its headers. Keys and roles stay with the library that you have for them, such as
   * `@smithy/signature-v4` or `aws4fetch`.
   */
  readonly sign: (request: UnsignedRequest) => Promise<Record<string, string>>;
  /** @default 'https://cloudfront.amazonaws.com' */
  readonly baseUrl?: string | undefined;
  /** @default the global fetch */
  readonly fetch?: Fetch | undefined;
}

const API = '2020-05-31';

/**
 * Invalidates CloudFront by paths: it knows no surrogate keys, so you say which paths show what.
 *
 * @example
 * ```ts
 * import { cloudFrontPurger, createCache } from '@shardline/cache';
 *
 * declare function sign(request: { url: string; body: string }): Promise<Record<string, string>>;
 *
 * const purger = cloudFrontPurger({
 *   distributionId: 'EDFDVBD6EXAMPLE',
 *   pathsOf: ({ namespace, key }) => [`/api/${namespace}/${key ?? '*'}`],
 *   sign,
 * });
 * await using cache = createCache({ edge: [purger] });
 * ```
 */
export function cloudFrontPurger(options: CloudFrontOptions): EdgePurger {
  const { distributionId, pathsOf, sign, baseUrl = 'https://cloudfront.amazonaws.com' } = options;
  const send = options.fetch ?? fetch;
  const url = `${baseUrl}/${API}/distribution/${encodeURIComponent(distributionId)}/invalidation`;
  return {
    name: 'cloudfront',
    maxTargets: 100,
    async purge(targets, { signal }) {
      const paths = [...new Set(targets.flatMap((target) => pathsOf(target)))];
      if (paths.length === 0) return;
      const body = batchOf(paths, Date.now());
      const plain = { 'Content-Type': 'text/xml' };
      const headers = await sign({ method: 'POST', url, headers: plain, body });
      await sendPurge('cloudfront', send, url, { headers, body, signal });
    },
  };
}

function batchOf(paths: readonly string[], nowMs: number): string {
  const items = paths.map((path) => `<Path>${escapeXml(path)}</Path>`).join('');
  const hash = createHash('sha256').update(items).digest('base64url').slice(0, 16);
  return [
    '<?xml version="1.0" encoding="UTF-8"?>',
    `<InvalidationBatch xmlns="http://cloudfront.amazonaws.com/doc/${API}/">`,
    // Two with the same reference count as one, so each says when it was made and of what.
    `<CallerReference>shardline-${nowMs}-${hash}</CallerReference>`,
    `<Paths><Items>${items}</Items><Quantity>${paths.length}</Quantity></Paths>`,
    '</InvalidationBatch>',
  ].join('');
}

function escapeXml(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}
