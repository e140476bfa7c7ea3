import type { EventEmitter } from 'node:events';
import { type Duration, durationMs, systemClock, withDeadline } from '@shardline/core';
import pg from 'pg';
import { Cluster, type PoolEvents } from './cluster.js';
import { poolError } from './errors.js';
import { Executor } from './executor.js';
import { healthOf, type PoolHealth } from './health.js';
import { asPgClient, type Connection, whenQuiet } from './node/connection.js';
import type { Node } from './node/node.js';
import type { QueryOptions, ReplicaPoolOptions } from './options.js';
import { PoolSession, type SessionBeginning, type SessionPosition } from './pool-session.js';
import { releaseOnce } from './releasing.js';
import type { RouteTarget } from './route/decide.js';
import { failSubmittable, RoutedClient } from './routed-client.js';
import type { Route, RouteExplanation, RouteRequest } from './router.js';
import { currentSession } from './session/current-session.js';
import { type PoolSettings, resolveSettings } from './settings.js';
import { answer, type QueryCall, readQueryCall } from './statement-arguments.js';
import { TargetedPool } from './targeted-pool.js';
import { reachedByAll } from './topology/reached-by-all.js';
import { traced } from './tracing.js';

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
  readonly #cluster: Cluster;
  readonly #nodes: readonly Node[];
  readonly #executor: Executor;
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
    this.#cluster = new Cluster({ owner: this, context, events: (node) => this.#eventsOf(node) });
    this.#nodes = [...this.#cluster.nodes.values()];
    const { router, observer } = this.#cluster;
    this.#executor = new Executor({ settings, router, clock: systemClock, observer });
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
   * Resolves when the servers' roles are known and reads can be told from writes. Nobody has to wait for it:
   * until then statements wait for there to be a primary, and run on it.
   *
   * @throws ShardlineError `POOL_NO_PRIMARY` if none is found in time.
   */
  async ready(): Promise<void> {
    if (this.#ending !== undefined) throw endedError();
    await this.#cluster.start();
  }

  /**
   * Where a statement would go at this moment, and why. The statement is not sent.
   *
   * Waits until the servers' roles are known, no longer than `failoverTimeout`.
   *
   * @throws ShardlineError `POOL_ENDED`, `ABORTED`; `POOL_NO_REPLICA` for a target that is not known.
   * @example
   * ```ts
   * import { ReplicaPool } from '@shardline/pool';
   *
   * declare const pool: ReplicaPool;
   * const { role, nodes, reason } = await pool.explain('SELECT stake FROM bet FOR UPDATE');
   * // 'primary', ['db-1:5432'], 'a locking clause'
   * ```
   */
  async explain(text: string, options: QueryOptions = {}): Promise<RouteExplanation> {
    if (this.#ending !== undefined) throw endedError();
    this.#begin();
    const { failoverTimeoutMs: timeoutMs } = this.#settings;
    const doing = 'Learning the roles of the servers';
    // A cluster without a primary has an explanation too.
    const starting = this.#cluster.start().catch(() => {});
    await withDeadline({ timeoutMs, signal: options.signal, doing }, () => starting).catch(
      (error: unknown) => {
        if (options.signal?.aborted) throw error;
      },
    );
    return this.#cluster.router.explain(this.#requestFor(text, options));
  }

  /** How the pool and its servers do, from what is known. */
  health(): PoolHealth {
    return healthOf(this.#cluster);
  }

  /**
   * Begins a session, or takes one up again by its token.
   *
   * @param options.onBadToken what to do about a token that is malformed, forged or of another
   * cluster: refuse it, or begin anew at the primary, which holds everything. @default 'throw'
   * @throws ShardlineError `POOL_TOKEN_MALFORMED`, `POOL_TOKEN_FORGED` or `POOL_TOKEN_FOREIGN`.
   */
  session(
    token?: string,
    options: { readonly onBadToken?: 'throw' | 'begin-at-primary' } = {},
  ): PoolSession {
    const { onBadToken = 'throw' } = options;
    return this.#session({ by: 'token', token, onBadToken });
  }

  /**
   * Begins a session at a position, for those who carry positions by a way of their own.
   *
   * @param position as a session of this cluster gave it; without one, the session begins at the primary.
   * @param options.isTrusted whether it is known to come from a session, unaltered. Else it is a claim,
   * which the primary bounds. @default true
   */
  sessionAt(
    position: SessionPosition | undefined,
    options: { readonly isTrusted?: boolean } = {},
  ): PoolSession {
    const { isTrusted = true } = options;
    if (position === undefined || !isTrusted) return this.#session({ by: 'claim', position });
    return this.#session({ by: 'position', position });
  }

  /** Runs work in a session, by its token or as a new one; the session is what gives the next token. */
  runInSession<T>(token: string | undefined, work: (session: PoolSession) => T): T {
    const session = this.session(token);
    return session.run(() => work(session));
  }

  /** The pool with everything going to the primary. */
  get primary(): TargetedPool {
    return this.#targeted('primary');
  }

  /** The pool with every read going to a replica, or failing if there is none. */
  get reader(): TargetedPool {
    return this.#targeted('replica');
  }

  /**
   * A position that every server in use is known to have reached, without asking: what was acknowledged up to
   * there any read shows. Undefined while some position is not known.
   */
  get reachedPosition(): SessionPosition | undefined {
    return reachedByAll(this.#cluster.monitor.state);
  }

  #session(beginning: SessionBeginning): PoolSession {
    // A claim is put to the primary at once, which somebody has to have looked for.
    if (beginning.by !== 'token' && this.#ending === undefined) this.#begin();
    return new PoolSession(this, this.#cluster, this.#settings, beginning);
  }

  #targeted(target: RouteTarget): TargetedPool {
    return new TargetedPool({
      run: (call) => this.#run({ target, ...call }),
      lend: () => this.#lend(target),
    });
  }

  #run(call: QueryCall): Promise<pg.QueryResult> {
    if (this.#ending !== undefined) return Promise.reject(endedError());
    this.#begin();
    const { telemetry } = this.#cluster;
    const { statement } = call;
    if (!telemetry.isTracing) return this.#executor.run(statement, call);
    return traced(telemetry, statement.text, (onRoute) =>
      this.#executor.run(statement, call, onRoute),
    );
  }

  /** Starts to watch at the first use, so that a pool that is never used opens nothing. */
  #begin(): void {
    if (this.#cluster.hasStarted) return;
    // Whoever needs a primary waits for one, and is told by its own deadline.
    this.#cluster.start().catch(() => {});
  }

  /** A cursor or a stream keeps its connection until it has said all. */
  #submit(submittable: pg.Submittable, call: QueryCall): pg.Submittable {
    const submit = async () => {
      if (this.#ending !== undefined) throw endedError();
      this.#begin();
      const route = await this.#routeOf(call);
      const { pool } = route.node;
      const connection = pool.tryAcquire() ?? (await pool.acquire({ signal: call.signal }));
      const done = this.#cluster.observer.streaming(route);
      connection.client.query(submittable, call.callback);
      whenQuiet(connection, () => {
        done();
        pool.release(connection);
      });
    };
    submit().catch((error: Error) => failSubmittable(submittable, error));
    return submittable;
  }

  async #routeOf({ statement, ...options }: QueryCall): Promise<Route> {
    const { router } = this.#cluster;
    const request = this.#requestFor(statement.text, options);
    return router.tryRoute(request) ?? (await router.route(request));
  }

  #requestFor(text: string, { target, signal }: QueryOptions): RouteRequest {
    return {
      statement: this.#cluster.router.classify(text),
      target,
      signal,
      avoid: new Set<string>(),
      deadlineMs: systemClock.monotonicMs() + this.#settings.failoverTimeoutMs,
    };
  }

  async #lend(target?: RouteTarget): Promise<pg.PoolClient> {
    if (this.#ending !== undefined) throw endedError();
    this.#begin();
    const node = this.#cluster.declared;
    // A session has to hear of what is done, even where there is only one server to do it on.
    if (this.#nodes.length > 1 || currentSession(this) !== undefined)
      return this.#lendRouted(target);
    const connection = node.pool.tryAcquire() ?? (await node.pool.acquire());
    const client = asPgClient(connection.client);
    client.release = releaseOnce(node.pool, connection);
    return client;
  }

  #lendRouted(target: RouteTarget | undefined): pg.PoolClient {
    const { router, observer, telemetry, declared } = this.#cluster;
    const settings = this.#settings;
    const client = new RoutedClient(
      { router, settings, clock: systemClock, observer, telemetry, target },
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
    this.#ending = this.#cluster.end(deadlineMs).then(() => {
      flags.ended = true;
    });
    return this.#ending;
  }

  #eventsOf(node: string): PoolEvents {
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
      leaked: (connection, heldMs) => {
        const stack = connection.heldBy?.stack ?? '';
        const report: LeakReport = { node, heldMs, stack, client: clientOf(connection) };
        (this as unknown as EventEmitter).emit('leak', report);
      },
      routed: ({ reason }, { kind }) => this.options.log?.(`a ${kind} goes to ${node}: ${reason}`),
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
