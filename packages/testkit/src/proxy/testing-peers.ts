import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { expect } from 'vitest';
import { waitUntil } from '../server/wait-until.js';

/** For the tests of the proxy: both ends of a connection, and what each of them saw. */

/** A server whose every connection a test can see and speak through. */
export interface Target {
  readonly port: number;
  readonly connections: Peer[];
  next(): Promise<Peer>;
  close(): Promise<void>;
}

/** One end of a connection, with what happened to it written down. */
export class Peer {
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

export async function startTarget(): Promise<Target> {
  const connections: Peer[] = [];
  const server = createServer({ allowHalfOpen: true }, (socket) => {
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
export async function aMoment(): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, 60));
}

/** Connects to a port of the loopback. */
export async function dialPort(port: number): Promise<Peer> {
  const socket = connect({ host: '127.0.0.1', port, allowHalfOpen: true, noDelay: true });
  const peer = new Peer(socket);
  await once(socket, 'connect');
  return peer;
}
