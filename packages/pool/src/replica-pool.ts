import type { EventEmitter } from 'node:events';
import { type Duration, durationMs, systemClock } from '@shardline/core';
import type pg from 'pg';
import {
  BasePool,
  type ConnectCallback,
  hideSecrets,
  type RoutedQueryConfig,
} from './base-pool.js';
import { Cluster } from './cluster.js';
import { endedError, poolError } from './errors.js';
import { Executor } from './executor.js';
import { explainRoute } from './explain-route.js';
import { healthOf, type PoolHealth } from './health.js';
import { Lender } from './lender.js';
import type { Node } from './node/node.js';
import type { QueryOptions, ReplicaPoolOptions } from './options.js';
import { poolEvents } from './pool-events.js';
import { PoolSession, type SessionBeginning, type SessionPosition } from './pool-session.js';
import { preparation } from './preparation.js';
import type { RouteTarget } from './route/decide.js';
import { failSubmittable } from './routed-client.js';
import type { RouteExplanation, RouteRequest } from './router.js';
import { type PoolSettings, resolveSettings } from './settings.js';
import { answer, type QueryCall, readQueryCall } from './statement-arguments.js';
import { submit } from './submit.js';
import { TargetedPool } from './targeted-pool.js';
import { reachedByAll } from './topology/reached-by-all.js';
import { traced } from './tracing.js';

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
  readonly #lender: Lender;
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
    this.#cluster = new Cluster({
      owner: this,
      context,
      events: (node) => poolEvents(this as unknown as EventEmitter, node),
      onRouted: ({ node, reason }, { kind }) =>
        this.options.log?.(`a ${kind} goes to ${node.name}: ${reason}`),
    });
    this.#nodes = [...this.#cluster.nodes.values()];
    const { router, observer } = this.#cluster;
    this.#executor = new Executor({ settings, router, clock: systemClock, observer });
    this.#lender = new Lender({
      owner: this,
      cluster: this.#cluster,
      settings,
      clock: systemClock,
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
    const request = this.#requestFor(text, options);
    return await explainRoute(this.#cluster, request, this.#settings.failoverTimeoutMs);
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
   * @param options.willRead of a new session: whether it will read what it has written. Replicas that are behind are
   * then asked every few milliseconds until they have it, so that the read need not ask. One that is begun to learn
   * where a single write has ended spares them that; a read in it is as right, and asks by itself. @default true
   * @throws ShardlineError `POOL_TOKEN_MALFORMED`, `POOL_TOKEN_FORGED` or `POOL_TOKEN_FOREIGN`.
   */
  session(
    token?: string,
    options: {
      readonly onBadToken?: 'throw' | 'begin-at-primary';
      readonly willRead?: boolean;
    } = {},
  ): PoolSession {
    const { onBadToken = 'throw', willRead = true } = options;
    if (token === undefined) return this.#session({ by: 'nothing', willRead });
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
    const isAtPosition = beginning.by === 'position' || beginning.by === 'claim';
    if (isAtPosition && this.#ending === undefined) this.#begin();
    return new PoolSession(this, this.#cluster, this.#settings, beginning);
  }

  #targeted(target: RouteTarget): TargetedPool {
    return new TargetedPool({
      run: (call) => this.#run({ ...call, target: call.target ?? target }),
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

  #submit(submittable: pg.Submittable, call: QueryCall): pg.Submittable {
    const submitting = async () => {
      if (this.#ending !== undefined) throw endedError();
      this.#begin();
      const request = this.#requestFor(call.statement.text, call);
      await submit(this.#cluster, submittable, call, request, systemClock.monotonicMs());
    };
    submitting().catch((error: Error) => failSubmittable(submittable, error));
    return submittable;
  }

  #requestFor(text: string, { target, signal }: QueryOptions): RouteRequest {
    const { router } = this.#cluster;
    return {
      statement: router.classify(text),
      session: router.session(),
      target,
      signal,
      avoid: new Set<string>(),
      deadlineMs: systemClock.monotonicMs() + this.#settings.failoverTimeoutMs,
    };
  }

  async #lend(target?: RouteTarget): Promise<pg.PoolClient> {
    if (this.#ending !== undefined) throw endedError();
    this.#begin();
    return await this.#lender.lend(target);
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
}

function sum(nodes: readonly Node[], count: (node: Node) => number): number {
  return nodes.reduce((total, node) => total + count(node), 0);
}
