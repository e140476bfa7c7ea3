import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import { isShardlineError } from '@shardline/core';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { waitUntil } from '../server/wait-until.js';
import { type FaultProxy, startFaultProxy } from './fault-proxy.js';
import { aMoment, dialPort, Peer, startTarget, type Target } from './testing-peers.js';

let target: Target;
let proxy: FaultProxy;
const clients: Peer[] = [];

async function dial(): Promise<Peer> {
  const peer = await dialPort(proxy.port);
  clients.push(peer);
  return peer;
}

async function pair(): Promise<{ client: Peer; server: Peer }> {
  const client = await dial();
  return { client, server: await target.next() };
}

beforeEach(async () => {
  target = await startTarget();
  proxy = await startFaultProxy({ host: '127.0.0.1', port: target.port });
});

afterEach(async () => {
  for (const { socket } of clients.splice(0)) socket.destroy();
  await proxy.close();
  await target.close();
});

describe('a black hole', () => {
  it.each(['up', 'down', 'both'] as const)(
    '%s swallows that way only, until heal()',
    async (hole) => {
      const { client, server } = await pair();
      proxy.blackHole(hole);
      client.socket.write('request');
      server.socket.write('response');
      if (hole === 'up') await client.receives('response');
      if (hole === 'down') await server.receives('request');
      await aMoment();
      expect(server.text).toBe(hole === 'down' ? 'request' : '');
      expect(client.text).toBe(hole === 'up' ? 'response' : '');
      expect([client.isClosed, server.isClosed]).toEqual([false, false]);
      await proxy.heal();
      await server.receives('request');
      await client.receives('response');
    },
  );

  it('up hides a new connection from the server until heal()', async () => {
    proxy.blackHole('up');
    const client = await dial();
    client.socket.write('hello');
    await aMoment();
    expect(target.connections).toHaveLength(0);
    await proxy.heal();
    const server = await target.next();
    await server.receives('hello');
  });

  it('down lets the server answer a new connection that never hears it', async () => {
    proxy.blackHole('down');
    const { client, server } = await pair();
    client.socket.write('hello');
    await server.receives('hello');
    server.socket.write('answer');
    await aMoment();
    expect(client.text).toBe('');
    await proxy.heal();
    await client.receives('answer');
  });

  it('hides that the server died, until heal()', async () => {
    const { client, server } = await pair();
    proxy.blackHole();
    server.socket.resetAndDestroy();
    await aMoment();
    expect([client.isClosed, client.isEnded]).toEqual([false, false]);
    await proxy.heal();
    await client.isReset();
  });

  it('holds a bounded number of bytes, then stops reading', async () => {
    const { client } = await pair();
    proxy.blackHole('up');
    client.socket.write(Buffer.alloc(64 * 1024 * 1024));
    await aMoment();
    await aMoment();
    expect(client.socket.writableLength).toBeGreaterThan(0);
    await proxy.heal();
    await waitUntil(() => client.socket.writableLength === 0, { what: 'the bytes to leave' });
  });
});

describe('a cut', () => {
  it.each([1, 3, 5, 8])(
    'down lets exactly %i bytes of a response through, then closes',
    async (bytes) => {
      const { client, server } = await pair();
      proxy.cutAfter(bytes, { direction: 'down' });
      server.socket.write('0123');
      server.socket.write('456789');
      await waitUntil(() => client.isEnded, { what: 'the end at the client' });
      expect(client.text).toBe('0123456789'.slice(0, bytes));
      expect(client.errorCode).toBeUndefined();
      await waitUntil(() => server.isEnded, { what: 'the end at the server' });
      expect(proxy.traffic.downBytes).toBe(bytes);
    },
  );

  it.each([1, 3, 5])(
    'up lets exactly %i bytes of a request through, then resets',
    async (bytes) => {
      const { client, server } = await pair();
      proxy.cutAfter(bytes, { direction: 'up', ending: 'reset' });
      client.socket.write('0123456789');
      await client.isReset();
      await server.isReset();
      expect(server.text).toBe('0123456789'.slice(0, bytes));
    },
  );

  it('at an exact count that ends with a write cuts without waiting for another byte', async () => {
    const { client, server } = await pair();
    proxy.cutAfter(4, { direction: 'down', ending: 'reset' });
    server.socket.write('0123');
    await client.isReset();
    expect(client.text).toBe('0123');
  });

  it('of many bytes is exact too', async () => {
    const { client, server } = await pair();
    proxy.cutAfter(1_234_567, { direction: 'down' });
    server.socket.write(Buffer.alloc(3_000_000));
    await waitUntil(() => client.isEnded, { what: 'the end at the client' });
    expect(client.receivedBytes).toBe(1_234_567);
  });

  it('at 0 lets the request through and nothing of the response', async () => {
    const { client, server } = await pair();
    proxy.cutAfter(0, { direction: 'down', ending: 'reset' });
    client.socket.write('request');
    await server.receives('request');
    expect(client.isClosed).toBe(false);
    server.socket.write('response');
    await client.isReset();
    expect(client.text).toBe('');
  });

  it('into silence keeps both connections open, the other direction too', async () => {
    const { client, server } = await pair();
    proxy.cutAfter(4, { direction: 'down', ending: 'silence' });
    server.socket.write('half of it');
    await client.receives('half');
    client.socket.write('still here?');
    await server.receives('still here?');
    await aMoment();
    expect([client.text, client.isEnded, client.isClosed]).toEqual(['half', false, false]);
    await proxy.heal();
    await client.receives('half of it');
  });

  it('counts from the moment that it is set', async () => {
    const { client, server } = await pair();
    server.socket.write('before');
    await client.receives('before');
    proxy.cutAfter(2, { direction: 'down' });
    server.socket.write('after');
    await waitUntil(() => client.isEnded, { what: 'the end at the client' });
    expect(client.text).toBe('beforeaf');
  });

  it('bears on every connection, or on as many as asked for', async () => {
    proxy.cutAfter(1, { direction: 'down', connections: 2 });
    for (const expected of ['h', 'h', 'hello']) {
      const { client, server } = await pair();
      server.socket.end('hello');
      await waitUntil(() => client.isEnded, { what: 'the end at the client' });
      expect(client.text).toBe(expected);
    }
  });

  it('is over after heal()', async () => {
    proxy.cutAfter(1, { direction: 'up' });
    await proxy.heal();
    const { client, server } = await pair();
    client.socket.write('whole');
    await server.receives('whole');
    expect(server.isEnded).toBe(false);
  });
});

describe('reset and refuse', () => {
  it('reset() resets live connections on both sides, and new ones until heal()', async () => {
    const { client, server } = await pair();
    proxy.reset();
    await client.isReset();
    await server.isReset();
    const refused = connect({ host: '127.0.0.1', port: proxy.port });
    const peer = new Peer(refused);
    await peer.isReset();
    expect(target.connections).toHaveLength(1);
    await proxy.heal();
    const again = await pair();
    again.client.socket.write('back');
    await again.server.receives('back');
  });

  it('resetLive() spares new connections', async () => {
    const { client } = await pair();
    proxy.resetLive();
    await client.isReset();
    const again = await pair();
    again.client.socket.write('back');
    await again.server.receives('back');
  });

  it('reset() also ends a connection inside a black hole', async () => {
    proxy.blackHole('up');
    const client = await dial();
    await waitUntil(() => proxy.traffic.liveConnections === 1, { what: 'the proxy to accept' });
    proxy.reset();
    await client.isReset();
    await waitUntil(() => proxy.traffic.liveConnections === 0, { what: 'the connection to go' });
  });

  it('refuse() makes connect() fail and leaves live connections alone, until heal()', async () => {
    const { client, server } = await pair();
    await proxy.refuse();
    const attempt = connect({ host: '127.0.0.1', port: proxy.port });
    const [error] = await once(attempt, 'error');
    expect(error).toMatchObject({ code: 'ECONNREFUSED' });
    client.socket.write('still');
    await server.receives('still');
    const { port } = proxy;
    await proxy.heal();
    expect(proxy.port).toBe(port);
    const again = await pair();
    again.client.socket.write('back');
    await again.server.receives('back');
  });

  it('heal() names the port if another program took it', async () => {
    await proxy.refuse();
    const thief = createServer();
    await new Promise<void>((resolve) => thief.listen(proxy.port, '127.0.0.1', resolve));
    await expect(proxy.heal()).rejects.toSatisfy(
      (error) =>
        isShardlineError(error, 'TESTKIT_PORT_IN_USE') && error.message.includes(`${proxy.port}`),
    );
    await new Promise((resolve) => thief.close(resolve));
    await proxy.heal();
    await pair();
  });
});
