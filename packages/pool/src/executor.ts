import type { Clock } from '@shardline/core';
import type { StatementClass } from './classify/statement-class.js';
import type { Connection } from './node/connection.js';
import { execute, type Result, type Statement } from './node/execute.js';
import type { Node } from './node/node.js';
import type { QueryOptions } from './options.js';
import { type Failure, type Recovery, recover } from './recovery.js';
import type { Route, RouteRequest, Router } from './router.js';
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
  /** Before the statement is sent. */
  started(route: Route, statementClass: StatementClass): void;
  /** After its answer, good or bad. */
  ended(route: Route, outcome: AttemptOutcome): void;
}

/** How one attempt ended. */
export interface AttemptOutcome {
  readonly statementClass: StatementClass;
  readonly text: string;
  readonly durationMs: number;
  readonly error: unknown;
  /** What is done about the error. */
  readonly recovery: Recovery | undefined;
}

/** Grace for a server to cancel by its own timeout before the client does it. */
const SERVER_TIMEOUT_GRACE_MS = 1000;

/** Runs autocommit statements over the nodes. */
export class Executor {
  readonly #options: ExecutorOptions;

  constructor(options: ExecutorOptions) {
    this.#options = options;
  }

  /**
   * Runs a statement wherever it belongs. One function and few promises, since every statement of a
   * service comes through here.
   */
  async run(statement: Statement, options: QueryOptions): Promise<Result> {
    const { router, clock, settings, observer } = this.#options;
    const statementClass = router.classify(statement.text);
    const isRead = statementClass.kind === 'read';
    const avoid = new Set<string>();
    const request: RouteRequest = {
      statement: statementClass,
      target: options.target,
      signal: options.signal,
      avoid,
      deadlineMs: clock.monotonicMs() + settings.failoverTimeoutMs,
    };
    for (let failures = 1; ; failures += 1) {
      const route = router.tryRoute(request) ?? (await router.route(request));
      const { node } = route;
      const startedAtMs = clock.monotonicMs();
      let wasSent = false;
      node.inFlight += 1;
      observer.started(route, statementClass);
      try {
        let result: Result;
        if (this.#mayShare(node, statement, isRead)) {
          wasSent = true;
          result = await node.pipeline.run(statement, { signal: options.signal });
        } else {
          const { pool } = node;
          const connection = pool.tryAcquire() ?? (await pool.acquire({ signal: options.signal }));
          wasSent = true;
          result = await this.#runOn(node, connection, statement, isRead, options.signal);
        }
        node.inFlight -= 1;
        this.#report(route, statementClass, statement, startedAtMs, undefined, undefined);
        return result;
      } catch (error) {
        node.inFlight -= 1;
        const found = { error, isRead, wasSent, failures, onReplica: route.isReplica };
        const recovery = this.#recoveryOf(found, statementClass);
        this.#report(route, statementClass, statement, startedAtMs, error, recovery);
        if (recovery === undefined) throw error;
        if (recovery === 'primary') request.target = 'primary';
        else avoid.add(node.name);
      }
    }
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
    route: Route,
    statementClass: StatementClass,
    { text }: Statement,
    startedAtMs: number,
    error: unknown,
    recovery: Recovery | undefined,
  ): void {
    const durationMs = this.#options.clock.monotonicMs() - startedAtMs;
    this.#options.observer.ended(route, { statementClass, text, durationMs, error, recovery });
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
