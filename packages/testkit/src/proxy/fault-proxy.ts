import { once } from 'node:events';
import { type AddressInfo, createServer, type Server as Listener, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { checkOptions, type Duration, ShardlineError } from '@shardline/core';
import * as v from 'valibot';
import { testkitErrors } from '../errors.js';
import type { Endpoint } from '../server/server.js';
import {
  bandwidthSchema,
  type CutOptions,
  cutSchema,
  directionSchema,
  type FaultDirection,
  type FaultProxyOptions,
  type LatencyOptions,
  latencySchema,
  type ProxyTraffic,
  proxySchema,
} from './fault-proxy-options.js';
import { type Direction, Link } from './link.js';
import { ProxiedConnection } from './proxied-connection.js';
import { seededRandom } from './seeded-random.js';

/**
 * A TCP proxy on the loopback that stands before a server and hurts its connections on demand. Faults
 * are properties of the two links (up and down); they bear on live connections and on new ones alike,
 * they add up, and heal() takes them all away.
 *
 * What it cannot do: the kernel completes a client's TCP handshake by itself, so a black hole or a
 * delay begins after connect(), not before it. refuse() is the way to make connect() itself fail.
 */

/** A port that refuse() gave up is asked for again so often, in case a passer-by borrows it. */
const LISTEN_TRIES = 20;
const LISTEN_PAUSE_MS = 50;

/** A proxy before a server; startFaultProxy() makes one. */
export class FaultProxy implements Endpoint, AsyncDisposable {
  readonly host = '127.0.0.1';
  readonly target: Endpoint;
  readonly #links: Record<Direction, Link>;
  readonly #connections = new Set<ProxiedConnection>();
  #port = 0;
  #listener: Listener | undefined;
  #acceptedConnections = 0;
  #resetsNewConnections = false;
  #isClosed = false;

  /** @internal Use startFaultProxy(). */
  constructor(target: Endpoint, seed: number) {
    this.target = { host: target.host, port: target.port };
    const random = seededRandom(seed);
    this.#links = { up: new Link(random), down: new Link(random) };
  }

  get port(): number {
    return this.#port;
  }

  get traffic(): ProxyTraffic {
    return {
      upBytes: this.#links.up.passedBytes,
      downBytes: this.#links.down.passedBytes,
      acceptedConnections: this.#acceptedConnections,
      liveConnections: this.#connections.size,
    };
  }

  /**
   * Delays bytes. A delayed direction carries at most 1 MiB per latency and connection, as much as
   * the proxy holds.
   *
   * @throws ShardlineError `CONFIG_INVALID` for a length of time without its unit.
   */
  latency(delay: Duration, options: LatencyOptions = {}): void {
    const {
      delay: latencyMs,
      jitter,
      direction,
    } = checkOptions(latencySchema, { ...options, delay }, 'latency');
    for (const link of this.#chosen(direction)) {
      link.latencyMs = latencyMs;
      link.jitterMs = jitter;
    }
  }

  /**
   * Lets so many bytes a second through, all connections of a direction together.
   *
   * @throws ShardlineError `CONFIG_INVALID` unless it is a whole number of 1 or more.
   */
  bandwidth(bytesPerSecond: number, options: FaultDirection = {}): void {
    const checked = checkOptions(bandwidthSchema, { ...options, bytesPerSecond }, 'bandwidth');
    for (const link of this.#chosen(checked.direction)) {
      link.bytesPerSecond = checked.bytesPerSecond;
    }
  }

  /**
   * Connections stay open and nothing arrives. What is sent is kept and arrives after heal(), as TCP
   * would retransmit it; ends and resets of connections are kept as well.
   */
  blackHole(direction: Direction | 'both' = 'both'): void {
    checkOptions(v.strictObject({ direction: directionSchema }), { direction }, 'blackHole');
    for (const link of this.#chosen(direction)) link.isHeld = true;
  }

  /**
   * Cuts every connection, live or new, once exactly so many bytes have passed on it, counted from now
   * on. With 0 it is cut as soon as there is a byte that would pass: with direction `down`, a request
   * that the server has executed and that nobody will ever hear of.
   *
   * @throws ShardlineError `CONFIG_INVALID` naming each fault.
   *
   * @example
   * ```ts
   * import { startFaultProxy } from '@shardline/testkit';
   *
   * await using proxy = await startFaultProxy({ host: '127.0.0.1', port: 6379 });
   * proxy.cutAfter(3, { direction: 'down', ending: 'silence', connections: 1 });
   * ```
   */
  cutAfter(bytes: number, options: CutOptions): void {
    const { direction, ending, connections } = checkOptions(
      cutSchema,
      { ...options, bytes },
      'cutAfter',
    );
    const connectionsLeft = connections ?? Number.POSITIVE_INFINITY;
    this.#links[direction].cut = { bytes, ending, connectionsLeft };
  }

  /** Resets live connections, and every new one at once, until heal(). */
  reset(): void {
    this.#resetsNewConnections = true;
    this.resetLive();
  }

  /** Resets the connections that are open now; new ones are served. */
  resetLive(): void {
    for (const connection of this.#connections) connection.reset();
  }

  /** Nobody listens any more: connect() is refused. Live connections go on. */
  async refuse(): Promise<void> {
    const listener = this.#listener;
    this.#listener = undefined;
    listener?.close();
    // The port is given back when the event loop has closed the handle.
    await new Promise((resolve) => setImmediate(resolve));
  }

  /**
   * Takes all faults away. Connections that were reset or closed stay so; what was held flows on.
   *
   * @throws ShardlineError `TESTKIT_PORT_IN_USE` if another program took the port during refuse().
   */
  async heal(): Promise<void> {
    this.#resetsNewConnections = false;
    for (const link of Object.values(this.#links)) link.heal();
    for (const connection of this.#connections) connection.heal();
    if (this.#listener === undefined && !this.#isClosed) await this.listen(this.#port);
  }

  /** Closes everything; no socket is left. Safe to call twice. */
  async close(): Promise<void> {
    this.#isClosed = true;
    const listener = this.#listener;
    this.#listener = undefined;
    const deaf = new Promise<unknown>((resolve) => {
      if (listener === undefined) resolve(undefined);
      else listener.close(resolve);
    });
    const connections = [...this.#connections];
    for (const connection of connections) connection.destroy();
    await Promise.all([deaf, ...connections.map((connection) => connection.closed())]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** @internal */
  async listen(port: number): Promise<void> {
    const listener = createServer({ allowHalfOpen: true }, (client) => this.#accept(client));
    await listening(listener, port);
    this.#listener = listener;
    this.#port = (listener.address() as AddressInfo).port;
  }

  #accept(client: Socket): void {
    this.#acceptedConnections += 1;
    if (this.#resetsNewConnections) {
      client.on('error', () => undefined); // its peer may be gone already, which is all the same here
      client.resetAndDestroy();
      return;
    }
    const connection = new ProxiedConnection(client, this.target, this.#links);
    this.#connections.add(connection);
    void connection.closed().then(() => this.#connections.delete(connection));
  }

  #chosen(direction: Direction | 'both'): Link[] {
    return direction === 'both' ? [this.#links.up, this.#links.down] : [this.#links[direction]];
  }
}

/**
 * Starts a proxy before a server.
 *
 * @throws ShardlineError `TESTKIT_PORT_IN_USE` if the given port is taken.
 *
 * @example
 * ```ts
 * import { startFaultProxy } from '@shardline/testkit';
 *
 * await using proxy = await startFaultProxy({ host: '127.0.0.1', port: 5432 });
 * proxy.latency('40ms', { jitter: '10ms', direction: 'down' });
 * proxy.blackHole('up');
 * await proxy.heal();
 * ```
 */
export async function startFaultProxy(
  target: Endpoint,
  options: FaultProxyOptions = {},
): Promise<FaultProxy> {
  const { port, seed } = checkOptions(proxySchema, options, 'startFaultProxy');
  const proxy = new FaultProxy(target, seed);
  await proxy.listen(port);
  return proxy;
}

async function listening(listener: Listener, port: number): Promise<void> {
  for (let tries = 1; ; tries += 1) {
    listener.listen({ host: '127.0.0.1', port, exclusive: true });
    try {
      await once(listener, 'listening');
      return;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw error;
      if (tries === LISTEN_TRIES) throw portTaken(port, error);
      await sleep(LISTEN_PAUSE_MS);
    }
  }
}

function portTaken(port: number, cause: unknown): ShardlineError {
  return new ShardlineError(
    testkitErrors.TESTKIT_PORT_IN_USE,
    `Port ${port} on 127.0.0.1, where a fault proxy was to listen, is taken by another program.`,
    { cause, details: { port } },
  );
}
