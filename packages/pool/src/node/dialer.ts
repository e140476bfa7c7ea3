import { type Clock, isShardlineError, type ShardlineError, withDeadline } from '@shardline/core';
import type pg from 'pg';
import { codeOf, messageOf, poolError } from '../errors.js';
import { asPgClient, Connection, type DriverClient } from './connection.js';

/**
 * Opens connections, apart from whoever waits for one.
 *
 * The deadline covers everything from the name lookup to the caller's own `onConnect`, and it is
 * strict: the caller is answered then, and a connection that comes up a moment later is shut again.
 * The driver's own timer is left off, since it does not see a stalled name lookup and races with the
 * end of the handshake.
 */
export interface DialerOptions {
  readonly node: string;
  /** The driver's client class; a subclass of the user's own, perhaps. */
  readonly Client: new (
    config: pg.ClientConfig,
  ) => pg.Client;
  /** What the driver is given: address, credentials, TLS, type parsers. */
  readonly config: pg.ClientConfig;
  readonly dialTimeoutMs: number;
  readonly lifetimeMs: number;
  /** Share of the lifetime by which it varies, so that connections do not all end together. */
  readonly lifetimeJitter: number;
  readonly clock: Clock;
  readonly random: () => number;
  /** Run on each new connection before anyone gets it. */
  readonly prepare: (client: pg.Client) => unknown;
}

/** SQLSTATEs of refused credentials. */
const AUTHENTICATION_STATES = new Set(['28000', '28P01']);

/** OpenSSL's words for certificates that cannot be trusted, and Node's for names that do not match. */
const TLS_CODE = /^(ERR_TLS|ERR_SSL|SELF_SIGNED|DEPTH_ZERO|UNABLE_TO|CERT_|HOSTNAME_MISMATCH)/;

/** Opens connections to one server. */
export class Dialer {
  readonly #options: DialerOptions;

  constructor(options: DialerOptions) {
    this.#options = options;
  }

  /**
   * Opens one connection. If the server refuses what a password function gave, the function is asked again, and if it
   * then says something else, such as a token that has not expired, that is tried, once.
   *
   * @throws ShardlineError `POOL_DIAL_FAILED`, `POOL_DIAL_TIMEOUT`, `POOL_AUTHENTICATION_FAILED`,
   * `POOL_TLS_REFUSED` or `ABORTED`.
   */
  async dial(signal?: AbortSignal): Promise<Connection> {
    const { password: ask } = this.#options.config;
    if (typeof ask !== 'function') return await this.#dial(signal, ask);
    let given: Parameters<typeof ask> | undefined;
    let used: unknown;
    const remember = async (...asked: Parameters<typeof ask>) => {
      given = asked;
      const password = await ask(...asked);
      used = password;
      return password;
    };
    try {
      return await this.#dial(signal, remember);
    } catch (error) {
      if (given === undefined || !isShardlineError(error, 'POOL_AUTHENTICATION_FAILED'))
        throw error;
      const again = await this.#askAgain(ask, given, signal);
      if (again === used || again === undefined) throw error;
      return await this.#dial(signal, again);
    }
  }

  async #askAgain<Given extends unknown[], Password>(
    ask: (...given: Given) => Password | Promise<Password>,
    given: Given,
    signal: AbortSignal | undefined,
  ): Promise<Password | undefined> {
    const { node, dialTimeoutMs: timeoutMs, clock } = this.#options;
    const doing = `Asking for another password for ${node}`;
    try {
      return await withDeadline({ timeoutMs, signal, doing, clock }, async () => ask(...given));
    } catch {
      // The refusal by the server says more than that there is no other password.
      return undefined;
    }
  }

  async #dial(
    signal: AbortSignal | undefined,
    password: pg.ClientConfig['password'],
  ): Promise<Connection> {
    const { node, Client, config, dialTimeoutMs, clock } = this.#options;
    const client = new Client({
      ...config,
      ...(password === undefined ? {} : { password }),
      connectionTimeoutMillis: 0,
    }) as unknown as DriverClient;
    // Until the pool listens, an error of this client must not become an uncaught one.
    client.on('error', ignoreLate);
    let pushed: boolean | undefined;
    const onParameter = (message: { parameterName: string; parameterValue: string }) => {
      if (message.parameterName === 'in_hot_standby') pushed = message.parameterValue === 'on';
    };
    client.connection?.on('parameterStatus', onParameter);
    try {
      await withDeadline(
        { timeoutMs: dialTimeoutMs, signal, doing: `Connecting to ${node}`, clock },
        async () => {
          await client.connect();
          await this.#options.prepare(asPgClient(client));
        },
      );
    } catch (error) {
      abandon(client);
      throw dialError(node, error, dialTimeoutMs);
    }
    client.connection?.off('parameterStatus', onParameter);
    client.off('error', ignoreLate);
    const connection = new Connection({ client, node, clock, lifetimeMs: this.#lifetimeMs() });
    connection.inHotStandby = pushed;
    return connection;
  }

  #lifetimeMs(): number {
    const { lifetimeMs, lifetimeJitter, random } = this.#options;
    return lifetimeMs * (1 - lifetimeJitter * random());
  }
}

/** The failure has been reported by the dial itself; what the socket says afterwards adds nothing. */
function ignoreLate(): void {}

function abandon(client: DriverClient): void {
  client.connection?.stream.destroy();
  // A client whose connect has not ended answers `end()` at once; one that has, closes its socket.
  client.end(ignoreLate);
}

/** Says what went wrong with a dial, and what to do. */
export function dialError(node: string, error: unknown, dialTimeoutMs: number): ShardlineError {
  if (isShardlineError(error, 'ABORTED')) return error;
  const code = codeOf(error);
  const more = { cause: error, details: { node, causeCode: code } };
  if (isShardlineError(error, 'DEADLINE_EXCEEDED')) {
    return poolError(
      'POOL_DIAL_TIMEOUT',
      `Connection terminated due to connection timeout: no connection to ${node} within ${dialTimeoutMs} ms.`,
      more,
    );
  }
  const happened = `Connecting to ${node} failed: ${messageOf(error)}.`;
  const isRefused = AUTHENTICATION_STATES.has(code ?? '') || /^SASL:/.test(messageOf(error));
  if (isRefused) {
    return poolError('POOL_AUTHENTICATION_FAILED', happened, more);
  }
  if (
    /does not support SSL|establishing an SSL/.test(messageOf(error)) ||
    TLS_CODE.test(code ?? '')
  )
    return poolError('POOL_TLS_REFUSED', happened, more);
  return poolError('POOL_DIAL_FAILED', happened, more);
}
