import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type RedisServer, startRedis } from '@shardline/testkit';
import express from 'express';
import fastify from 'fastify';
import { Hono } from 'hono';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { type CacheNamespace, createCache, type NamespaceOptions } from '../index.js';
import {
  expressResponses,
  fastifyResponses,
  honoResponses,
  type ResponseCacheOptions,
  type StoredResponse,
} from './index.js';

/** The same behaviour through every framework. */
const closers: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

interface Answer {
  readonly status?: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body: string | Buffer;
}

/** A service with one handler, whose calls are counted. */
interface Service {
  readonly ask: (
    path: string,
    headers?: Record<string, string>,
    method?: string,
  ) => Promise<Response>;
  readonly pages: CacheNamespace<StoredResponse>;
  calls: number;
  answer: (path: string) => Answer | Promise<Answer>;
}

type Start = (
  responses: ResponseCacheOptions,
  handle: (path: string) => Promise<Answer>,
) => Promise<Service['ask']>;

const starts: Readonly<Record<string, Start>> = {
  hono: async (responses, handle) => {
    const app = new Hono();
    const ask = (path: string, headers: Record<string, string> = {}, method = 'GET') =>
      Promise.resolve(app.request(path, { headers, method }));
    app.use(
      '*',
      honoResponses({ ...responses, revalidate: (path, { headers }) => ask(path, headers) }),
    );
    app.get('*', async (context) => {
      const { status = 200, headers, body } = await handle(context.req.path);
      const bytes = typeof body === 'string' ? body : new Uint8Array(body);
      return new Response(bytes, { status, ...(headers ? { headers } : {}) });
    });
    return ask;
  },
  express: async (responses, handle) => {
    const app = express();
    const listening = listen(createServer(app));
    app.use(
      expressResponses({
        ...responses,
        revalidate: async (path, { headers }) => (await listening)(path, headers),
      }),
    );
    app.use(async (request, response) => {
      const { status = 200, headers = {}, body } = await handle(request.path);
      response.status(status).set(headers).send(body);
    });
    return listening;
  },
  'node:http': async (responses, handle) => {
    const server = createServer((request, response) =>
      cached(request, response, async () => {
        const { status = 200, headers = {}, body } = await handle(request.url as string);
        response.writeHead(status, headers);
        const bytes = Buffer.from(body as string);
        response.write(bytes.subarray(0, 2));
        response.end(bytes.subarray(2));
      }),
    );
    const listening = listen(server);
    const cached = expressResponses({
      ...responses,
      revalidate: async (path, { headers }) => (await listening)(path, headers),
    });
    return listening;
  },
  fastify: async (responses, handle) => {
    const app = fastify();
    const ask: Service['ask'] = async (path, headers = {}, method = 'GET') => {
      const reply = await app.inject({ url: path, headers, method: method as 'GET' });
      const isBare = reply.statusCode === 304 || reply.statusCode === 204;
      return new Response(isBare ? null : new Uint8Array(reply.rawPayload), {
        status: reply.statusCode,
        headers: Object.entries(reply.headers).map(([name, value]) => [name, String(value)]),
      });
    };
    await app.register(
      fastifyResponses({ ...responses, revalidate: (path, { headers }) => ask(path, headers) }),
    );
    app.get('*', async (request, reply) => {
      const { status = 200, headers = {}, body } = await handle(request.url);
      return reply.code(status).headers(headers).send(body);
    });
    closers.push(() => app.close());
    return ask;
  },
};

async function listen(server: ReturnType<typeof createServer>): Promise<Service['ask']> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  closers.push(() => {
    server.closeAllConnections();
    return new Promise((resolve) => server.close(resolve));
  });
  const { port } = server.address() as AddressInfo;
  return (path, headers = {}, method = 'GET') =>
    fetch(`http://127.0.0.1:${port}${path}`, { headers, method });
}

describe.each(Object.keys(starts))('responses cached by %s', (name) => {
  let redis: RedisServer;
  let number = 0;
  beforeAll(async () => {
    redis = await startRedis({});
  });
  afterAll(() => redis?.stop());

  async function service(
    options: Partial<NamespaceOptions<StoredResponse>> = {},
    responses: Partial<ResponseCacheOptions> = {},
  ): Promise<Service> {
    number += 1;
    const cache = createCache({ redis: redis.url, prefix: `${name.replace(':', '')}${number}` });
    closers.push(() => cache.close());
    await cache.ready();
    const pages = cache.namespace<StoredResponse>('pages', { ttl: '1h', ...options });
    const made: Service = {
      pages,
      calls: 0,
      answer: (path) => ({
        body: `${path} ${made.calls}`,
        headers: { 'content-type': 'text/plain' },
      }),
      ask: (...args) => ask(...args),
    };
    const start = starts[name] as Start;
    const ask = await start({ namespace: pages, ...responses }, async (path) => {
      made.calls += 1;
      return made.answer(path);
    });
    return made;
  }

  it('are made once, and carry what edges and browsers need', async () => {
    const one = await service();
    const first = await one.ask('/a?x=1');
    const path = await first.text();
    const second = await one.ask('/a?x=1');
    expect([second.status, await second.text(), one.calls]).toEqual([200, path, 1]);
    expect(first.headers.get('cache-status')).toBe('shardline; fwd=miss; stored');
    expect(second.headers.get('cache-status')).toBe('shardline; hit');
    expect(second.headers.get('content-type')).toContain('text/plain');
    expect(second.headers.get('cache-control')).toBe('public, max-age=0, must-revalidate');
    expect(second.headers.get('cdn-cache-control')).toMatch(/^public, max-age=3600/);
    expect(second.headers.get('surrogate-key')).toContain('/pages/k/');
    expect(second.headers.get('age')).toBe('0');
    await one.ask('/a?x=2');
    expect(one.calls).toBe(2);
  });

  it('are answered with 304 to whoever knows them, hit or miss', async () => {
    const one = await service();
    one.answer = () => ({ body: 'the same' });
    const first = await one.ask('/a');
    const etag = first.headers.get('etag') as string;
    expect(etag).toMatch(/"/);
    const known = await one.ask('/a', { 'if-none-match': `"other", ${etag}` });
    expect([known.status, await known.text(), known.headers.get('etag')]).toEqual([304, '', etag]);
    expect(known.headers.get('content-type')).toBe(null);
    await one.pages.clear();
    const missed = await one.ask('/a', { 'if-none-match': etag });
    expect([missed.status, one.calls]).toEqual([304, 2]);
    const changed = await one.ask('/a', { 'if-none-match': '"other"' });
    expect([changed.status, await changed.text(), one.calls]).toEqual([200, 'the same', 2]);
  });

  it('are made anew after an invalidation, and not filled from before it', async () => {
    const one = await service();
    let open: () => void = () => {};
    let entered: () => void = () => {};
    const isIn = new Promise<void>((resolve) => {
      entered = resolve;
    });
    one.answer = async () => {
      const body = 'old';
      entered();
      await new Promise<void>((resolve) => {
        open = resolve;
      });
      return { body };
    };
    const slow = one.ask('/a');
    await isIn;
    await one.pages.clear();
    open();
    expect(await (await slow).text()).toBe('old');
    one.answer = () => ({ body: 'new' });
    expect(await (await one.ask('/a')).text()).toBe('new');
    expect(await (await one.ask('/a')).text()).toBe('new');
    expect(one.calls).toBe(2);
  });

  it('are made once for all who ask at the same time', async () => {
    const one = await service();
    const bodies = await Promise.all(
      Array.from({ length: 20 }, async () => (await one.ask('/a')).text()),
    );
    expect([new Set(bodies).size, one.calls]).toEqual([1, 1]);
  });

  it('are shown stale at once while the service is asked anew', async () => {
    const one = await service({ ttl: '50ms', jitter: 0, staleWhileRevalidate: '1h' });
    const first = await (await one.ask('/a')).text();
    await expect.poll(async () => (await (await one.ask('/a')).text()) !== first).toBe(true);
    expect(one.calls).toBeGreaterThan(1);
  });

  it('are shown stale instead of a failure, where that is allowed', async () => {
    const one = await service({ ttl: '50ms', jitter: 0, staleIfError: '1h', loadBackoff: '0ms' });
    const first = await (await one.ask('/a')).text();
    one.answer = () => ({ status: 503, body: 'down' });
    await expect
      .poll(async () => (await one.ask('/a')).headers.get('cache-status'))
      .toMatch(/stale/);
    const stale = await one.ask('/a');
    expect([stale.status, await stale.text()]).toEqual([200, first]);
    const other = await one.ask('/never-seen');
    expect([other.status, await other.text()]).toEqual([503, 'down']);
  });

  it.each<[string, Answer]>([
    ['a cookie', { body: 'x', headers: { 'set-cookie': 'a=1' } }],
    ['no-store', { body: 'x', headers: { 'cache-control': 'no-store' } }],
    ['private', { body: 'x', headers: { 'cache-control': 'private, max-age=60' } }],
    ['a Vary that is not declared', { body: 'x', headers: { vary: 'accept-language' } }],
    ['a failure', { body: 'x', status: 500 }],
    ['more bytes than allowed', { body: 'x'.repeat(2000) }],
  ])('are not kept with %s, and reach the client as they are', async (_, answer) => {
    const one = await service({ loadBackoff: '0ms' }, { maxBytes: 1000 });
    one.answer = () => answer;
    for (const time of [1, 2]) {
      const reply = await one.ask('/a');
      expect([reply.status, await reply.text()]).toEqual([answer.status ?? 200, answer.body]);
      for (const [header, value] of Object.entries(answer.headers ?? {})) {
        expect(reply.headers.get(header)).toContain(value);
      }
      expect(one.calls).toBe(time);
    }
  });

  it('are not shared between those who are signed in, nor between languages', async () => {
    const one = await service({}, { vary: ['Accept-Language'] });
    await one.ask('/a', { authorization: 'Bearer 1' });
    await one.ask('/a', { authorization: 'Bearer 2' });
    await one.ask('/a', { cookie: 'session=1' });
    expect(one.calls).toBe(3);
    const german = await (await one.ask('/a', { 'accept-language': 'de' })).text();
    const english = await one.ask('/a', { 'accept-language': 'en' });
    expect(await english.text()).not.toBe(german);
    expect(await (await one.ask('/a', { 'accept-language': 'de' })).text()).toBe(german);
    expect([one.calls, english.headers.get('vary')]).toEqual([5, 'accept-language']);
  });

  it('may be bytes, may be asked for by HEAD, and are not for other methods', async () => {
    const one = await service();
    one.answer = () => ({ body: Buffer.from([0, 255, 1, 128]) });
    await one.ask('/a');
    const bytes = new Uint8Array(await (await one.ask('/a')).arrayBuffer());
    expect([...bytes]).toEqual([0, 255, 1, 128]);
    const head = await one.ask('/a', {}, 'HEAD');
    expect([head.status, await head.text(), one.calls]).toEqual([200, '', 1]);
    expect(head.headers.get('etag')).toMatch(/^W\//);
    await one.ask('/a', {}, 'POST');
    expect((await one.pages.get('/a'))?.status).toBe(200);
  });
});

describe('a response cache', () => {
  it('whose namespace refreshes behind its readers needs to know how', () => {
    const cache = createCache({});
    const namespace = cache.namespace<StoredResponse>('pages', {
      ttl: '1m',
      staleWhileRevalidate: '1m',
    });
    expect(() => honoResponses({ namespace })).toThrow(/revalidate: is missing/);
  });
});
