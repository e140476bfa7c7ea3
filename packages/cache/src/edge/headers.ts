import type { EdgeTarget } from './surrogate-keys.js';

/**
 * What a response tells browsers and edges, from the policy of the namespace that it is made of. Pure.
 *
 * Browsers cannot be purged, so they are given little or nothing; an edge can, so it may keep a response for
 * as long as the namespace does. A `strict` namespace lets nobody keep anything: what it promises ends
 * where nobody can be told.
 */
export interface EdgePolicy {
  readonly isStrict: boolean;
  readonly edgeTtlMs: number;
  readonly browserTtlMs: number;
  readonly staleWhileRevalidateMs: number;
  readonly staleIfErrorMs: number;
}

/** Header fields by name. */
export type HeaderFields = Readonly<Record<string, string>>;

const NOBODY: HeaderFields = { 'Cache-Control': 'private, no-store' };

export function edgeHeaders(policy: EdgePolicy, targets: readonly EdgeTarget[]): HeaderFields {
  if (policy.isStrict) return NOBODY;
  const names = targets.map(({ surrogateKey }) => surrogateKey);
  const stale = [
    span('stale-while-revalidate', policy.staleWhileRevalidateMs),
    span('stale-if-error', policy.staleIfErrorMs),
  ].join('');
  return {
    'Cache-Control':
      policy.browserTtlMs < 1000
        ? 'public, max-age=0, must-revalidate'
        : `public, max-age=${seconds(policy.browserTtlMs)}`,
    'CDN-Cache-Control': `public, max-age=${seconds(policy.edgeTtlMs)}${stale}`,
    'Surrogate-Key': names.join(' '),
    'Cache-Tag': names.join(','),
  };
}

function span(name: string, milliseconds: number): string {
  return milliseconds < 1000 ? '' : `, ${name}=${seconds(milliseconds)}`;
}

/** Whole seconds, rounded down: nobody may keep it longer than was meant. */
function seconds(milliseconds: number): number {
  return Math.floor(milliseconds / 1000);
}
