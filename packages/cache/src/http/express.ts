import { type HandlerRun, ResponseCache, type ResponseCacheOptions } from './response-cache.js';
import type { RenderedResponse } from './stored-response.js';

/** What is used of a request of Express, or of any server on `node:http`. */
export interface ExpressCachedRequest {
  readonly method?: string | undefined;
  readonly originalUrl?: string | undefined;
  readonly url?: string | undefined;
  readonly headers: Record<string, string | string[] | undefined>;
}

/** What is used of a response. */
export interface ExpressCachedResponse {
  statusCode: number;
  readonly writableEnded: boolean;
  setHeader(name: string, value: string | readonly string[]): unknown;
  removeHeader(name: string): void;
  getHeaders(): Record<string, string | string[] | number | undefined>;
  writeHead(status: number, ...rest: unknown[]): unknown;
  write(...args: unknown[]): boolean;
  end(...args: unknown[]): unknown;
  flushHeaders(): void;
  once(event: 'close', listener: () => void): unknown;
}

/**
 * Caches responses for Express 4 and 5, Connect, and plain `node:http`.
 *
 * A response is held back until its handler has ended it, so that it can be kept, tagged or answered with
 * 304; one that streams (`flushHeaders`) or grows beyond `maxBytes` goes on as it is.
 *
 * @throws ShardlineError `CONFIG_INVALID`.
 *
 * @example
 * ```ts
 * import { createServer } from 'node:http';
 * import { createCache } from '@shardline/cache';
 * import { expressResponses, type StoredResponse } from '@shardline/cache/http';
 *
 * const cache = createCache({ redis: 'redis://127.0.0.1:6379' });
 * const namespace = cache.namespace<StoredResponse>('pages', { ttl: '1m' });
 * const responses = expressResponses({ namespace, vary: ['Accept-Language'] });
 *
 * createServer((request, response) => {
 *   responses(request, response, () => response.end('hello'));
 * });
 * ```
 */
export function expressResponses<Request extends ExpressCachedRequest = ExpressCachedRequest>(
  options: ResponseCacheOptions,
) {
  const responses = new ResponseCache(options);
  return (
    request: Request,
    response: ExpressCachedResponse,
    next: (error?: unknown) => void,
  ): void => {
    const { headers } = request;
    // The handler must answer in full: what the client knows already is compared here.
    const { 'if-none-match': ifNoneMatch } = headers;
    const header = (name: string) =>
      name === 'if-none-match' ? textOf(ifNoneMatch) : textOf(headers[name]);
    const path = request.originalUrl ?? request.url ?? '/';
    responses.decide({ method: request.method ?? 'GET', path, header }).then((verdict) => {
      if (verdict.kind === 'answer') {
        send(response, verdict.response, response.end.bind(response));
        return;
      }
      if (verdict.kind === 'run') {
        delete headers['if-none-match'];
        delete headers['if-modified-since'];
        capture(response, verdict.run);
      }
      next();
    }, next);
  };
}

function textOf(value: string | string[] | undefined): string | undefined {
  return Array.isArray(value) ? value.join(', ') : value;
}

/** Holds a response back until it is ended, then sends what comes of it. */
function capture(response: ExpressCachedResponse, run: HandlerRun): void {
  const { writeHead, write, end, flushHeaders } = response;
  const chunks: Buffer[] = [];
  let bytes = 0;
  let isOver = false;
  const restore = () => {
    isOver = true;
    Object.assign(response, { writeHead, write, end, flushHeaders });
  };
  const passOn = () => {
    if (isOver) return;
    restore();
    run.abandon();
    for (const chunk of chunks) response.write(chunk);
  };
  const take = (chunk: unknown, encoding: unknown): void => {
    if (chunk === undefined || chunk === null || typeof chunk === 'function') return;
    const isText = typeof chunk === 'string';
    const charset = typeof encoding === 'string' ? (encoding as BufferEncoding) : 'utf8';
    const buffer = isText ? Buffer.from(chunk, charset) : Buffer.from(chunk as Uint8Array);
    chunks.push(buffer);
    bytes += buffer.length;
  };
  const callbackOf = (args: unknown[]) =>
    args.find((one): one is () => void => typeof one === 'function');

  response.writeHead = (status: number, ...rest: unknown[]) => {
    response.statusCode = status;
    const given = rest.find((one) => typeof one === 'object' && one !== null);
    for (const [name, value] of pairsOf(given)) response.setHeader(name, value);
    return response;
  };
  response.flushHeaders = () => {
    passOn();
    response.flushHeaders();
  };
  response.write = (...args: unknown[]) => {
    take(args[0], args[1]);
    if (bytes > run.maxBytes) passOn();
    callbackOf(args)?.();
    return true;
  };
  response.end = (...args: unknown[]) => {
    if (isOver) return response;
    take(args[0], args[1]);
    if (bytes > run.maxBytes) {
      passOn();
      response.end(callbackOf(args));
      return response;
    }
    restore();
    const captured = {
      status: response.statusCode,
      headers: response.getHeaders(),
      body: Buffer.concat(chunks),
    };
    const done = callbackOf(args);
    run
      .finish(captured)
      .then((rendered) =>
        send(response, rendered, (body) => end.call(response, body, done), captured.headers),
      );
    return response;
  };
  response.once('close', () => {
    if (!isOver) run.abandon();
  });
}

/** Header fields as `writeHead` takes them: by name, or names and values in turn. */
function pairsOf(given: unknown): readonly (readonly [string, string])[] {
  if (!Array.isArray(given)) return Object.entries((given ?? {}) as Record<string, string>);
  const pairs: [string, string][] = [];
  for (let index = 0; index + 1 < given.length; index += 2) {
    pairs.push([String(given[index]), String(given[index + 1])]);
  }
  return pairs;
}

function send(
  response: ExpressCachedResponse,
  { status, headers, body }: RenderedResponse,
  end: (body?: Buffer) => unknown,
  before: ReturnType<ExpressCachedResponse['getHeaders']> = {},
): void {
  // Several cookies are several fields; they were there before and stay as they are.
  for (const name of Object.keys(before)) {
    if (!(name.toLowerCase() in headers)) response.removeHeader(name);
  }
  for (const [name, value] of Object.entries(headers)) {
    if (name !== 'set-cookie') response.setHeader(name, value);
  }
  if (body !== undefined && status !== 304)
    response.setHeader('content-length', String(body.length));
  response.statusCode = status;
  end(body);
}
