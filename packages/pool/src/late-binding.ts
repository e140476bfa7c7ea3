import type { Clock, Telemetry } from '@shardline/core';
import pg from 'pg';
import type { StatementClass } from './classify/statement-class.js';
import { clientTimeoutMs, type ExecutionObserver } from './executor.js';
import { type Connection, whenQuiet } from './node/connection.js';
import { execute, type Result, type Statement } from './node/execute.js';
import { recover } from './recovery.js';
import type { RouteTarget } from './route/decide.js';
import type { Route, Router } from './router.js';
import type { PoolSettings } from './settings.js';
import type { QueryCall } from './statement-arguments.js';
import { traced } from './tracing.js';

/**
 * Where the statements of one checked-out client run.
 *
 * Object mappers check a client out before they say what for. So it holds no connection until its
 * first statement, and then one of the server that this statement belongs on. From there:
 *
 *   - Inside a transaction nothing moves. A plain BEGIN is not sent until the next statement: that may be
 *     SET TRANSACTION READ ONLY, and then a replica takes all of it.
 *   - Outside, a connection to the primary is kept to the end; one to a replica is changed for one
 *     to the primary when a statement comes that a replica cannot take.
 *   - In a session every statement outside a transaction is routed anew, since the session may have written or
 *     read elsewhere in the meantime: the server at hand may be behind that.
 *   - After a statement that leaves something behind in the server's session (SET, LISTEN, a temporary
 *     table) the connection is kept, whatever follows.
 */
export interface LateBindingOptions {
  readonly router: Router;
  readonly settings: PoolSettings;
  readonly clock: Clock;
  readonly observer: ExecutionObserver;
  readonly telemetry: Telemetry;
  /** Where everything goes unless a statement says otherwise: `pool.primary`, `pool.reader`. */
  readonly target: RouteTarget | undefined;
  readonly onBound: (connection: Connection) => void;
  readonly onUnbound: (connection: Connection) => void;
}

interface Bound {
  readonly route: Route;
  readonly connection: Connection;
}

const NOBODY: ReadonlySet<string> = new Set();

/** The connection of a client that is bound by its statements. */
export class LateBinding {
  readonly #options: LateBindingOptions;
  #bound: Bound | undefined;
  #deferredBegin: { readonly statement: Statement; readonly class: StatementClass } | undefined;
  #isPinned = false;
  /** Tells the span of the statement under way where it went. */
  #onRoute: ((route: Route) => void) | undefined;

  constructor(options: LateBindingOptions) {
    this.#options = options;
  }

  get connection(): Connection | undefined {
    return this.#bound?.connection;
  }

  /** As `pg` tells it: idle, in a transaction, or in a failed one. */
  get transactionStatus(): 'I' | 'T' | 'E' {
    if (this.#deferredBegin !== undefined) return 'T';
    return this.#bound?.connection.client.getTransactionStatus() ?? 'I';
  }

  /** Runs one statement where it belongs, and again elsewhere if that is safe. */
  run(call: QueryCall): Promise<Result> {
    const { telemetry } = this.#options;
    if (!telemetry.isTracing) return this.#run(call);
    return traced(telemetry, call.statement.text, (onRoute) => {
      this.#onRoute = onRoute;
      return this.#run(call);
    });
  }

  async #run(call: QueryCall): Promise<Result> {
    const { statement } = call;
    const found = this.#options.router.classify(statement.text);
    if (this.#mayDefer(found)) {
      this.#deferredBegin = { statement, class: found };
      return emptyResult('BEGIN');
    }
    const begin = this.#deferredBegin;
    if (begin === undefined) return await this.#runWithRecovery(call, found);
    this.#deferredBegin = undefined;
    if (found.kind === 'commit' || found.kind === 'rollback') {
      return emptyResult(found.kind === 'commit' ? 'COMMIT' : 'ROLLBACK');
    }
    const opening = found.declares === 'read-only' ? READ_ONLY_BEGIN : begin.class;
    await this.#runWithRecovery({ ...call, statement: begin.statement }, opening);
    return await this.#runWithRecovery(call, found);
  }

  /** Hands a cursor or a stream to the connection that it belongs on. */
  async submit(call: QueryCall, submittable: pg.Submittable): Promise<void> {
    const found = this.#options.router.classify(call.statement.text);
    if (this.#deferredBegin !== undefined) await this.run({ ...call, statement: NOTHING });
    const { connection, route } = await this.#bind(call, found, NOBODY, call.target);
    if (found.kind === 'session') this.#isPinned = true;
    const done = this.#options.observer.streaming(route);
    connection.client.query(submittable, call.callback);
    whenQuiet(connection, done);
  }

  /** Gives the connection back, if there is one. */
  release(error?: Error | boolean): void {
    this.#deferredBegin = undefined;
    this.#unbind(error);
  }

  #mayDefer(found: StatementClass): boolean {
    if (found.kind !== 'begin' || found.statements !== 1) return false;
    if (this.#options.settings.nodes.length === 1 || this.#deferredBegin !== undefined)
      return false;
    return !(this.#bound?.connection.isInTransaction ?? false);
  }

  async #runWithRecovery(call: QueryCall, found: StatementClass): Promise<Result> {
    const avoid = new Set<string>();
    let { target } = call;
    for (let failures = 1; ; failures += 1) {
      const outcome = await this.#attempt(call, found, target, avoid, failures);
      if (outcome.recovery === undefined) return outcome.result;
      if (outcome.recovery === 'primary') target = 'primary';
      else avoid.add(outcome.node);
    }
  }

  async #attempt(
    call: QueryCall,
    found: StatementClass,
    target: RouteTarget | undefined,
    avoid: ReadonlySet<string>,
    failures: number,
  ) {
    const { clock, observer, router, settings } = this.#options;
    const bound = await this.#bind(call, found, avoid, target);
    const { route, connection } = bound;
    const wasInTransaction = connection.isInTransaction;
    const startedAtMs = clock.monotonicMs();
    observer.started(route, found, startedAtMs);
    this.#onRoute?.(route);
    const report = (error: unknown, recovery?: ReturnType<typeof recover>) => {
      const endedAtMs = clock.monotonicMs();
      observer.ended(route, {
        statementClass: found,
        text: call.statement.text,
        durationMs: endedAtMs - startedAtMs,
        endedAtMs,
        session: router.session(),
        error,
        recovery,
      });
    };
    try {
      const result = await this.#execute(bound, call, found, wasInTransaction);
      if (found.kind === 'session') this.#isPinned = true;
      report(undefined);
      return { recovery: undefined, result } as const;
    } catch (error) {
      const mayMove = !wasInTransaction && !this.#isPinned && settings.nodes.length > 1;
      const recovery = mayMove
        ? recover({
            error,
            isRead: found.kind === 'read',
            onReplica: route.isReplica,
            wasSent: true,
            isAtomic: found.kind !== 'session' || found.statements === 1,
            failures,
            replicas: settings.nodes.length - 1,
          })
        : 'give-up';
      report(error, recovery === 'give-up' ? undefined : recovery);
      if (recovery === 'give-up') throw error;
      this.#unbind();
      return { recovery, node: route.node.name } as const;
    }
  }

  #execute(
    { route, connection }: Bound,
    call: QueryCall,
    { kind }: StatementClass,
    wasInTransaction: boolean,
  ): Promise<Result> {
    const { settings, clock } = this.#options;
    return execute(connection, call.statement, {
      // Opening a transaction changes nothing, and a broken ROLLBACK has rolled back.
      isRead: kind === 'read' || kind === 'begin' || kind === 'begin-read-only',
      isInTransaction: wasInTransaction && kind !== 'commit',
      signal: call.signal,
      timeoutMs: clientTimeoutMs(route.node, settings),
      config: route.node.settings.config,
      clock,
    });
  }

  /** The connection for a statement: the one at hand if it will do, else one where it belongs. */
  async #bind(
    call: QueryCall,
    found: StatementClass,
    avoid: ReadonlySet<string>,
    target: RouteTarget | undefined,
  ): Promise<Bound> {
    const { router, settings, clock } = this.#options;
    const current = this.#bound;
    if (current !== undefined) {
      if (this.#mustStay(current, found, target)) return current;
      await quiet(current.connection);
      if (this.#isPinned || current.connection.isInTransaction) return current;
    }
    const keepsPrimary = current !== undefined && !current.route.isReplica;
    const request = {
      statement: found,
      session: router.session(),
      target: target ?? (keepsPrimary ? 'primary' : this.#options.target),
      signal: call.signal,
      avoid: new Set(avoid),
      deadlineMs: clock.monotonicMs() + settings.failoverTimeoutMs,
    };
    for (let failures = 1; ; failures += 1) {
      const route = router.tryRoute(request, clock.monotonicMs()) ?? (await router.route(request));
      if (
        current !== undefined &&
        route.node === current.route.node &&
        current.connection.isAlive
      ) {
        return current;
      }
      this.#unbind();
      try {
        return await this.#take(route, call);
      } catch (error) {
        this.#reportRefused(route, found, error);
        const isKnownFailure = settings.nodes.length > 1 && failures < settings.nodes.length + 2;
        const way = recover({ ...UNSENT, error, failures, onReplica: route.isReplica });
        if (way === 'give-up' || !isKnownFailure) throw error;
        request.avoid.add(route.node.name);
      }
    }
  }

  #reportRefused(route: Route, statementClass: StatementClass, error: unknown): void {
    const { clock, observer, router } = this.#options;
    const nowMs = clock.monotonicMs();
    observer.started(route, statementClass, nowMs);
    observer.ended(route, {
      statementClass,
      text: '',
      durationMs: 0,
      endedAtMs: nowMs,
      session: router.session(),
      error,
      recovery: 'elsewhere',
    });
  }

  async #take(route: Route, call: QueryCall): Promise<Bound> {
    const { pool } = route.node;
    const connection = pool.tryAcquire() ?? (await pool.acquire({ signal: call.signal }));
    const bound = { route, connection };
    this.#bound = bound;
    route.node.inFlight += 1;
    this.#options.onBound(connection);
    return bound;
  }

  #unbind(error?: Error | boolean): void {
    const bound = this.#bound;
    if (bound === undefined) return;
    this.#bound = undefined;
    this.#isPinned = false;
    bound.route.node.inFlight -= 1;
    this.#options.onUnbound(bound.connection);
    bound.route.node.pool.release(bound.connection, error);
  }

  #mustStay(bound: Bound, found: StatementClass, target: RouteTarget | undefined): boolean {
    const { connection, route } = bound;
    const { router, settings } = this.#options;
    if (this.#isPinned || connection.isInTransaction) return true;
    if (!connection.isAlive) return false;
    if (target !== undefined) return false;
    if (settings.nodes.length > 1 && router.session() !== undefined) return false;
    if (!route.isReplica) return true;
    return found.kind === 'read' || found.kind === 'begin-read-only';
  }
}

const UNSENT = { isRead: false, wasSent: false, isAtomic: true, replicas: 1 };

const NOTHING: Statement = { text: '', query: '', values: undefined };

/** BEGIN whose next statement declares the transaction read-only: it may run on a replica. */
const READ_ONLY_BEGIN: StatementClass = Object.freeze({
  kind: 'begin-read-only',
  reason: 'SET TRANSACTION READ ONLY follows',
  statements: 1,
});

/** What the server would have answered to a statement that did not have to be sent. */
function emptyResult(command: string): Result {
  const result = new (pg as unknown as { Result: new () => Result }).Result();
  result.command = command;
  return result;
}

function quiet(connection: Connection): Promise<void> {
  if (connection.isQuiet || !connection.isAlive) return Promise.resolve();
  return new Promise((resolve) => whenQuiet(connection, resolve));
}
