import { createHash, randomUUID } from 'node:crypto';
import {
  type ConfigurationFault,
  checkOptions,
  configurationError,
  integerOption,
} from '@shardline/core';
import * as v from 'valibot';
import type { CacheNamespace } from '../namespace.js';
import {
  type CapturedResponse,
  matchesEtag,
  namesOf,
  type RenderedResponse,
  type StoredResponse,
  storable,
  textHeaders,
} from './stored-response.js';

/**
 * Whole responses in a namespace: one core behind every framework's middleware.
 *
 * A request that misses becomes the load of its key: the lease is taken first, then the handler runs, and
 * what it answers is filled as any value is, so an invalidation in between wins. Others who ask for the same
 * meanwhile wait for it, in every process. The handler of a miss answers its own client; a refresh behind
 * a client's back has none, so it asks the service anew through `revalidate`.
 */

/** A request as the cache sees it. */
export interface RequestView {
  readonly method: string;
  /** Path and query: `/boards/weekly?page=2`. */
  readonly path: string;
  header(name: string): string | undefined;
}

/** How responses are cached. */
export interface ResponseCacheOptions {
  /** Where they are kept, and for how long; invalidate its keys, tags or patterns as anywhere else. */
  readonly namespace: CacheNamespace<StoredResponse>;
  /** The key of a request. @default path and query, and the headers of `vary` */
  readonly key?: ((request: RequestView) => string) | undefined;
  /** Request headers on which responses depend. @default none */
  readonly vary?: readonly string[] | undefined;
  /**
   * Requests that are not cached at all. @default those with Authorization or Cookie, unless `vary` names it
   */
  readonly skip?: ((request: RequestView) => boolean) | undefined;
  /** Larger responses are passed on and not kept. @default 1 MiB */
  readonly maxBytes?: number | undefined;
  /**
   * Asks the service itself for a path, with the given headers; needed where the namespace refreshes behind
   * its readers' backs (`staleWhileRevalidate`, `eagerRefresh`). With Hono
   * `(path, init) => app.request(path, init)`, elsewhere a `fetch` to its own address.
   */
  readonly revalidate?:
    | ((path: string, init: { headers: Record<string, string> }) => Promise<Response> | Response)
    | undefined;
}

/** What is to be done with a request. */
export type Verdict =
  /** It is none of ours: run the handler and leave its answer alone. */
  | { readonly kind: 'pass' }
  | { readonly kind: 'answer'; readonly response: RenderedResponse }
  /** Run the handler, hand over what it answered, and send what comes back. */
  | { readonly kind: 'run'; readonly run: HandlerRun };

/** A handler whose answer is waited for. */
export interface HandlerRun {
  readonly maxBytes: number;
  finish(captured: CapturedResponse): Promise<RenderedResponse>;
  /** There will be no answer that could be kept: it streams, is too large, or the client has gone. */
  abandon(): void;
}

const PASS: Verdict = { kind: 'pass' };
const MARK = 'shardline-revalidate';
const MAX_KEY_LENGTH = 512;

const anyFunction = v.custom<(...args: never[]) => unknown>(
  (value) => typeof value === 'function',
  'must be a function',
);
const schema = v.strictObject({
  namespace: v.custom<CacheNamespace<StoredResponse>>(
    (value) => typeof (value as CacheNamespace | undefined)?.get === 'function',
    'must be a namespace of a cache',
  ),
  key: v.optional(anyFunction),
  vary: v.optional(v.array(v.string()), []),
  skip: v.optional(anyFunction),
  maxBytes: v.optional(integerOption(1), 1024 * 1024),
  revalidate: v.optional(anyFunction),
});

/** The handler answered with a failure of the service. */
class HandlerFailure extends Error {}

export class ResponseCache {
  readonly #options: ResponseCacheOptions;
  readonly #namespace: CacheNamespace<StoredResponse>;
  readonly #vary: readonly string[];
  readonly #rules: { readonly varied: ReadonlySet<string>; readonly maxBytes: number };
  /** Known to this process alone, so that no client can ask to be let through. */
  readonly #mark = randomUUID();

  /** @throws ShardlineError `CONFIG_INVALID`. */
  constructor(options: ResponseCacheOptions) {
    const { namespace, vary, maxBytes, revalidate } = checkOptions(
      schema,
      options,
      'a response cache',
    );
    const faults: ConfigurationFault[] = [];
    if (namespace.refreshesBehind && revalidate === undefined) {
      const message = `is missing: namespace '${namespace.name}' refreshes behind its readers' backs`;
      faults.push({ path: 'revalidate', message });
    }
    if (faults.length > 0) throw configurationError('a response cache', faults);
    this.#options = options;
    this.#namespace = options.namespace;
    this.#vary = vary.flatMap(namesOf);
    this.#rules = { varied: new Set(this.#vary), maxBytes };
  }

  async decide(request: RequestView): Promise<Verdict> {
    if (!this.#isOurs(request)) return PASS;
    const key = this.#keyOf(request);
    if (request.method === 'HEAD') {
      // Without a body there is nothing to keep; what a GET has left will do.
      const kept = this.#namespace.peek(key);
      return kept === undefined ? PASS : this.#answer(request, key, kept);
    }
    return new Promise<Verdict>((resolve) => {
      let isDecided = false;
      const decide = (verdict: Verdict): void => {
        isDecided = true;
        resolve(verdict);
      };
      const load = (): Promise<StoredResponse | undefined> => {
        if (isDecided) return this.#revalidate(request);
        return new Promise((keep, fail) => {
          const run = this.#runOf(request, key, { keep, fail, fallback: () => got });
          decide({ kind: 'run', run });
        });
      };
      const got = this.#namespace.get(key, { load });
      got.then(
        (kept) => {
          // Its own handler's answer comes back here, too, long after it was sent.
          if (isDecided) return;
          decide(kept === undefined ? PASS : this.#answer(request, key, kept));
        },
        // Another's handler failed, or the cache is closed: whoever came runs his own.
        () => decide(PASS),
      );
    });
  }

  #isOurs(request: RequestView): boolean {
    if (request.method !== 'GET' && request.method !== 'HEAD') return false;
    if (request.header(MARK) === this.#mark || request.header('range') !== undefined) return false;
    if (/\bno-store\b/i.test(request.header('cache-control') ?? '')) return false;
    const { skip } = this.#options;
    if (skip !== undefined) return !skip(request);
    return ['authorization', 'cookie'].every(
      (name) => request.header(name) === undefined || this.#rules.varied.has(name),
    );
  }

  #keyOf(request: RequestView): string {
    const own = this.#options.key?.(request);
    if (own !== undefined) return own;
    const parts = this.#vary.map((name) => `${name}=${request.header(name) ?? ''}`);
    // Names and values are chosen by clients: no length and no character of theirs may be refused.
    const text = [request.path, ...parts].map(encodeURI).join(' ');
    if (text.length <= MAX_KEY_LENGTH && text.isWellFormed()) return text;
    return `#${createHash('sha256').update(text).digest('base64url')}`;
  }

  #runOf(
    request: RequestView,
    key: string,
    load: {
      readonly keep: (stored: StoredResponse | undefined) => void;
      readonly fail: (error: Error) => void;
      readonly fallback: () => Promise<StoredResponse | undefined>;
    },
  ): HandlerRun {
    return {
      maxBytes: this.#rules.maxBytes,
      abandon: () => load.keep(undefined),
      finish: async (captured) => {
        if (captured.status >= 500) {
          load.fail(new HandlerFailure(`The handler answered ${captured.status}.`));
          // Within `staleIfError` the load's failure is answered with the value of before.
          const stale = await load.fallback().catch(() => undefined);
          if (stale === undefined) return this.#untouched(captured);
          return this.#render(request, key, stale, 'hit; detail=stale-if-error');
        }
        const stored = storable(captured, this.#rules, Date.now());
        load.keep(stored);
        if (stored === undefined) return this.#untouched(captured);
        return this.#render(request, key, stored, 'fwd=miss; stored');
      },
    };
  }

  async #revalidate(request: RequestView): Promise<StoredResponse | undefined> {
    const { revalidate } = this.#options;
    if (revalidate === undefined) throw new HandlerFailure('Nobody waits for a handler any more.');
    const headers: Record<string, string> = { [MARK]: this.#mark };
    for (const name of this.#vary) {
      const value = request.header(name);
      if (value !== undefined) headers[name] = value;
    }
    const response = await revalidate(request.path, { headers });
    if (response.status >= 500) throw new HandlerFailure(`It was answered ${response.status}.`);
    const body = Buffer.from(await response.arrayBuffer());
    const captured = {
      status: response.status,
      headers: Object.fromEntries(response.headers),
      body,
    };
    return storable(captured, this.#rules, Date.now());
  }

  #answer(request: RequestView, key: string, kept: StoredResponse): Verdict {
    return { kind: 'answer', response: this.#render(request, key, kept, 'hit') };
  }

  #untouched({ status, headers, body }: CapturedResponse): RenderedResponse {
    return { status, headers: { ...textHeaders(headers), ...statusField('fwd=miss') }, body };
  }

  #render(
    request: RequestView,
    key: string,
    { status, headers, body, encoding, madeAtMs }: StoredResponse,
    how: string,
  ): RenderedResponse {
    const ours: Record<string, string> = {};
    if (headers['cache-control'] === undefined) {
      for (const [name, value] of Object.entries(this.#namespace.edgeHeaders(key))) {
        ours[name.toLowerCase()] = value;
      }
    }
    const ageSeconds = Math.max(0, Math.floor((Date.now() - madeAtMs) / 1000));
    const vary = [...new Set([...namesOf(headers['vary']), ...this.#vary])].join(', ');
    const all = {
      ...ours,
      ...headers,
      ...(vary === '' ? {} : { vary }),
      age: String(ageSeconds),
      ...statusField(how),
    };
    if (status === 200 && matchesEtag(request.header('if-none-match'), headers['etag'])) {
      const left = Object.entries(all).filter(([name]) => !name.startsWith('content-'));
      return { status: 304, headers: Object.fromEntries(left), body: undefined };
    }
    const isBare = request.method === 'HEAD' || status === 204;
    return { status, headers: all, body: isBare ? undefined : Buffer.from(body, encoding) };
  }
}

/** RFC 9211: which cache answered, and how. */
function statusField(how: string): Record<string, string> {
  return { 'cache-status': `shardline; ${how}` };
}
