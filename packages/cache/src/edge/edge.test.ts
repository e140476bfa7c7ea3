import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { ManualClock } from '@shardline/core';
import { afterEach, describe, expect, it } from 'vitest';
import { Scheduler } from '../explore/scheduler.js';
import { ScriptedStore, ScriptedTier } from '../explore/scripted-tier.js';
import {
  cloudFrontPurger,
  cloudflarePurger,
  createCache,
  type EdgePurger,
  type EdgeTarget,
  fastlyPurger,
} from '../index.js';

const closers: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0)) await close();
});

/** What a purge API was sent, checked against its documentation. */
interface Order {
  readonly method: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: string;
}

/** An HTTP server that answers purges as the given API does. */
async function api(answer: (order: Order) => { status: number; body: string }) {
  const orders: Order[] = [];
  const server: Server = createServer((request, response) => {
    let body = '';
    request.setEncoding('utf8');
    request.on('data', (part) => {
      body += part;
    });
    request.on('end', () => {
      const { method = '', url: path = '', headers } = request;
      const order = { method, path, headers, body };
      orders.push(order);
      const reply = answer(order);
      response.statusCode = reply.status;
      response.setHeader('Content-Type', 'application/json');
      response.end(reply.body);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  closers.push(() => {
    server.closeAllConnections();
    return new Promise((resolve) => server.close(resolve));
  });
  const { port } = server.address() as AddressInfo;
  return { orders, baseUrl: `http://127.0.0.1:${port}` };
}

/** Fastly: POST /service/{id}/purge, Fastly-Key, { surrogate_keys }, at most 256. */
function fastlyAnswer({ method, path, headers, body }: Order) {
  if (headers['fastly-key'] !== 'secret') return { status: 401, body: '{"msg":"no token"}' };
  const keys = (JSON.parse(body) as { surrogate_keys: string[] }).surrogate_keys;
  const isRight = method === 'POST' && path === '/service/svc/purge' && keys.length <= 256;
  if (!isRight || keys.some((key) => /\s/.test(key))) return { status: 400, body: '{}' };
  return { status: 200, body: JSON.stringify(Object.fromEntries(keys.map((key) => [key, '1']))) };
}

/** Cloudflare: POST /zones/{id}/purge_cache, Bearer, { tags }, at most 30; `success` in the answer counts. */
function cloudflareAnswer({ method, path, headers, body }: Order) {
  if (headers.authorization !== 'Bearer secret') {
    return { status: 200, body: '{"success":false,"errors":[{"code":10000}]}' };
  }
  const { tags } = JSON.parse(body) as { tags: string[] };
  const isRight = method === 'POST' && path === '/zones/zone/purge_cache' && tags.length <= 30;
  return isRight
    ? { status: 200, body: '{"success":true,"errors":[],"result":{"id":"zone"}}' }
    : { status: 400, body: '{"success":false}' };
}

/** CloudFront: XML with as many paths as it says, signed. */
function cloudFrontAnswer({ method, path, headers, body }: Order) {
  const isSigned = String(headers.authorization).startsWith('AWS4-HMAC-SHA256 ');
  const quantity = Number(/<Quantity>(\d+)<\/Quantity>/.exec(body)?.[1]);
  const paths = body.match(/<Path>\/[^<]*<\/Path>/g) ?? [];
  const isRight =
    method === 'POST' &&
    path === '/2020-05-31/distribution/DIST/invalidation' &&
    body.includes('<InvalidationBatch xmlns="http://cloudfront.amazonaws.com/doc/2020-05-31/">') &&
    /<CallerReference>[^<]+<\/CallerReference>/.test(body) &&
    quantity === paths.length;
  if (!isSigned) return { status: 403, body: '<ErrorResponse/>' };
  return { status: isRight ? 201 : 400, body: '<Invalidation/>' };
}

const targets: readonly EdgeTarget[] = [
  { namespace: 'things', key: 'a b,c', surrogateKey: 'shardline/things/k/a%20b%2Cc' },
];
const context = { signal: new AbortController().signal };

describe('the purge APIs', () => {
  it('of Fastly takes surrogate keys, and its refusal is an error with its answer', async () => {
    const { orders, baseUrl } = await api(fastlyAnswer);
    await fastlyPurger({ serviceId: 'svc', token: 'secret', isSoft: true, baseUrl }).purge(
      targets,
      context,
    );
    expect(orders[0]?.headers['fastly-soft-purge']).toBe('1');
    const wrong = fastlyPurger({ serviceId: 'svc', token: 'wrong', baseUrl });
    await expect(wrong.purge(targets, context)).rejects.toThrow(/401: {"msg":"no token"}/);
  });

  it('of Cloudflare takes tags, and refuses within a 200', async () => {
    const { baseUrl } = await api(cloudflareAnswer);
    await cloudflarePurger({ zoneId: 'zone', token: 'secret', baseUrl }).purge(targets, context);
    const wrong = cloudflarePurger({ zoneId: 'zone', token: 'wrong', baseUrl });
    await expect(wrong.purge(targets, context)).rejects.toMatchObject({
      code: 'CACHE_EDGE_PURGE_FAILED',
    });
  });

  it('of CloudFront takes paths, signed by whoever has the keys', async () => {
    const { orders, baseUrl } = await api(cloudFrontAnswer);
    const sign = async (request: { headers: Readonly<Record<string, string>> }) => ({
      ...request.headers,
      Authorization: 'AWS4-HMAC-SHA256 Credential=test',
    });
    const pathsOf = ({ key }: EdgeTarget) => (key === undefined ? [] : ['/t?a=1&b=<2>', '/t/*']);
    const purger = cloudFrontPurger({ distributionId: 'DIST', pathsOf, sign, baseUrl });
    await purger.purge(targets, context);
    expect(orders[0]?.body).toContain('<Path>/t?a=1&amp;b=&lt;2&gt;</Path><Path>/t/*</Path>');
    await purger.purge([{ namespace: 'n', key: undefined, surrogateKey: 's' }], context);
    expect(orders.length).toBe(1);
    const unsigned = cloudFrontPurger({
      distributionId: 'DIST',
      pathsOf,
      sign: async () => ({}),
      baseUrl,
    });
    await expect(unsigned.purge(targets, context)).rejects.toThrow(/403/);
  });

  it('that cannot be reached is an error, too', async () => {
    const nowhere = fastlyPurger({ serviceId: 's', token: 't', baseUrl: 'http://127.0.0.1:1' });
    await expect(nowhere.purge(targets, context)).rejects.toThrow(/cannot be reached/);
  });
});

describe('the edge', () => {
  /** A cache before an edge that can be made to fail. */
  function edged(options: { maxTargets?: number } = {}) {
    const clock = new ManualClock();
    const calls: string[][] = [];
    const errors: string[] = [];
    const state = { isDown: false };
    const purger: EdgePurger = {
      name: 'test',
      maxTargets: options.maxTargets ?? 100,
      purge: async (some) => {
        calls.push(some.map(({ surrogateKey }) => surrogateKey));
        if (state.isDown) throw new Error('down');
      },
    };
    const onError = (error: unknown, doing: string) => errors.push(`${doing}: ${error}`);
    const cache = createCache({ clock, edge: [purger], onError });
    closers.push(async () => {
      const closing = cache.close();
      await clock.advance(60_000);
      await closing;
    });
    const things = cache.namespace<string>('things', {
      ttl: '5m',
      staleWhileRevalidate: '1m',
      keys: '{user}:{page}',
      edge: { browserTtl: '10s' },
      tags: () => ['vip'],
    });
    return { cache, clock, calls, errors, state, things };
  }

  it('is told of keys, tags and patterns by the names that responses carry', async () => {
    const { clock, calls, things } = edged();
    const headers = things.edgeHeaders('42:1', 'value');
    expect(headers).toMatchObject({
      'Cache-Control': 'public, max-age=10',
      'CDN-Cache-Control': 'public, max-age=300, stale-while-revalidate=60',
    });
    const names = String(headers['Surrogate-Key']).split(' ');
    expect(headers['Cache-Tag']?.split(',')).toEqual(names);
    const orders = [
      () => things.invalidate('42:1'),
      () => things.invalidatePattern('42:*'),
      () => things.invalidateTags(['vip']),
      () => things.clear(),
      () => things.set('42:1', 'new'),
    ];
    for (const order of orders) {
      await order();
      await clock.advance(20);
      const [purged] = calls.splice(0).flat();
      expect(names).toContain(purged);
    }
    await things.invalidate('43:1');
    await clock.advance(20);
    expect(names).not.toContain(calls.flat()[0]);
  });

  it('is told in batches, again after a failure, and not twice what it took', async () => {
    const { clock, calls, errors, state, things } = edged({ maxTargets: 2 });
    state.isDown = true;
    await things.invalidate(['1:1', '2:1', '3:1']);
    await clock.advance(20);
    expect([calls.length, calls[0]?.length, errors.length]).toEqual([1, 2, 1]);
    state.isDown = false;
    await clock.advance(500);
    expect(calls.map((call) => call.length)).toEqual([2, 2, 1]);
    await clock.advance(60_000);
    expect(calls.length).toBe(3);
  });

  it('is not told of a strict namespace, whose responses nobody may keep', async () => {
    const calls: string[][] = [];
    const clock = new ManualClock();
    const scheduler = new Scheduler();
    const l2 = new ScriptedTier('l2', new ScriptedStore(), scheduler, 'P');
    const purger: EdgePurger = {
      name: 'test',
      maxTargets: 1,
      purge: async () => void calls.push([]),
    };
    const cache = createCache({ clock, l2, bus: 'none', edge: [purger] });
    const balances = cache.namespace('balances', { ttl: '30s', coherence: 'strict' });
    expect(balances.edgeHeaders('1')).toEqual({ 'Cache-Control': 'private, no-store' });
    await scheduler.run(balances.invalidate('1'));
    await clock.advance(10_000);
    expect(calls).toEqual([]);
    await cache.close();
  });

  it('is told once more after the bound, for those who had not heard yet', async () => {
    const calls: string[][] = [];
    const clock = new ManualClock();
    const scheduler = new Scheduler();
    const l2 = new ScriptedTier('l2', new ScriptedStore(), scheduler, 'P');
    const purger: EdgePurger = {
      name: 'test',
      maxTargets: 10,
      purge: async (some) => void calls.push(some.map(({ surrogateKey }) => surrogateKey)),
    };
    const cache = createCache({ clock, l2, bus: 'none', edge: [purger] });
    const things = cache.namespace('things', { ttl: '30s', bound: '2s' });
    await scheduler.run(things.invalidate('1'));
    await clock.advance(20);
    expect(calls.length).toBe(1);
    await clock.advance(2000);
    expect(calls.length).toBe(1);
    await clock.advance(250);
    expect(calls).toEqual([['shardline/things/k/1'], ['shardline/things/k/1']]);
    // What was not repeated yet goes with the end of the cache.
    await scheduler.run(things.invalidate('2'));
    await cache.close();
    expect(calls.at(-1)).toEqual(['shardline/things/k/2']);
    expect(clock.pending).toBe(0);
  });
});
