import { ShardlineError } from '@shardline/core';
import { cacheErrors } from '../errors.js';
import type { EdgeTarget } from './surrogate-keys.js';

/** A way to make an edge forget. Use `fastlyPurger`, `cloudflarePurger` or `cloudFrontPurger`, or your own. */
export interface EdgePurger {
  readonly name: string;
  /** Most targets in one call. */
  readonly maxTargets: number;
  /** Resolves once the edge has taken the order; rejects if it did not: then it is repeated. */
  purge(targets: readonly EdgeTarget[], context: { readonly signal: AbortSignal }): Promise<void>;
}

/** `fetch`, or what stands in for it. */
export type Fetch = (url: string, init: RequestInit) => Promise<Response>;

/** One request to a purge API. @throws ShardlineError `CACHE_EDGE_PURGE_FAILED` unless it was taken. */
export async function sendPurge(
  edge: string,
  send: Fetch,
  url: string,
  init: RequestInit,
): Promise<Response> {
  let response: Response;
  try {
    response = await send(url, { method: 'POST', ...init });
  } catch (cause) {
    throw purgeFailed(edge, 'cannot be reached', cause);
  }
  if (response.ok) return response;
  const text = (await response.text().catch(() => '')).slice(0, 200);
  throw purgeFailed(edge, `answered ${response.status}: ${text}`);
}

export function purgeFailed(edge: string, why: string, cause?: unknown): ShardlineError {
  return new ShardlineError(cacheErrors.CACHE_EDGE_PURGE_FAILED, `The edge ${edge} ${why}.`, {
    ...(cause === undefined ? {} : { cause }),
  });
}
