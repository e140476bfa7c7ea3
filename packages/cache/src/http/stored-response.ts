import { isUtf8 } from 'node:buffer';
import { createHash } from 'node:crypto';

/** A response as a namespace keeps it: plain data that any codec takes. */
export interface StoredResponse {
  readonly status: number;
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
  readonly encoding: 'utf8' | 'base64';
  /** When it was made, by the wall clock. */
  readonly madeAtMs: number;
}

/** What a handler has answered. */
export interface CapturedResponse {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | number | undefined>>;
  readonly body: Buffer;
}

/** What goes to the client. */
export interface RenderedResponse {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  /** Undefined where none may be sent. */
  readonly body: Buffer | undefined;
}

/** Statuses that may be kept without the response's saying so (RFC 9110, 15.1), less those about ranges. */
const STORABLE = new Set([200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501]);

/** About this connection and this moment, not about the response. */
const NOT_STORED = new Set([
  'connection',
  'keep-alive',
  'transfer-encoding',
  'upgrade',
  'trailer',
  'date',
  'age',
  'content-length',
]);

/** A captured response as it is kept, or undefined if it must not be. */
export function storable(
  captured: CapturedResponse,
  rules: { readonly varied: ReadonlySet<string>; readonly maxBytes: number },
  nowMs: number,
): StoredResponse | undefined {
  const headers = textHeaders(captured.headers);
  const { body } = captured;
  if (!STORABLE.has(captured.status) || body.length > rules.maxBytes) return undefined;
  // A cookie is for one client; who may keep the rest, the response itself says.
  if (headers['set-cookie'] !== undefined) return undefined;
  if (/\b(no-store|no-cache|private)\b/i.test(headers['cache-control'] ?? '')) return undefined;
  if (!namesOf(headers['vary']).every((name) => rules.varied.has(name))) return undefined;
  const encoding = isUtf8(body) ? 'utf8' : 'base64';
  const kept = Object.entries(headers).filter(([name]) => !NOT_STORED.has(name));
  return {
    status: captured.status,
    headers: { etag: etagOf(captured.status, body), ...Object.fromEntries(kept) },
    body: body.toString(encoding),
    encoding,
    madeAtMs: nowMs,
  };
}

/** Weak: whoever compresses it on its way changes its bytes and nothing else. */
function etagOf(status: number, body: Buffer): string {
  const hash = createHash('sha256').update(`${status} `).update(body).digest('base64url');
  return `W/"${hash.slice(0, 27)}"`;
}

/** Header fields as texts, with names in lower case. */
export function textHeaders(headers: CapturedResponse['headers']): Record<string, string> {
  const texts: Record<string, string> = {};
  for (const [name, value] of Object.entries(headers)) {
    if (value === undefined) continue;
    texts[name.toLowerCase()] = Array.isArray(value) ? value.join(', ') : String(value);
  }
  return texts;
}

/** Names in a list such as Vary. */
export function namesOf(list: string | undefined): string[] {
  return (list ?? '')
    .split(',')
    .map((name) => name.trim().toLowerCase())
    .filter((name) => name !== '');
}

/** Whether If-None-Match names the entity tag, compared weakly (RFC 9110, 13.1.2). */
export function matchesEtag(ifNoneMatch: string | undefined, etag: string | undefined): boolean {
  if (ifNoneMatch === undefined || etag === undefined) return false;
  if (ifNoneMatch.trim() === '*') return true;
  const bare = (tag: string) => tag.trim().replace(/^W\//, '');
  const listed = ifNoneMatch.match(/(?:W\/)?"[^"]*"/g) ?? [];
  return listed.some((tag) => bare(tag) === bare(etag));
}
