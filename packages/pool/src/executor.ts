import type { Clock } from '@shardline/core';
import type { StatementClass } from './classify/statement-class.js';
import type { Connection } from './node/connection.js';
import { execute, explain, type Result, type Statement } from './node/execute.js';
import type { Node } from './node/node.js';
import type { QueryOptions } from './options.js';
import { type Failure, type Recovery, recover } from './recovery.js';
import type { Route, RouteRequest, Router } from './router.js';
import type { Session } from './session/session.js';
import type { PoolSettings } from './settings.js';

/**
 * Runs autocommit statements: finds the server, borrows or shares a connection, and where it failed
 * in a way that proves that nothing happened, or changed nothing to begin with, tries again.
 */
export interface ExecutorOptions {
  readonly settings: PoolSettings;
  readonly router: Router;
  readonly clock: Clock;
  readonly observer: ExecutionObserver;
}

/** Hears of every attempt; the balancer, sessions and telemetry learn from it. */
export interface ExecutionObserver {
  /** Before the statement is sent, at that moment. */
  started(route: Route, statementClass: StatementClass, nowMs: number): void;
  /** Before a cursor or a stream begins to read; call back when it has ended. */
  streaming(route: Route): () => void;
  /** After its answer, good or bad. */
  ended(route: Route, outcome: AttemptOutcome): void;
}

/** How one attempt ended. */
export interface AttemptOutcome {
  readonly statementClass: StatementClass;
  readonly text: string;
  readonly durationMs: number;
  /** Monotonic time of the end. */
  readonly endedAtMs: number;
  /** The caller's: an answer comes in the context of the socket, which belongs to nobody. */
  readonly session: Session | undefined;
  readonly error: unknown;
  /** What is done about the error. */
  readonly recovery: Recovery | undefined;
}

/** One statement on its way. */
interface Run {
  readonly statement: Statement;
  readonly isRead: boolean;
  readonly request: RouteRequest;
  /** Tells the span of the statement where it went. */
  readonly onRoute: ((route: Route) => void) | undefined;
}

const NOBODY: ReadonlySet<string> = new Set();
const AT_EASE = {};

/** Grace for a server to cancel by its own timeout before the client does it. */
const SERVER_TIMEOUT_GRACE_MS = 1000;

/** Runs autocommit statements over the nodes. */
export class Executor {
  readonly #options: ExecutorOptions;

  constructor(options: ExecutorOptions) {
    this.#options = options;
  }

  /** Runs a statement wherever it belongs. */
  run(
    statement: Statement,
    options: QueryOptions,
    onRoute?: (route: Route) => void,
  ): Promise<Result> {
    const { router, clock, settings } = this.#options;
    const nowMs = clock.monotonicMs();
    const statementClass = router.classify(statement.text);
    const run: Run = {
      statement,
      isRead: statementClass.kind === 'read',
      onRoute,
      request: {
        statement: statementClass,
        session: router.session(),
        target: options.target,
        signal: options.signal,
        avoid: NOBODY,
        deadlineMs: nowMs + settings.failoverTimeoutMs,
      },
    };
    const isPlain = options.signal === undefined && settings.statementTimeoutMs === 0;
    // Learning which texts are fast enough to share a connection takes the careful way too.
    if (!isPlain || settings.pipelining) return this.#runCarefully(run, 1);
    const route = router.tryRoute(run.request, nowMs);
    return route === undefined ? this.#runCarefully(run, 1) : this.#runPlainly(run, route, nowMs);
  }

  /**
   * One attempt with a single promise, since nearly every statement of a service comes through here: nothing to
   * watch, and the server known at once. A failure that can be made good goes the careful way from there.
   */
  #runPlainly(run: Run, route: Route, nowMs: number): Promise<Result> {
    const { node } = route;
    const { statement, isRead } = run;
    const { clock, observer, settings } = this.#options;
    node.inFlight += 1;
    observer.started(route, run.request.statement, nowMs);
    run.onRoute?.(route);
    return new Promise((resolve, reject) => {
      const fail = (error: unknown, wasSent: boolean) => {
        node.inFlight -= 1;
        const recovery = this.#fail(run, route, error, wasSent, 1, nowMs);
        if (recovery === undefined) reject(error);
        else resolve(this.#runCarefully(run, 2));
      };
      const send = (connection: Connection) => {
        const onAnswer = (error: Error | null | undefined, result: Result) => {
          const endedAtMs = clock.monotonicMs();
          if (error) {
            // Judged before the release, which may close it: then every error would look like a lost connection.
            const found = explain(error, connection, { isRead, isInTransaction: false });
            const isToClose = settings.closeOnQueryError ? found : undefined;
            node.pool.release(connection, isToClose, endedAtMs);
            fail(found, true);
            return;
          }
          node.pool.release(connection, undefined, endedAtMs);
          node.inFlight -= 1;
          this.#report(run, route, nowMs, endedAtMs, undefined, undefined);
          resolve(result);
        };
        try {
          connection.client.query(statement.query, statement.values, onAnswer);
        } catch (error) {
          // The driver refused the arguments; nothing was sent.
          node.pool.release(connection);
          fail(error, true);
        }
      };
      const idle = node.pool.tryAcquire(nowMs);
      if (idle !== undefined) send(idle);
      else node.pool.acquire(AT_EASE, nowMs).then(send, (error: unknown) => fail(error, false));
    });
  }

  /** Attempts until one is good or cannot be made good, each watched for as long as its caller wants it. */
  async #runCarefully(run: Run, firstAttempt: number): Promise<Result> {
    const { router, clock, observer } = this.#options;
    const { request, statement, isRead } = run;
    for (let failures = firstAttempt; ; failures += 1) {
      const route = router.tryRoute(request, clock.monotonicMs()) ?? (await router.route(request));
      const { node } = route;
      const startedAtMs = clock.monotonicMs();
      let wasSent = false;
      node.inFlight += 1;
      observer.started(route, request.statement, startedAtMs);
      run.onRoute?.(route);
      try {
        let result: Result;
        if (this.#mayShare(node, statement, isRead)) {
          wasSent = true;
          result = await node.pipeline.run(statement, { signal: request.signal });
        } else {
          const { pool } = node;
          const connection = pool.tryAcquire() ?? (await pool.acquire({ signal: request.signal }));
          wasSent = true;
          result = await this.#runOn(node, connection, statement, isRead, request.signal);
        }
        node.inFlight -= 1;
        this.#report(run, route, startedAtMs, clock.monotonicMs(), undefined, undefined);
        return result;
      } catch (error) {
        node.inFlight -= 1;
        const recovery = this.#fail(run, route, error, wasSent, failures, startedAtMs);
        if (recovery === undefined) throw error;
      }
    }
  }

  /** What is done about a failure, once everybody has been told of it; undefined if nothing can be. */
  #fail(
    { request, isRead, statement }: Run,
    route: Route,
    error: unknown,
    wasSent: boolean,
    failures: number,
    startedAtMs: number,
  ): Recovery | undefined {
    const found = { error, isRead, wasSent, failures, onReplica: route.isReplica };
    const recovery = this.#recoveryOf(found, request.statement);
    const endedAtMs = this.#options.clock.monotonicMs();
    this.#report({ request, statement }, route, startedAtMs, endedAtMs, error, recovery);
    if (recovery === 'primary') request.target = 'primary';
    else if (recovery !== undefined) request.avoid = new Set([...request.avoid, route.node.name]);
    return recovery;
  }

  #recoveryOf(
    found: Omit<Failure, 'isAtomic' | 'replicas'>,
    { kind, statements }: StatementClass,
  ): Recovery | undefined {
    const { nodes } = this.#options.settings;
    if (nodes.length === 1) return undefined;
    const isAtomic = kind !== 'session' || statements === 1;
    const recovery = recover({ ...found, isAtomic, replicas: nodes.length - 1 });
    return recovery === 'give-up' ? undefined : recovery;
  }

  #report(
    { request, statement: { text } }: Pick<Run, 'request' | 'statement'>,
    route: Route,
    startedAtMs: number,
    endedAtMs: number,
    error: unknown,
    recovery: Recovery | undefined,
  ): void {
    const { session, statement: statementClass } = request;
    const durationMs = endedAtMs - startedAtMs;
    const outcome = { statementClass, text, durationMs, endedAtMs, session, error, recovery };
    this.#options.observer.ended(route, outcome);
  }

  #mayShare(node: Node, { text }: Statement, isRead: boolean): boolean {
    if (!this.#options.settings.pipelining || !isRead) return false;
    return !node.settings.isBehindPgBouncer && node.pipeline.takes(text);
  }

  #runOn(
    node: Node,
    connection: Connection,
    statement: Statement,
    isRead: boolean,
    signal: AbortSignal | undefined,
  ): Promise<Result> {
    const { settings, clock } = this.#options;
    const startedAtMs = settings.pipelining ? clock.monotonicMs() : 0;
    const watch = {
      isRead,
      isInTransaction: false,
      signal,
      timeoutMs: clientTimeoutMs(node, settings),
      config: node.settings.config,
      clock,
    };
    return execute(connection, statement, watch).then(
      (result) => {
        if (settings.pipelining && isRead) {
          node.pipeline.observe(statement.text, clock.monotonicMs() - startedAtMs);
        }
        node.pool.release(connection);
        return result;
      },
      (error: Error) => {
        node.pool.release(connection, settings.closeOnQueryError ? error : undefined);
        throw error;
      },
    );
  }
}

/** When the client cancels: at the timeout where the server keeps none, else a little later. */
export function clientTimeoutMs(node: Node, settings: PoolSettings): number {
  const { statementTimeoutMs } = settings;
  if (statementTimeoutMs === 0) return 0;
  return node.settings.isBehindPgBouncer
    ? statementTimeoutMs
    : statementTimeoutMs + SERVER_TIMEOUT_GRACE_MS;
}
