import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { performance } from 'node:perf_hooks';
import { isShardlineError } from '@shardline/core';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { waitUntil } from '../server/wait-until.js';
import { type FaultProxy, startFaultProxy } from './fault-proxy.js';

/** A server whose every connection a test can see and speak through. */
interface Target {
  readonly port: number;
  readonly connections: Peer[];
  next(): Promise<Peer>;
  close(): Promise<void>;
}

/** One end of a connection, with what happened to it written down. */
class Peer {
  receivedBytes = 0;
  readonly #chunks: Buffer[] = [];
  isEnded = false;
  isClosed = false;
  errorCode: string | undefined;

  constructor(readonly socket: Socket) {
    socket.on('data', (data) => {
      this.#chunks.push(data as Buffer);
      this.receivedBytes += data.length;
    });
    socket.on('end', () => {
      this.isEnded = true;
    });
    socket.on('error', (error: NodeJS.ErrnoException) => {
      this.errorCode = error.code;
    });
    socket.on('close', () => {
      this.isClosed = true;
    });
  }

  get received(): Buffer {
    return Buffer.concat(this.#chunks);
  }

  get text(): string {
    return this.received.toString('latin1');
  }

  async receives(text: string): Promise<void> {
    await waitUntil(() => this.text.length >= text.length, {
      what: `'${text.slice(0, 40)}' to arrive`,
    });
    expect(this.text).toBe(text);
  }

  async isReset(): Promise<void> {
    await waitUntil(() => this.isClosed, { what: 'the connection to be closed' });
    expect(this.errorCode).toBe('ECONNRESET');
  }
}

async function startTarget(): Promise<Target> {
  const connections: Peer[] = [];
  const server: Server = createServer({ allowHalfOpen: true }, (socket) => {
    connections.push(new Peer(socket));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  let seen = 0;
  return {
    port: (server.address() as AddressInfo).port,
    connections,
    async next() {
      const peer = await waitUntil(() => connections[seen], { what: 'a connection at the server' });
      seen += 1;
      return peer;
    },
    async close() {
      for (const { socket } of connections) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** Long enough for bytes that are not held back to arrive; a wrong "nothing came" needs such a look. */
async function aMoment(): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, 60));
}

let target: Target;
let proxy: FaultProxy;
const clients: Peer[] = [];

async function dial(port = proxy.port): Promise<Peer> {
  const socket = connect({ host: '127.0.0.1', port, allowHalfOpen: true, noDelay: true });
  const peer = new Peer(socket);
  clients.push(peer);
  await once(socket, 'connect');
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
