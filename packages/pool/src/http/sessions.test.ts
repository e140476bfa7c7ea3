import { createServer, type RequestListener, type Server } from 'node:http';
import { type PostgresServer, startPostgres } from '@shardline/testkit';
import express from 'express';
import Fastify from 'fastify';
import { Hono } from 'hono';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ReplicaPool } from '../index.js';
import {
  expressSessions,
  fastifySessions,
  honoSessions,
  type SessionCarrierOptions,
} from './index.js';

/**
 * Real HTTP servers, two "processes" of each, over one late replica: a client that writes through the
 * one and reads through the other must see its write, by nothing but its cookie or header.
 */
let primary: PostgresServer;
let late: PostgresServer;
const pools: ReplicaPool[] = [];

beforeAll(async () => {
  primary = await startPostgres({ name: 'http' });
  late = await primary.addReplica({ applyDelay: '300ms' });
  await primary.query('CREATE TABLE bet (id int PRIMARY KEY)');
  await primary.waitForReplica(late);
});
afterAll(async () => {
  await Promise.all(pools.map((pool) => pool.close({ deadline: '1s' })));
  await late?.stop();
  await primary?.stop();
});

async function makePool(): Promise<ReplicaPool> {
  const pool = new ReplicaPool({
    primary: primary.url,
    replicas: [late.url],
    sessions: { signingKeys: [{ id: 'k1', secret: 's'.repeat(32) }] },
  });
  pools.push(pool);
  await pool.ready();
  return pool;
}

/** `/add?id=1` and `/has?id=1`, as each framework would have it. */
type Options = SessionCarrierOptions & { readonly pool: ReplicaPool };

async function add(pool: ReplicaPool, id: number): Promise<string> {
  await pool.query('INSERT INTO bet VALUES ($1)', [id]);
  return 'added';
}
async function has(pool: ReplicaPool, id: number): Promise<string> {
  const { rows } = await pool.query('SELECT id FROM bet WHERE id = $1', [id]);
  return rows.length === 1 ? 'yes' : 'no';
}

interface Running {
  readonly url: string;
  close(): Promise<unknown>;
}

function listen(listener: RequestListener): Promise<Running> {
  const server: Server = createServer(listener);
  return new Promise((resolve) => {
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address() as { port: number };
      const close = () => new Promise((done) => server.close(done));
      resolve({ url: `http://127.0.0.1:${port}`, close });
    });
  });
}

async function withExpress(options: Options): Promise<Running> {
  const app = express();
  const { pool } = options;
  app.use(expressSessions(options));
  app.get('/add', async (request, response) => {
    response.type('text').send(await add(pool, Number(request.query['id'])));
  });
  app.get('/has', async (request, response) => {
    response.write(await has(pool, Number(request.query['id'])));
    response.end();
  });
  return listen(app);
}

async function withFastify(options: Options): Promise<Running> {
  const app = Fastify();
  const { pool } = options;
  fastifySessions(app, options);
  app.get<{ Querystring: { id: string } }>('/add', ({ query }) => add(pool, Number(query.id)));
  app.get<{ Querystring: { id: string } }>('/has', ({ query }) => has(pool, Number(query.id)));
  const url = await app.listen({ port: 0, host: '127.0.0.1' });
  return { url, close: () => app.close() };
}

async function withHono(options: Options): Promise<Running> {
  const app = new Hono();
  const { pool } = options;
  app.use(honoSessions(options));
  app.get('/add', async (c) => c.text(await add(pool, Number(c.req.query('id')))));
  app.get('/has', async (c) => c.text(await has(pool, Number(c.req.query('id')))));
  return listen(async (request, response) => {
    const answer = await app.request(`http://local${request.url}`, {
      headers: request.headers as Record<string, string>,
    });
    response.writeHead(answer.status, Object.fromEntries(answer.headers));
    response.end(await answer.text());
  });
}

const NAME = 'shardline-session';
let nextId = 0;

describe.each([
  ['Express', withExpress],
  ['Fastify', withFastify],
  ['Hono', withHono],
] as const)('%s', (_, start) => {
  test('a cookie carries the session from one process to the next', async () => {
    const one = await start({ pool: await makePool() });
    const two = await start({ pool: await makePool() });
    for (let round = 0; round < 5; round += 1) {
      nextId += 1;
      const added = await fetch(`${one.url}/add?id=${nextId}`);
      expect(await added.text()).toBe('added');
      const cookie = added.headers.getSetCookie()[0] ?? '';
      expect(cookie).toMatch(
        new RegExp(`^${NAME}=[\\w-]+; Path=/; Max-Age=900; HttpOnly; SameSite=Lax; Secure$`),
      );
      const headers = { cookie: `other=1; ${cookie.split(';')[0]}` };
      const found = await fetch(`${two.url}/has?id=${nextId}`, { headers });
      expect(await found.text()).toBe('yes');
    }
    await one.close();
    await two.close();
  });

  test('a header does the same, and a forged token begins at the primary', async () => {
    const server = await start({ pool: await makePool(), via: 'header' });
    nextId += 1;
    const added = await fetch(`${server.url}/add?id=${nextId}`);
    const token = added.headers.get(NAME) ?? '';
    expect(token).toMatch(/^[\w-]{40,}$/);
    for (const carried of [token, `${token.slice(0, -2)}AA`, 'nonsense']) {
      const headers = { [NAME]: carried };
      const found = await fetch(`${server.url}/has?id=${nextId}`, { headers });
      expect(found.status).toBe(200);
      expect(await found.text()).toBe('yes');
    }
    await server.close();
  });
});

test('options that make no sense are refused', async () => {
  const pool = await makePool();
  expect(() => expressSessions({ pool, name: 'two words' })).toThrow('name');
  expect(() => honoSessions({ pool: {} as ReplicaPool })).toThrow('pool');
  expect(() => honoSessions({ pool, vai: 'header' } as never)).toThrow("did you mean 'via'");
});
