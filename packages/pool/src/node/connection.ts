import type { EventEmitter } from 'node:events';
import type { Clock } from '@shardline/core';
import type pg from 'pg';

/**
 * One connection to one server, seen from the pool: whose it is, how old, and whether the server has
 * answered everything that was asked of it.
 *
 * The rule that keeps replies from crossing: a connection goes back among the idle ones only when the
 * server has said ReadyForQuery to everything that was sent. `pg` calls a query's callback when the
 * *error* arrives, a message earlier than that; and a caller may release a client under a running
 * cursor. So `isQuiet` looks at the driver's queues, and `whenQuiet` waits for the message itself. An
 * idle connection on which the server speaks out of turn is broken, whatever it says.
 */

/** What of the driver's client this package uses, public and not. */
export interface DriverClient extends EventEmitter {
  readonly connection: EventEmitter & {
    readonly stream: { destroy(error?: Error): void };
    readonly parsedStatements: Readonly<Record<string, string>>;
    readonly submittedNamedStatements: Readonly<Record<string, string>>;
  };
  readonly readyForQuery?: boolean;
  readonly processID: number | null;
  readonly secretKey: number | null;
  readonly host: string;
  readonly port: number;
  readonly _queryable: boolean;
  readonly _ending: boolean;
  readonly _activeQuery: object | null;
  readonly _queryQueue: readonly object[];
  readonly _sentQueryQueue: readonly object[];
  pipeline: boolean;
  _poolUseCount?: number;
  connect(): Promise<unknown>;
  end(callback: () => void): void;
  query(...args: unknown[]): unknown;
  getTransactionStatus(): 'I' | 'T' | 'E' | null;
  ref(): void;
  unref(): void;
}

/** The driver's client as its users know it. */
export function asPgClient(client: DriverClient): pg.PoolClient {
  return client as unknown as pg.PoolClient;
}

/** Where a connection stands; the pool that owns it moves it along. */
export type ConnectionState = 'idle' | 'lent' | 'settling' | 'closed';

let lastId = 0;

/** One server connection and what the pool knows of it. */
export class Connection {
  readonly id = ++lastId;
  readonly client: DriverClient;
  readonly node: string;
  readonly createdAtMs: number;
  expiresAtMs: number;
  state: ConnectionState = 'lent';
  /** When it was last lent, or last became idle: monotonic milliseconds. */
  sinceMs: number;
  useCount = 0;
  /** Statements in flight, as the pipeline counts them. */
  inFlight = 0;
  /** What broke it. */
  failure: Error | undefined;
  /** Stack of whoever holds it, when leaks are to be reported. */
  heldBy: Error | undefined;
  isLeakReported = false;
  /** Cancel requests on their way: the backend must not serve another until they have landed. */
  pendingCancels = 0;
  /** Whether `in_hot_standby` was last pushed as on; undefined where the server says nothing. */
  inHotStandby: boolean | undefined;

  constructor(options: {
    client: DriverClient;
    node: string;
    clock: Clock;
    lifetimeMs: number;
  }) {
    this.client = options.client;
    this.node = options.node;
    this.createdAtMs = options.clock.monotonicMs();
    this.sinceMs = this.createdAtMs;
    this.expiresAtMs = this.createdAtMs + options.lifetimeMs;
  }

  /** Whether statements can still be sent. */
  get isAlive(): boolean {
    return this.state !== 'closed' && this.client._queryable && !this.client._ending;
  }

  /** Whether the server has answered everything and no cancel request is under way. */
  get isQuiet(): boolean {
    const { client } = this;
    return (
      client.readyForQuery === true &&
      !client._activeQuery &&
      client._queryQueue.length === 0 &&
      client._sentQueryQueue.length === 0 &&
      this.pendingCancels === 0
    );
  }

  /** Whether a transaction is open, failed or not. */
  get isInTransaction(): boolean {
    const status = this.client.getTransactionStatus();
    return status === 'T' || status === 'E';
  }

  /** Cuts the socket at once. */
  destroy(error?: Error): void {
    this.client.connection.stream.destroy(error);
  }
}

/** Calls back once the connection is quiet or dead. Returns how to stop listening. */
export function whenQuiet(connection: Connection, callback: () => void): () => void {
  const { client } = connection;
  const check = () => {
    if (connection.isAlive && !connection.isQuiet) return;
    stop();
    callback();
  };
  // One turn later: the driver's own listener runs first, then sends what is still queued.
  const onReady = () => setImmediate(check);
  const stop = () => {
    client.connection.off('readyForQuery', onReady);
    client.off('error', check);
    client.off('end', check);
    client.off(CANCEL_LANDED, check);
  };
  client.connection.on('readyForQuery', onReady);
  client.on('error', check);
  client.on('end', check);
  client.on(CANCEL_LANDED, check);
  return stop;
}

/** Emitted on the client when a cancel request has been dealt with. */
export const CANCEL_LANDED = Symbol('shardline.cancelLanded');
