import { once } from 'node:events';
import { connect } from 'node:net';
import { performance } from 'node:perf_hooks';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { waitUntil } from '../server/wait-until.js';
import { type FaultProxy, startFaultProxy } from './fault-proxy.js';
import { aMoment, dialPort, type Peer, startTarget, type Target } from './testing-peers.js';

let target: Target;
let proxy: FaultProxy;
const clients: Peer[] = [];

async function dial(port = proxy.port): Promise<Peer> {
  const peer = await dialPort(port);
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

describe('a proxy without faults', () => {
  it('carries bytes both ways, unchanged and in order', async () => {
    const { client, server } = await pair();
    const up = Buffer.alloc(3_000_000, 'abcdefg');
    const down = Buffer.alloc(2_000_000, '0123456');
    client.socket.write(up);
    server.socket.write(down);
    await waitUntil(() => server.receivedBytes >= up.length, { what: 'all bytes at the server' });
    await waitUntil(() => client.receivedBytes >= down.length, { what: 'all bytes back' });
    expect(server.received.equals(up)).toBe(true);
    expect(client.received.equals(down)).toBe(true);
  });

  it('carries a half-close, and answers that come after it', async () => {
    const { client, server } = await pair();
    client.socket.end('last');
    await waitUntil(() => server.isEnded, { what: 'the end at the server' });
    expect(server.text).toBe('last');
    server.socket.end('answer');
    await client.receives('answer');
    await waitUntil(() => proxy.traffic.liveConnections === 0, { what: 'the connection to go' });
  });

  it('carries a reset from either side', async () => {
    const first = await pair();
    first.client.socket.resetAndDestroy();
    await first.server.isReset();
    const second = await pair();
    second.server.socket.resetAndDestroy();
    await second.client.isReset();
  });

  it('resets the client when nobody listens behind it', async () => {
    await target.close();
    const client = await dial();
    await client.isReset();
    target = await startTarget();
  });

  it('counts bytes and connections', async () => {
    const { client, server } = await pair();
    client.socket.write('12345');
    server.socket.write('123');
    await server.receives('12345');
    await client.receives('123');
    await pair();
    expect(proxy.traffic).toEqual({
      upBytes: 5,
      downBytes: 3,
      acceptedConnections: 2,
      liveConnections: 2,
    });
  });

  it('keeps back-pressure: a reader that stops makes the writer stop', async () => {
    const { client, server } = await pair();
    server.socket.pause();
    const chunk = Buffer.alloc(256 * 1024, 'x');
    let written = 0;
    let isFull = false;
    client.socket.on('drain', () => {
      isFull = false;
    });
    // Kernel buffers take some MiB; without back-pressure all of the 200 MiB would go.
    for (let stillFull = 0; stillFull < 20 && written < 200 * 1024 * 1024; ) {
      if (isFull) stillFull += 1;
      else {
        stillFull = 0;
        written += chunk.length;
        isFull = !client.socket.write(chunk);
      }
      await new Promise((resolve) => setTimeout(resolve, isFull ? 10 : 0));
    }
    expect(isFull).toBe(true);
    expect(written).toBeLessThan(100 * 1024 * 1024);
    server.socket.resume();
    await waitUntil(() => server.receivedBytes >= written, { what: 'all bytes in the end' });
    expect(server.receivedBytes).toBe(written);
  });
});

describe('latency', () => {
  it.each(['up', 'down'] as const)('delays bytes %s and not the other way', async (direction) => {
    const { client, server } = await pair();
    const [slow, quick] = direction === 'up' ? [server, client] : [client, server];
    proxy.latency('300ms', { direction });
    const startedMs = performance.now();
    client.socket.write('from client');
    server.socket.write('from server');
    await quick.receives(direction === 'up' ? 'from server' : 'from client');
    expect(slow.text).toBe('');
    await slow.receives(direction === 'up' ? 'from client' : 'from server');
    expect(performance.now() - startedMs).toBeGreaterThanOrEqual(299);
  });

  it('delays both ways by default, for new connections too, and delays ends', async () => {
    proxy.latency('100ms');
    const { client, server } = await pair();
    const startedMs = performance.now();
    client.socket.end('ping');
    await waitUntil(() => server.isEnded, { what: 'the end at the server' });
    server.socket.end('pong');
    await waitUntil(() => client.isEnded, { what: 'the end at the client' });
    expect(performance.now() - startedMs).toBeGreaterThanOrEqual(199);
    expect([server.text, client.text]).toEqual(['ping', 'pong']);
  });

  it('keeps order under jitter', async () => {
    proxy.latency('1ms', { jitter: '30ms', direction: 'up' });
    const { client, server } = await pair();
    let sent = '';
    for (let i = 0; i < 50; i += 1) {
      sent += `${i},`;
      client.socket.write(`${i},`);
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    await server.receives(sent);
  });

  it('ends at heal(): what is held goes out at once', async () => {
    const { client, server } = await pair();
    proxy.latency('10m');
    client.socket.write('held');
    await aMoment();
    expect(server.text).toBe('');
    await proxy.heal();
    await server.receives('held');
    client.socket.write(' and free');
    await server.receives('held and free');
  });
});

describe('bandwidth', () => {
  it('limits a direction, for all connections together', async () => {
    const first = await pair();
    const second = await pair();
    proxy.bandwidth(100_000, { direction: 'down' });
    const startedMs = performance.now();
    first.server.socket.write(Buffer.alloc(20_000));
    second.server.socket.write(Buffer.alloc(20_000));
    const up = Buffer.alloc(1_000_000);
    first.client.socket.write(up);
    await waitUntil(() => first.server.receivedBytes === up.length, {
      what: 'the free direction',
    });
    await waitUntil(() => first.client.receivedBytes + second.client.receivedBytes === 40_000, {
      what: 'the throttled bytes',
    });
    // 40 000 bytes at 100 000 a second, less one portion that may go at once.
    expect(performance.now() - startedMs).toBeGreaterThan(350);
  });

  it('is free again after heal()', async () => {
    const { client, server } = await pair();
    proxy.bandwidth(1);
    client.socket.write(Buffer.alloc(100_000));
    await aMoment();
    expect(server.receivedBytes).toBeLessThan(10);
    await proxy.heal();
    await waitUntil(() => server.receivedBytes === 100_000, { what: 'all bytes' });
  });
});

describe('closing', () => {
  it('leaves no socket and no listener, whatever the faults', async () => {
    const { client, server } = await pair();
    proxy.blackHole();
    const hidden = await dial();
    await waitUntil(() => proxy.traffic.liveConnections === 2, { what: 'both to be accepted' });
    client.socket.write('held');
    const { port } = proxy;
    await proxy.close();
    await proxy.close();
    for (const peer of [client, server, hidden]) {
      await waitUntil(() => peer.isEnded || peer.isClosed, { what: 'each side to see the end' });
    }
    expect(proxy.traffic.liveConnections).toBe(0);
    const attempt = connect({ host: '127.0.0.1', port });
    await expect(once(attempt, 'error')).resolves.toMatchObject([{ code: 'ECONNREFUSED' }]);
    await expect(once(attempt, 'close')).resolves.toBeDefined();
  });

  it('gives back every handle of the event loop', async () => {
    const before = tcpHandles();
    const own = await startFaultProxy({ host: '127.0.0.1', port: target.port });
    own.latency('10m');
    const client = await dial(own.port);
    client.socket.write('never delivered');
    await waitUntil(() => own.traffic.liveConnections === 1, { what: 'the proxy to accept' });
    await own.close();
    client.socket.destroy();
    for (const peer of target.connections) peer.socket.destroy();
    await waitUntil(() => tcpHandles() <= before, { what: 'all handles to be closed' });
  });
});

describe('options', () => {
  it.each<[string, () => void, RegExp]>([
    ['a bare number', () => proxy.latency(50 as never), /50 has no unit/],
    [
      'a jitter without unit',
      () => proxy.latency('5ms', { jitter: '5' as never }),
      /jitter.*no unit/,
    ],
    ['no bandwidth', () => proxy.bandwidth(0), /bytesPerSecond.*1 or more/],
    ['half a byte', () => proxy.cutAfter(0.5, { direction: 'up' }), /bytes.*whole number/],
    [
      'a mistyped name',
      () => proxy.cutAfter(1, { direction: 'up', endin: 'reset' } as never),
      /did you mean 'ending'/,
    ],
    ['no such direction', () => proxy.blackHole('sideways' as never), /direction/],
  ])('refuses %s', (_, call, message) => {
    expect(call).toThrow(message);
  });

  it('takes a given port, and names it if it is taken', async () => {
    await expect(
      startFaultProxy({ host: '127.0.0.1', port: target.port }, { port: target.port }),
    ).rejects.toThrow(`Port ${target.port}`);
  });
});

function tcpHandles(): number {
  return process.getActiveResourcesInfo().filter((name) => /^TCP/.test(name)).length;
}
