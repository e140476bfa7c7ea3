import type { Clock } from '@shardline/core';
import type { StatementClass } from './classify/statement-class.js';
import type { Connection } from './node/connection.js';
import { execute, type Result, type Statement } from './node/execute.js';
import type { Node } from './node/node.js';
import type { QueryOptions } from './options.js';
import { type Recovery, recover } from './recovery.js';
import type { Route, Router } from './router.js';
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

  /** Runs a statement wherever it belongs. */
  async run(statement: Statement, options: QueryOptions): Promise<Result> {
    const { router, clock, settings } = this.#options;
    const statementClass = router.classify(statement.text);
    const deadlineMs = clock.monotonicMs() + settings.failoverTimeoutMs;
    const { signal } = options;
    let { target } = options;
    const avoid = new Set<string>();
    for (let failures = 1; ; failures += 1) {
      const request = { statement: statementClass, target, signal, avoid, deadlineMs };
      const route = router.tryRoute(request) ?? (await router.route(request));
      const attempt = await this.#attempt(route, statement, statementClass, options, failures);
      if (attempt.recovery === undefined) return attempt.result;
      if (attempt.recovery === 'primary') target = 'primary';
      else avoid.add(route.node.name);
    }
  }

  async #attempt(
    route: Route,
    statement: Statement,
    statementClass: StatementClass,
    options: QueryOptions,
    failures: number,
  ): Promise<{ recovery: undefined; result: Result } | { recovery: Recovery }> {
    const { clock, observer, settings } = this.#options;
    const { node } = route;
    const isRead = statementClass.kind === 'read';
    const sent = { was: false };
    const startedAtMs = clock.monotonicMs();
    const report = (error: unknown, recovery: Recovery | undefined) => {
      node.inFlight -= 1;
      const durationMs = clock.monotonicMs() - startedAtMs;
      observer.ended(route, { statementClass, text: statement.text, durationMs, error, recovery });
    };
    node.inFlight += 1;
    observer.started(route, statementClass);
    try {
      const result = await this.#send(node, statement, isRead, options, sent);
      report(undefined, undefined);
      return { recovery: undefined, result };
    } catch (error) {
      const recovery = recover({
        error,
        isRead,
        onReplica: route.isReplica,
        wasSent: sent.was,
        isAtomic: statementClass.kind !== 'session' || statementClass.statements === 1,
        failures,
        replicas: settings.nodes.length - 1,
      });
      const isFinal = recovery === 'give-up' || settings.nodes.length === 1;
      report(error, isFinal ? undefined : recovery);
      if (isFinal) throw error;
      return { recovery };
    }
  }

  async #send(
    node: Node,
    statement: Statement,
    isRead: boolean,
    options: QueryOptions,
    sent: { was: boolean },
  ): Promise<Result> {
    const { settings } = this.#options;
    const { signal } = options;
    const mayShare = settings.pipelining && isRead && !node.settings.isBehindPgBouncer;
    if (mayShare && node.pipeline.takes(statement.text)) {
      sent.was = true;
      return await node.pipeline.run(statement, { signal });
    }
    const { pool } = node;
    const connection = pool.tryAcquire() ?? (await pool.acquire({ signal }));
    sent.was = true;
    return await this.#runOn(node, connection, statement, isRead, options);
  }

  async #runOn(
    node: Node,
    connection: Connection,
    statement: Statement,
    isRead: boolean,
    { signal }: QueryOptions,
  ): Promise<Result> {
    const { settings, clock } = this.#options;
    const startedAtMs = clock.monotonicMs();
    let failure: Error | undefined;
    try {
      return await execute(connection, statement, {
        isRead,
        isInTransaction: false,
        signal,
        timeoutMs: clientTimeoutMs(node, settings),
        config: node.settings.config,
        clock,
      });
    } catch (error) {
      failure = error as Error;
      throw error;
    } finally {
      if (settings.pipelining && isRead) {
        node.pipeline.observe(statement.text, clock.monotonicMs() - startedAtMs);
      }
      node.pool.release(connection, settings.closeOnQueryError ? failure : undefined);
    }
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
