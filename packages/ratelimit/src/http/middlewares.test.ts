import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import express from 'express';
import { rateLimit } from 'express-rate-limit';
import fastify from 'fastify';
import { Hono } from 'hono';
import { parseList } from 'structured-headers';
import { afterEach, describe, expect, test } from 'vitest';
import { createLimiter } from '../limiter/limiter.js';
import {
  expressLimits,
  expressRateLimitStore,
  fastifyLimits,
  fetchLimits,
  type HttpLimitOptions,
  honoLimits,
} from './index.js';

/** The same behaviour through every framework, over real connections where it has servers. */
type Ask = (headers?: Record<string, string>, path?: string) => Promise<Response>;
type Options = Omit<HttpLimitOptions<unknown>, 'limiter'>;

const closers: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0)) await close();
});

function limiterOf(burst = 2) {
  const limiter = createLimiter({
    memory: true,
    policies: {
      minute: { limit: burst, window: '1m' },
      watched: { limit: 1, window: '1m', shadow: true },
    },
  });
  closers.push(() => limiter.close());
  return limiter;
}

async function listen(server: Server): Promise<Ask> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  closers.push(() => new Promise((resolve) => server.close(resolve)));
  const { port } = server.address() as AddressInfo;
  return (headers = {}, path = '/') => fetch(`http://127.0.0.1:${port}${path}`, { headers });
}

const frameworks: Record<string, (options: Options) => Promise<Ask>> = {
  express: async (options) => {
    const app = express();
    app.use(expressLimits({ limiter: limiterOf(), ...options }));
    app.get('/', (_request, response) => {
      response.send('hello');
    });
    return listen(createServer(app));
  },
  'node:http': async (options) => {
    const limits = expressLimits({ limiter: limiterOf(), ...options });
    return listen(
      createServer((request, response) => limits(request, response, () => response.end('hello'))),
    );
  },
  fastify: async (options) => {
    const app = fastify();
    app.addHook('onRequest', fastifyLimits({ limiter: limiterOf(), ...options }));
    app.get('/', () => 'hello');
    await app.listen({ port: 0, host: '127.0.0.1' });
    closers.push(() => app.close());
    const { port } = app.server.address() as AddressInfo;
    return (headers = {}) => fetch(`http://127.0.0.1:${port}/`, { headers });
  },
  hono: async (options) => {
    const app = new Hono();
    app.use(honoLimits({ limiter: limiterOf(), ...options }));
    app.get('/', (context) => context.text('hello'));
    const env = { incoming: { socket: { remoteAddress: '127.0.0.1' } } };
    return async (headers = {}) => app.request('http://service/', { headers }, env);
  },
  fetch: async (options) => {
    const limits = fetchLimits({ limiter: limiterOf(), ...options });
    return async (headers = {}) => {
      const verdict = await limits(new Request('http://service/', { headers }), '127.0.0.1');
      if (verdict.allowed) return new Response('hello', { headers: verdict.headers });
      return new Response(JSON.stringify(verdict.body), verdict);
    };
  },
};

describe.each(Object.keys(frameworks))('limits in %s', (name) => {
  const start = frameworks[name] as (options: Options) => Promise<Ask>;

  test('admit, then deny with Retry-After, RateLimit fields and a problem', async () => {
    const ask = await start({});
    const first = await ask();
    expect(first.status).toBe(200);
    expect(await first.text()).toBe('hello');
    const [policy] = parseList(first.headers.get('RateLimit-Policy') as string);
    expect(policy?.[0]).toBe('minute');
    expect(Object.fromEntries(policy?.[1] ?? [])).toMatchObject({ q: 2, w: 60 });
    const [state] = parseList(first.headers.get('RateLimit') as string);
    expect(Object.fromEntries(state?.[1] ?? [])).toMatchObject({ r: 1, t: 30 });
    await ask();
    const denied = await ask();
    expect(denied.status).toBe(429);
    expect(denied.headers.get('Content-Type')).toContain('application/problem+json');
    expect(Number(denied.headers.get('Retry-After'))).toBeGreaterThanOrEqual(29);
    expect(await denied.json()).toMatchObject({
      type: 'https://iana.org/assignments/http-problem-types#quota-exceeded',
      status: 429,
      'violated-policies': ['minute'],
    });
  });

  test('count by key, skip, cost, and older header forms', async () => {
    const ask = await start({
      subject: (request) => request.header('x-api-key'),
      skip: (request) => request.header('x-health') === 'yes',
      cost: (request) => Number(request.header('x-cost') ?? 1),
      headers: 'draft-7',
    });
    const one = await ask({ 'x-api-key': 'one', 'x-cost': '2' });
    expect(one.headers.get('RateLimit')).toMatch(/^limit=2, remaining=0, reset=\d+$/);
    expect(one.headers.get('RateLimit-Policy')).toBe('2;w=60');
    expect((await ask({ 'x-api-key': 'one' })).status).toBe(429);
    expect((await ask({ 'x-api-key': 'two' })).status).toBe(200);
    expect((await ask({ 'x-api-key': 'one', 'x-health': 'yes' })).status).toBe(200);
    const never = await ask({ 'x-api-key': 'three', 'x-cost': '50' });
    expect(never.status).toBe(429);
    expect(never.headers.get('Retry-After')).toBeNull();
    expect(await never.json()).toMatchObject({ title: 'Request larger than the quota' });
  });

  test('an empty key counts for the address: no free pass', async () => {
    const ask = await start({ subject: () => '' });
    expect((await ask()).status).toBe(200);
    expect((await ask()).status).toBe(200);
    expect((await ask()).status).toBe(429);
  });

  test('a forwarded address is believed from trusted proxies only', async () => {
    const naive = await start({});
    for (const address of ['1.1.1.1', '2.2.2.2']) await naive({ 'x-forwarded-for': address });
    expect((await naive({ 'x-forwarded-for': '3.3.3.3' })).status).toBe(429);
    const behind = await start({ trustedProxies: ['127.0.0.0/8'] });
    for (let index = 0; index < 4; index += 1) {
      // The left part is what the client wrote itself; only the right end is a proxy's.
      const header = { 'x-forwarded-for': `9.9.9.${index}, 4.4.4.4` };
      expect((await behind(header)).status).toBe(index < 2 ? 200 : 429);
    }
    expect((await behind({ 'x-forwarded-for': '5.5.5.5' })).status).toBe(200);
  });
});

describe('express-rate-limit on a limiter', () => {
  test('counts, denies and resets through its own middleware', async () => {
    const limiter = limiterOf(3);
    const store = expressRateLimitStore(limiter, 'minute');
    const app = express();
    app.use(
      rateLimit({
        limit: 3,
        windowMs: 60_000,
        standardHeaders: 'draft-6',
        legacyHeaders: false,
        store,
        keyGenerator: () => 'k',
      }),
    );
    app.get('/', (_request, response) => {
      response.send('hello');
    });
    const ask = await listen(createServer(app));
    const statuses = [];
    for (let index = 0; index < 4; index += 1) statuses.push((await ask()).status);
    expect(statuses).toEqual([200, 200, 200, 429]);
    await store.resetKey('k');
    const response = await ask();
    expect(response.status).toBe(200);
    expect(response.headers.get('RateLimit-Remaining')).toBe('2');
    await store.decrement('k');
    expect((await store.get('k'))?.totalHits).toBe(0);
  });
});
