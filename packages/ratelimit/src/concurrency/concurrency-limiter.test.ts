import { fork } from 'node:child_process';
import { ManualClock } from '@shardline/core';
import { type RedisServer, startRedis } from '@shardline/testkit';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createLimiter } from '../limiter/limiter.js';

let redis: RedisServer;
beforeAll(async () => {
  redis = await startRedis({ name: 'in-flight' });
});
afterAll(async () => {
  await redis?.stop();
});

const policies = { api: { limit: 1000, window: '1s' } } as const;

function limiterOf(prefix: string) {
  return createLimiter({
    redis: redis.url,
    prefix,
    policies,
    timeout: '5s',
    onRedisDown: 'closed',
  });
}

async function until(what: string, condition: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = performance.now() + 20_000;
  while (!(await condition())) {
    if (performance.now() > deadline) throw new Error(`waited in vain for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

describe('work in flight', () => {
  test('is limited over several processes, and places are free when they are released', async () => {
    await using a = limiterOf('shared:');
    await using b = limiterOf('shared:');
    const options = { name: 'exports', limit: 3 };
    const [first, second] = [a.concurrency(options), b.concurrency(options)];
    const all = await Promise.all(
      [...Array(5)].flatMap(() => [first.acquire('u'), second.acquire('u')]),
    );
    const held = all.filter((decision) => decision.allowed);
    expect(held).toHaveLength(3);
    const denied = all.find((decision) => !decision.allowed);
    expect(denied).toMatchObject({ inFlight: 3, limit: 3, degraded: false });
    await held[0]?.slot.release();
    await held[0]?.slot.release();
    expect((await second.acquire('u')).allowed).toBe(true);
    expect((await first.acquire('u')).allowed).toBe(false);
    expect((await first.acquire('someone else')).allowed).toBe(true);
  });

  test('run gives the place back whatever the work does', async () => {
    await using limiter = limiterOf('run:');
    const places = limiter.concurrency({ name: 'jobs', limit: 1 });
    expect(await places.run('u', async () => places.run('u', async () => 'inner'))).toBeUndefined();
    await expect(places.run('u', () => Promise.reject(new Error('no')))).rejects.toThrow('no');
    expect(await places.run('u', async () => 'done')).toBe('done');
    expect(places.held).toBe(0);
  });

  test('heartbeats keep a place far beyond its lease, and close gives all back', async () => {
    await using limiter = limiterOf('beat:');
    const places = limiter.concurrency({ name: 'jobs', limit: 2, leaseDuration: '300ms' });
    const decision = await places.acquire('u');
    await places.acquire('u');
    await new Promise((resolve) => setTimeout(resolve, 1000));
    expect((await places.acquire('u')).allowed).toBe(false);
    expect(decision.allowed && decision.slot.signal.aborted).toBe(false);
    await places.close();
    expect(await redis.command('EXISTS', 'beat:{u}:jobs:in-flight')).toBe(0);
  });

  test('a place whose holder was killed is free again when its lease ends', async () => {
    await using limiter = limiterOf('crash:');
    const places = limiter.concurrency({ name: 'jobs', limit: 1, leaseDuration: '500ms' });
    // What a killed process leaves behind: a lease that nobody renews, taken by a real other process.
    const holder = `
      const { Redis } = require('ioredis');
      const client = new Redis(process.argv[1]);
      client.time().then(([s, us]) => client.zadd('crash:{u}:jobs:in-flight', Number(s) * 1e6 + Number(us) + 500000, 'dead'))
        .then(() => process.kill(process.pid, 'SIGKILL'));
    `;
    const child = fork('-e', [], { execArgv: ['-e', holder, redis.url], stdio: 'ignore' });
    await new Promise((resolve) => child.once('exit', resolve));
    expect(child.signalCode).toBe('SIGKILL');
    const denied = await places.acquire('u');
    if (!denied.allowed) expect(denied.retryAfterMs).toBeLessThanOrEqual(500);
    await until('the place to be free', async () => (await places.acquire('u')).allowed);
  });

  test('a place that was lost says so to its holder', async () => {
    await using limiter = limiterOf('lost:');
    const places = limiter.concurrency({ name: 'jobs', limit: 1, leaseDuration: '300ms' });
    const decision = await places.acquire('u');
    if (!decision.allowed) throw new Error('the first place was denied');
    await redis.command('DEL', 'lost:{u}:jobs:in-flight');
    await until('the loss to be told', () => decision.slot.signal.aborted);
    expect(places.held).toBe(0);
  });

  test('works in one process without a server', async () => {
    const clock = new ManualClock();
    const limiter = createLimiter({ memory: true, clock, policies });
    const places = limiter.concurrency({ name: 'jobs', limit: 1 });
    const decision = await places.acquire('u');
    expect(await places.acquire('u')).toMatchObject({ allowed: false, inFlight: 1 });
    await clock.advance(60_000);
    expect((await places.acquire('u')).allowed).toBe(false);
    if (decision.allowed) await decision.slot.release();
    expect((await places.acquire('u')).allowed).toBe(true);
    await limiter.close();
    expect(clock.pending).toBe(0);
  });
});
