import type { AddressInfo } from 'node:net';
import { createServer, type Server, type Socket } from 'node:net';
import { systemClock } from '@shardline/core';
import { type MemcachedServer, startFaultProxy, startMemcached } from '@shardline/testkit';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Opcode, SafeMemjs, Status } from './safe-memjs.js';

/** memjs's known faults, each provoked; none must reach a user. */
describe('one Memcached node', () => {
  let memcached: MemcachedServer;
  beforeAll(async () => {
    memcached = await startMemcached({});
  });
  afterAll(async () => memcached?.stop());

  const set = (node: SafeMemjs, key: string, value: string, cas?: Buffer) =>
    node.send({ opcode: Opcode.Set, key, value: Buffer.from(value), expiration: 60, cas });
  const get = (node: SafeMemjs, key: string) => node.send({ opcode: Opcode.Get, key });

  it('that cuts an answer in two fails what waits, and the next connection reads rightly', async () => {
    const proxy = await startFaultProxy(memcached);
    const node = new SafeMemjs({ host: '127.0.0.1', port: proxy.port }, 500, systemClock);
    for (const bytes of [1, 10, 23, 24, 25, 40, 60]) {
      await set(node, 'k', 'a value of some length');
      proxy.resetLive();
      proxy.cutAfter(bytes, { direction: 'down', connections: 1 });
      const outcomes = await Promise.allSettled([
        get(node, 'k'),
        get(node, 'k'),
        get(node, 'none'),
      ]);
      expect(outcomes.some(({ status }) => status === 'rejected')).toBe(true);
      for (const outcome of outcomes) {
        if (outcome.status === 'rejected') {
          expect(outcome.reason).toMatchObject({ code: 'CACHE_TIER_UNAVAILABLE' });
        }
      }
      proxy.heal();
      await expect
        .poll(() =>
          get(node, 'k').then(
            ({ value }) => `${value}`,
            () => 'down',
          ),
        )
        .toBe('a value of some length');
      expect(node.outstanding).toBe(0);
    }
    node.close();
    await proxy.close();
  });

  it('that does not answer costs its deadline, once for all who wait', async () => {
    const proxy = await startFaultProxy(memcached);
    const node = new SafeMemjs({ host: '127.0.0.1', port: proxy.port }, 150, systemClock);
    await set(node, 'k', 'v');
    proxy.blackHole();
    const beganMs = performance.now();
    const outcomes = await Promise.allSettled(Array.from({ length: 100 }, () => get(node, 'k')));
    expect(outcomes.every(({ status }) => status === 'rejected')).toBe(true);
    // One after the other they would take 15 s.
    expect(performance.now() - beganMs).toBeLessThan(10_000);
    proxy.heal();
    await expect
      .poll(() =>
        get(node, 'k').then(
          ({ status }) => status,
          () => -1,
        ),
      )
      .toBe(Status.Ok);
    node.close();
    await proxy.close();
  });

  it('goes on when the sequence begins again', async () => {
    const address = { host: memcached.host, port: memcached.port };
    const node = new SafeMemjs(address, 2000, systemClock, 0x3ffffffd);
    for (let index = 0; index < 10; index += 1) {
      await set(node, `seq-${index}`, `v${index}`);
      expect(String((await get(node, `seq-${index}`)).value)).toBe(`v${index}`);
    }
    node.close();
  });

  it('never hands one answer to two questions: many at once, with cuts between', async () => {
    const proxy = await startFaultProxy(memcached);
    const node = new SafeMemjs({ host: '127.0.0.1', port: proxy.port }, 500, systemClock);
    for (let index = 0; index < 50; index += 1) await set(node, `own-${index}`, `own-${index}`);
    let right = 0;
    for (let round = 0; round < 40; round += 1) {
      const asked = Array.from({ length: 50 }, async (_, index) => {
        const { value } = await get(node, `own-${index}`);
        expect(value.toString()).toBe(`own-${index}`);
        right += 1;
      });
      if (round % 4 === 0) setImmediate(() => proxy.resetLive());
      for (const outcome of await Promise.allSettled(asked)) {
        if (outcome.status === 'rejected') {
          expect(outcome.reason).toMatchObject({ code: 'CACHE_TIER_UNAVAILABLE' });
        }
      }
    }
    expect(right).toBeGreaterThan(1000);
    node.close();
    await proxy.close();
  });

  it('compares and sets', async () => {
    const node = new SafeMemjs({ host: memcached.host, port: memcached.port }, 2000, systemClock);
    await set(node, 'cas', 'one');
    const { cas } = await get(node, 'cas');
    expect((await set(node, 'cas', 'two', cas)).status).toBe(Status.Ok);
    expect((await set(node, 'cas', 'three', cas)).status).toBe(Status.Exists);
    await node.send({ opcode: Opcode.Delete, key: 'cas' });
    expect((await set(node, 'cas', 'four', cas)).status).toBe(Status.NotFound);
    node.close();
  });

  it('that is closed, or not there at all, refuses at once and leaves nothing open', async () => {
    const node = new SafeMemjs({ host: '127.0.0.1', port: 1 }, 500, systemClock);
    await expect(get(node, 'k')).rejects.toMatchObject({ code: 'CACHE_TIER_UNAVAILABLE' });
    node.close();
    await expect(get(node, 'k')).rejects.toMatchObject({ code: 'CACHE_TIER_UNAVAILABLE' });
    expect(node.outstanding).toBe(0);
  });
});

describe('a server that does not speak the protocol', () => {
  let server: Server;
  const sockets = new Set<Socket>();
  beforeAll(async () => {
    server = createServer((socket) => {
      sockets.add(socket);
      socket.on('data', () =>
        socket.write('HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n'),
      );
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  });
  afterAll(() => {
    for (const socket of sockets) socket.destroy();
    server?.close();
  });

  it('costs a deadline and an error, never a hang', async () => {
    const { port } = server.address() as AddressInfo;
    const node = new SafeMemjs({ host: '127.0.0.1', port }, 200, systemClock);
    await expect(node.send({ opcode: Opcode.Get, key: 'k' })).rejects.toMatchObject({
      code: 'CACHE_TIER_UNAVAILABLE',
    });
    node.close();
  });
});
