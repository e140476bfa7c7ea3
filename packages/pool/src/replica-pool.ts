import { type Duration, durationMs, systemClock } from '@shardline/core';
import pg from 'pg';
import { ClassifyService } from './classify-service.js';
import { poolError } from './errors.js';
import { type ExecutionObserver, Executor } from './executor.js';
import { asPgClient, type Connection, whenQuiet } from './node/connection.js';
import { Node } from './node/node.js';
import type { NodePoolEvents } from './node/node-pool.js';
import type { QueryOptions, ReplicaPoolOptions } from './options.js';
import { releaseOnce } from './releasing.js';
import { failSubmittable, RoutedClient } from './routed-client.js';
import { type Route, type Router, SingleRouter } from './router.js';
import { type PoolSettings, resolveSettings } from './settings.js';
import { answer, type QueryCall, readQueryCall } from './statement-arguments.js';

/** Called by `connect` with a client, as `pg` does. */
export type ConnectCallback = (
  error: Error | undefined,
  client: pg.PoolClient | undefined,
  done: (release?: Error | boolean) => void,
) => void;

/** A query that says for itself where it runs, or that can be given up. */
export type RoutedQueryConfig<Values = unknown[]> = pg.QueryConfig<Values> & QueryOptions;

/** What the event `leak` tells: who has held a connection for longer than `leakReportAfter`. */
export interface LeakReport {
  readonly node: string;
  readonly heldMs: number;
  /** Where it was acquired. */
  readonly stack: string;
  readonly client: pg.PoolClient;
}

/** What of `pg.Pool` stays as it is: events, `options`, `Client`. */
type BasePool = Omit<
  pg.Pool,
  'query' | 'connect' | 'end' | 'totalCount' | 'idleCount' | 'waitingCount' | 'expiredCount'
>;
const BasePool = pg.Pool as unknown as new (options: object) => BasePool;

/** How long `end()` waits for clients that are lent. */
const END_DEADLINE_MS = 30_000;
const CATALOG_TIMEOUT_MS = 10_000;

/**
 * A `pg.Pool` that knows replicas.
 *
 * With one server it behaves as `pg.Pool` does. With replicas, reads go to them and everything else to
 * the primary, whichever server that is at the moment.
 *
 * @example
 * ```ts
 * import { ReplicaPool } from '@shardline/pool';
 *
 * const pool = new ReplicaPool({
 *   primary: 'postgres://app@db-1/betting',
 *   replicas: ['postgres://app@db-2/betting', 'postgres://app@db-3/betting'],
 * });
 * const { rows } = await pool.query('SELECT stake FROM bet WHERE id = $1', [42]);
 * await pool.end();
 * ```
 */
export class ReplicaPool extends BasePool {
  readonly #settings: PoolSettings;
  readonly #nodes: readonly Node[];
  readonly #router: Router;
  readonly #executor: Executor;
  readonly #classify: ClassifyService;
  readonly #observer: ExecutionObserver = { started: () => {}, ended: () => {} };
  #starting: Promise<void> | undefined;
  #ending: Promise<void> | undefined;

  /**
   * @throws ShardlineError `CONFIG_INVALID`, naming everything that is wrong with the options.
   */
  constructor(options: ReplicaPoolOptions = {}) {
    const settings = resolveSettings(options);
    super(options);
    hideSecrets(this.options);
    this.#settings = settings;
    const context = {
      settings,
      Client: (this as unknown as { Client: typeof pg.Client }).Client,
      prepare: preparation(options),
      clock: systemClock,
      random: Math.random,
    };
    this.#nodes = settings.nodes.map((node) => new Node(node, context, this.#eventsOf(node.name)));
    this.#classify = new ClassifyService({
      pureFunctions: settings.pureFunctions,
      query: (text) => (this.#nodes[0] as Node).link.query(text, CATALOG_TIMEOUT_MS),
      clock: systemClock,
    });
    this.#router = new SingleRouter(
      this.#nodes[0] as Node,
      settings.pipelining ? this.#classify.classifier : undefined,
    );
    this.#executor = new Executor({
      settings,
      router: this.#router,
      clock: systemClock,
      observer: this.#observer,
    });
    if (settings.min > 0) setImmediate(() => this.#warm());
  }

  /** Connections that exist or are being opened, over all servers. */
  get totalCount(): number {
    return sum(this.#nodes, (node) => node.pool.totalCount);
  }

  /** Connections that nobody uses. */
  get idleCount(): number {
    return sum(this.#nodes, (node) => node.pool.idleCount);
  }

  /** Callers that wait for a connection. */
  get waitingCount(): number {
    return sum(this.#nodes, (node) => node.pool.waitingCount);
  }

  /** Connections past their lifetime that are still in use. */
  get expiredCount(): number {
    return sum(this.#nodes, (node) => node.pool.expiredCount);
  }

  query<T extends pg.Submittable>(queryStream: T): T;
  query<R extends unknown[] = unknown[], I = unknown[]>(
    queryConfig: pg.QueryArrayConfig<I> & QueryOptions,
    values?: pg.QueryConfigValues<I>,
  ): Promise<pg.QueryArrayResult<R>>;
  // biome-ignore lint/suspicious/noExplicitAny: the row type of `pg`, which users rely on
  query<R extends pg.QueryResultRow = any, I = unknown[]>(
    queryConfig: RoutedQueryConfig<I>,
  ): Promise<pg.QueryResult<R>>;
  // biome-ignore lint/suspicious/noExplicitAny: the row and value types of `pg`
  query<R extends pg.QueryResultRow = any, I = any[]>(
    queryTextOrConfig: string | RoutedQueryConfig<I>,
    values?: pg.QueryConfigValues<I>,
  ): Promise<pg.QueryResult<R>>;
  query<R extends unknown[] = unknown[], I = unknown[]>(
    queryConfig: pg.QueryArrayConfig<I> & QueryOptions,
    callback: (err: Error, result: pg.QueryArrayResult<R>) => void,
  ): void;
  // biome-ignore lint/suspicious/noExplicitAny: the row and value types of `pg`
  query<R extends pg.QueryResultRow = any, I = any[]>(
    queryTextOrConfig: string | RoutedQueryConfig<I>,
    callback: (err: Error, result: pg.QueryResult<R>) => void,
  ): void;
  // biome-ignore lint/suspicious/noExplicitAny: the row and value types of `pg`
  query<R extends pg.QueryResultRow = any, I = any[]>(
    queryText: string,
    values: pg.QueryConfigValues<I>,
    callback: (err: Error, result: pg.QueryResult<R>) => void,
  ): void;
  /**
   * Runs one statement wherever it belongs.
   *
   * @throws ShardlineError if no connection could be had in time, or if one was lost; else what the
   * server says.
   */
  query(query: unknown, values?: unknown, callback?: unknown): unknown {
    if (typeof query === 'function') {
      const error = new TypeError(
        'Passing a function as the first parameter to pool.query is not supported',
      );
      setImmediate(query as (error: Error) => void, error);
      return undefined;
    }
    const call = readQueryCall(query, values, callback);
    if (call.submittable !== undefined) return this.#submit(call.submittable, call);
    return answer(this.#run(call), call.callback);
  }

  connect(): Promise<pg.PoolClient>;
  connect(callback: ConnectCallback): void;
  /** Lends a client, to be given back with `release()`. */
  connect(callback?: ConnectCallback): Promise<pg.PoolClient> | undefined {
    const lending = this.#lend();
    if (callback === undefined) return lending;
    lending.then(
      (client) => callback(undefined, client, client.release),
      (error: Error) => callback(error, undefined, () => {}),
    );
    return undefined;
  }

  end(): Promise<void>;
  end(callback: () => void): void;
  /** Lends nothing more, and resolves when every connection is closed. */
  end(callback?: (error?: Error) => void): Promise<void> | undefined {
    const ending =
      this.#ending === undefined
        ? this.#end(END_DEADLINE_MS)
        : Promise.reject(poolError('POOL_ENDED', 'Called end on pool more than once.'));
    if (callback === undefined) return ending;
    ending.then(() => callback(), callback);
    return undefined;
  }

  /** Ends the pool; clients that are still lent at the deadline are cut off. Safe to call twice. */
  async close(options: { readonly deadline?: Duration } = {}): Promise<void> {
    const { deadline } = options;
    await (this.#ending ??
      this.#end(deadline === undefined ? END_DEADLINE_MS : durationMs(deadline)));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /**
   * Resolves when reads can be told from writes and the servers' roles are known. Nobody has to wait for it:
   * until then statements run on the primary, or wait for there to be one.
   */
  async ready(): Promise<void> {
    if (this.#ending !== undefined) throw endedError();
    await this.#start();
  }

  #start(): Promise<void> {
    this.#starting ??= this.#needsClassifier ? this.#classify.start() : Promise.resolve();
    return this.#starting;
  }

  get #needsClassifier(): boolean {
    return this.#nodes.length > 1 || this.#settings.pipelining;
  }

  #run(call: QueryCall): Promise<pg.QueryResult> {
    if (this.#ending !== undefined) return Promise.reject(endedError());
    if (this.#starting === undefined) void this.#start();
    return this.#executor.run(call.statement, call);
  }

  /** A cursor or a stream keeps its connection until it has said all. */
  #submit(submittable: pg.Submittable, call: QueryCall): pg.Submittable {
    const submit = async () => {
      if (this.#ending !== undefined) throw endedError();
      const route = await this.#routeOf(call);
      const { pool } = route.node;
      const connection = pool.tryAcquire() ?? (await pool.acquire({ signal: call.signal }));
      connection.client.query(submittable, call.callback);
      whenQuiet(connection, () => pool.release(connection));
    };
    submit().catch((error: Error) => failSubmittable(submittable, error));
    return submittable;
  }

  async #routeOf({ statement, target, signal }: QueryCall): Promise<Route> {
    const router = this.#router;
    const request = {
      statement: router.classify(statement.text),
      target,
      signal,
      avoid: new Set<string>(),
      deadlineMs: systemClock.monotonicMs() + this.#settings.failoverTimeoutMs,
    };
    return router.tryRoute(request) ?? (await router.route(request));
  }

  async #lend(): Promise<pg.PoolClient> {
    if (this.#ending !== undefined) throw endedError();
    const [node] = this.#nodes as [Node];
    if (this.#nodes.length > 1) return this.#lendRouted(node);
    const connection = node.pool.tryAcquire() ?? (await node.pool.acquire());
    const client = asPgClient(connection.client);
    client.release = releaseOnce(node.pool, connection);
    return client;
  }

  #lendRouted(declared: Node): pg.PoolClient {
    const client = new RoutedClient(
      {
        router: this.#router,
        settings: this.#settings,
        clock: systemClock,
        observer: this.#observer,
        target: undefined,
      },
      declared.settings.config,
    );
    return client as unknown as pg.PoolClient;
  }

  #warm(): void {
    if (this.#ending !== undefined) return;
    for (const node of this.#nodes) node.pool.warm();
  }

  #end(deadlineMs: number): Promise<void> {
    const flags = this as unknown as { ending: boolean; ended: boolean };
    flags.ending = true;
    this.#classify.stop();
    this.#ending = Promise.all(this.#nodes.map((node) => node.end(deadlineMs))).then(() => {
      flags.ended = true;
    });
    return this.#ending;
  }

  #eventsOf(node: string): NodePoolEvents {
    const clientOf = ({ client }: Connection) => asPgClient(client);
    return {
      connected: (connection) => this.emit('connect', clientOf(connection)),
      acquired: (connection) => this.emit('acquire', clientOf(connection)),
      released: (error, connection) => this.emit('release', error as Error, clientOf(connection)),
      removed: (connection) => this.emit('remove', clientOf(connection)),
      broke: (error, connection, wasIdle) => {
        // Without a listener an event called `error` ends the process; a broken idle connection is no
        // reason for that, since the pool has replaced it already.
        if (wasIdle && this.listenerCount('error') > 0) {
          this.emit('error', error, clientOf(connection));
        }
      },
      dialFailed: () => {},
      leaked: (connection, heldMs) => {
        this.emit('leak', {
          node,
          heldMs,
          stack: connection.heldBy?.stack ?? '',
          client: clientOf(connection),
        } satisfies LeakReport);
      },
      leftInTransaction: () => {},
      acquireTimedOut: () => {},
      standbyPushed: () => {},
    };
  }
}

function endedError(): Error {
  return poolError('POOL_ENDED', 'Cannot use a pool after calling end on the pool.');
}

/** What is done with a new connection before anyone gets it: the user's `onConnect`, then `verify`. */
function preparation({ onConnect, verify }: ReplicaPoolOptions) {
  return async (client: pg.Client): Promise<void> => {
    await onConnect?.(client);
    if (verify === undefined) return;
    await new Promise<void>((resolve, reject) => {
      verify(client as pg.PoolClient, (error?: Error) => (error ? reject(error) : resolve()));
    });
  };
}

/** Addresses carry passwords, and pools get printed. */
function hideSecrets(options: object): void {
  for (const name of ['primary', 'replicas', 'sessions', 'connectionString', 'password']) {
    if (!(name in options)) continue;
    Object.defineProperty(options, name, { enumerable: false });
  }
}

function sum(nodes: readonly Node[], count: (node: Node) => number): number {
  return nodes.reduce((total, node) => total + count(node), 0);
}
