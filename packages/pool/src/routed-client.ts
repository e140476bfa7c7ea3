import { EventEmitter } from 'node:events';
import pg from 'pg';
import { poolError } from './errors.js';
import { LateBinding, type LateBindingOptions } from './late-binding.js';
import type { Connection } from './node/connection.js';
import { releasedTwice } from './releasing.js';
import { answer, type QueryCall, readQueryCall } from './statement-arguments.js';

/**
 * A client from `connect()` of a pool with replicas: to its user a client of `pg`, underneath bound to
 * a server by what is asked of it (see `late-binding.ts`). Statements run one after another, in the order
 * in which they were given, as on any connection.
 */
export class RoutedClient extends EventEmitter {
  readonly user: string | undefined;
  readonly database: string | undefined;
  readonly host: string | undefined;
  readonly port: number | undefined;
  readonly #binding: LateBinding;
  readonly #forwarders: readonly (readonly [string, (...given: unknown[]) => void])[];
  #types: pg.TypeOverrides | undefined;
  #tail: Promise<unknown> | undefined;
  #isReleased = false;

  constructor(options: Omit<LateBindingOptions, 'onBound' | 'onUnbound'>, config: pg.ClientConfig) {
    super();
    this.user = config.user;
    this.database = config.database;
    this.host = config.host;
    this.port = config.port;
    this.#forwarders = FORWARDED.map((event) => [event, (...given) => this.#forward(event, given)]);
    this.#binding = new LateBinding({
      ...options,
      onBound: ({ client }) => {
        for (const [event, listener] of this.#forwarders) client.on(event, listener);
      },
      onUnbound: ({ client }) => {
        for (const [event, listener] of this.#forwarders) client.off(event, listener);
      },
    });
  }

  /** The backend that serves this client; null while it is not bound to one. */
  get processID(): number | null {
    return this.#binding.connection?.client.processID ?? null;
  }

  /** The driver's connection, while there is one. */
  get connection(): Connection['client']['connection'] | undefined {
    return this.#binding.connection?.client.connection;
  }

  /** Runs a statement, as `pg.Client` does. */
  query(query: unknown, values?: unknown, callback?: unknown): unknown {
    const call = this.#withTypes(readQueryCall(query, values, callback));
    const { submittable } = call;
    if (this.#isReleased) {
      if (submittable !== undefined) throw usedAfterRelease();
      return answer(Promise.reject(usedAfterRelease()), call.callback);
    }
    if (submittable === undefined) {
      return answer(
        this.#inTurn(() => this.#binding.run(call)),
        call.callback,
      );
    }
    this.#inTurn(() => this.#binding.submit(call, submittable)).catch((error: Error) =>
      failSubmittable(submittable, error),
    );
    return submittable;
  }

  /** Gives the client back to the pool, once what was asked of it has been answered. */
  release = (error?: Error | boolean): void => {
    if (this.#isReleased) throw releasedTwice();
    this.#isReleased = true;
    const release = () => this.#binding.release(error);
    if (this.#tail === undefined || error) release();
    else this.#tail.then(release, release);
  };

  getTransactionStatus(): 'I' | 'T' | 'E' {
    return this.#binding.transactionStatus;
  }

  escapeIdentifier(text: string): string {
    return pg.escapeIdentifier(text);
  }

  escapeLiteral(text: string): string {
    return pg.escapeLiteral(text);
  }

  setTypeParser(...given: Parameters<pg.TypeOverrides['setTypeParser']>): void {
    this.#types ??= new pg.TypeOverrides();
    this.#types.setTypeParser(...given);
  }

  getTypeParser(...given: Parameters<pg.TypeOverrides['getTypeParser']>): unknown {
    return (this.#types ?? new pg.TypeOverrides()).getTypeParser(...given);
  }

  ref(): void {
    this.#binding.connection?.client.ref();
  }

  unref(): void {
    this.#binding.connection?.client.unref();
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#tail === undefined ? work() : this.#tail.then(work, work);
    this.#tail = turn;
    const done = () => {
      if (this.#tail === turn) this.#tail = undefined;
    };
    turn.then(done, done);
    return turn;
  }

  #withTypes(call: QueryCall): QueryCall {
    if (this.#types === undefined || call.submittable !== undefined) return call;
    const { statement } = call;
    const given = typeof statement.query === 'string' ? { text: statement.query } : statement.query;
    const query = { types: this.#types, ...given } as unknown as pg.QueryConfig;
    return { ...call, statement: { ...statement, query } };
  }

  #forward(event: string, given: unknown[]): void {
    // An unheard `error` would end the process, and whoever awaits a query is told by its promise.
    if (event === 'error' && this.listenerCount('error') === 0) return;
    this.emit(event, ...given);
  }
}

/** What a client of `pg` emits that its users listen to. */
const FORWARDED = ['error', 'notice', 'notification', 'drain'] as const;

function usedAfterRelease(): Error {
  return poolError('POOL_USED_AFTER_RELEASE', 'A query was given to a client after its release.');
}

interface Failable {
  connection?: unknown;
  handleError?: (error: Error, connection: unknown) => void;
}

/** Tells a cursor or a stream that it will never run. It expects to have a connection by then. */
export function failSubmittable(submittable: pg.Submittable, error: Error): void {
  const failable = submittable as unknown as Failable & { cursor?: Failable };
  const none = Object.assign(new EventEmitter(), { sync: () => {}, close: () => {} });
  const inner = failable.cursor ?? failable;
  if (inner.connection === null || inner.connection === undefined) inner.connection = none;
  failable.handleError?.(error, none);
}
