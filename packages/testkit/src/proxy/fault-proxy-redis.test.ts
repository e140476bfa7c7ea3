import { Redis } from 'ioredis';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type RedisServer, startRedis } from '../redis/redis-server.js';
import { type FaultProxy, startFaultProxy } from './fault-proxy.js';

/** The proxy before a real server, with a real client: what each fault looks like from there. */
let redis: RedisServer;
let proxy: FaultProxy;

beforeAll(async () => {
  redis = await startRedis({ name: 'proxied' });
  proxy = await startFaultProxy(redis);
});

afterAll(async () => {
  await proxy?.close();
  await redis?.stop();
});

async function withClient<T>(work: (client: Redis) => Promise<T>): Promise<T> {
  const client = new Redis({
    host: proxy.host,
    port: proxy.port,
    protocol: 2,
    lazyConnect: true,
    enableReadyCheck: false,
    retryStrategy: () => null,
    maxRetriesPerRequest: 0,
    commandTimeout: 500,
  });
  client.on('error', () => {}); // each command's promise tells it too
  try {
    await client.connect();
    return await work(client);
  } finally {
    client.disconnect();
    await proxy.heal();
  }
}

it('an increment whose answer is lost was done all the same', async () => {
  await withClient(async (client) => {
    expect(await client.incr('counter')).toBe(1);
    proxy.cutAfter(0, { direction: 'down', ending: 'reset' });
    await expect(client.incr('counter')).rejects.toThrow();
  });
  expect(await redis.command('GET', 'counter')).toBe('2');
});

it('an increment of which only half arrives was not done', async () => {
  await withClient(async (client) => {
    await client.set('half', 1);
    proxy.cutAfter(5, { direction: 'up', ending: 'reset' });
    await expect(client.incr('half')).rejects.toThrow();
  });
  expect(await redis.command('GET', 'half')).toBe('1');
});

it('half an answer and then silence runs into the time limit of the client', async () => {
  await withClient(async (client) => {
    await client.set('text', 'hello');
    proxy.cutAfter(6, { direction: 'down', ending: 'silence' });
    await expect(client.get('text')).rejects.toThrow(/timed out/i);
  });
});

it('a black hole hides that the server was killed, and healing tells', async () => {
  await withClient(async (client) => {
    expect(await client.ping()).toBe('PONG');
    proxy.blackHole();
    await redis.kill();
    await expect(client.ping()).rejects.toThrow(/timed out/i);
    expect(client.status).toBe('ready');
    const ended = new Promise((resolve) => client.once('end', resolve));
    await proxy.heal();
    await ended;
  });
  await redis.restart();
  expect(await withClient((client) => client.ping())).toBe('PONG');
});
