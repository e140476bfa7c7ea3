import {
  abortedError,
  type Clock,
  type ShardlineError,
  sleep,
  withDeadline,
} from '@shardline/core';
import type { Classifier } from './classify/statement.js';
import type { StatementClass } from './classify/statement-class.js';
import { poolError } from './errors.js';
import type { Node } from './node/node.js';
import type { Balancer } from './route/balancer.js';
import { decideRoute, type RouteDecision } from './route/decide.js';
import type { Route, RouteExplanation, RouteRequest, Router } from './router.js';
import type { Session } from './session/session.js';
import { proveSnapshot } from './session/snapshot-proof.js';
import type { TopologyMonitor } from './topology/monitor.js';
import { hasReached } from './topology/wal-position.js';

/**
 * Finds the server for each statement of a pool with replicas.
 *
 * `decideRoute` says what is right from what is known; this file does what it asks for: waits for a
 * primary, waits for a replica to catch up with the session, has the primary prove its snapshot. It
 * then decides again, for by then something is known that was not before. All of it ends at the
 * request's deadline.
 */
export interface ReplicaRouterOptions {
  readonly nodes: ReadonlyMap<string, Node>;
  readonly classifier: Classifier;
  readonly monitor: TopologyMonitor;
  readonly balancer: Balancer;
  readonly ejected: (nowMs: number) => ReadonlySet<string>;
  readonly session: () => Session | undefined;
  readonly reads: 'replica' | 'primary';
  readonly replicaWaitMs: number;
  readonly clock: Clock;
}

type Refusal = Extract<RouteDecision, { to: 'refuse' }>;

/** Routes over a topology. */
export class ReplicaRouter implements Router {
  readonly #options: ReplicaRouterOptions;

  constructor(options: ReplicaRouterOptions) {
    this.#options = options;
  }

  classify(text: string): StatementClass {
    return this.#options.classifier.classify(text);
  }

  session(): Session | undefined {
    return this.#options.session();
  }

  tryRoute(request: RouteRequest, nowMs: number): Route | undefined {
    return this.#follow(this.#decide(request, false, nowMs), nowMs);
  }

  async route(request: RouteRequest): Promise<Route> {
    const { session, signal } = request;
    let hasWaited = false;
    for (;;) {
      if (signal?.aborted) throw abortedError('The statement', signal.reason);
      const nowMs = this.#options.clock.monotonicMs();
      const decision = this.#decide(request, hasWaited, nowMs);
      const route = this.#follow(decision, nowMs);
      if (route !== undefined) return route;
      if (decision.to === 'wait-for-position') hasWaited = true;
      await this.#prepare(decision, request, session);
    }
  }

  explain(request: RouteRequest): RouteExplanation {
    const decision = this.#decide(request, false, this.#options.clock.monotonicMs());
    const { reason } = decision;
    const statement = request.statement.kind;
    switch (decision.to) {
      case 'primary':
        return { statement, role: 'primary', nodes: [decision.node], reason };
      case 'replicas':
      case 'wait-for-position':
        return { statement, role: 'replica', nodes: decision.nodes, reason };
      case 'prove-snapshot':
        return { statement, role: 'primary', nodes: [decision.node], reason };
      default:
        return { statement, role: 'none', nodes: [], reason };
    }
  }

  /** Does what a decision asks for before it can be taken again. */
  async #prepare(
    decision: RouteDecision,
    request: RouteRequest,
    session: Session | undefined,
  ): Promise<void> {
    const { monitor, replicaWaitMs } = this.#options;
    const { signal } = request;
    const timeoutMs = this.#leftMs(request);
    switch (decision.to) {
      case 'wait-for-primary': {
        const { minimumTimeline } = decision;
        if (minimumTimeline > monitor.state.timeline) monitor.panic();
        await monitor.whenPrimaryKnown({ timeoutMs, signal, minimumTimeline });
        return;
      }
      case 'wait-for-position': {
        const wanted = session?.view.floor.position;
        if (wanted === undefined) return;
        const waitMs = Math.min(timeoutMs, replicaWaitMs);
        await monitor.catchUp.whenReached(decision.nodes, wanted, { timeoutMs: waitMs, signal });
        return;
      }
      case 'settle-session': {
        const doing = 'Finding out how far the session has seen';
        await withDeadline({ timeoutMs, signal, doing, clock: this.#options.clock }, async () =>
          session?.settle(),
        );
        return;
      }
      case 'prove-snapshot':
        await this.#prove(decision.node, decision.snapshotXmax, timeoutMs, session, signal);
        return;
      case 'refuse':
        throw refused(decision);
      default:
        throw new Error(`A server that is not configured was chosen: ${JSON.stringify(decision)}`);
    }
  }

  async #prove(
    primary: string,
    snapshotXmax: bigint,
    timeoutMs: number,
    session: Session | undefined,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    const { monitor, nodes, clock } = this.#options;
    const wanted = session?.view.floor.position;
    const replicas = monitor.state.replicas.filter((name) => {
      const position = monitor.state.nodes.get(name)?.position;
      return position !== undefined && (wanted === undefined || hasReached(position, wanted));
    });
    const proving = proveSnapshot(
      {
        clock,
        query: async (name, text, values) => {
          const link = nodes.get(name)?.link;
          if (link === undefined) throw new Error(`No server is called '${name}'.`);
          const { rows } = await link.query(text, timeoutMs, values);
          return rows as readonly Readonly<Record<string, unknown>>[];
        },
      },
      { primary, replicas, snapshotXmax, timeoutMs, signal },
    );
    const isProven = await proving.catch((error: unknown) =>
      this.#onUnproven(error, primary, timeoutMs, signal),
    );
    if (isProven === false) throw notProven(primary);
    if (isProven === true) session?.proved(snapshotXmax);
  }

  /** The primary could not say: it may not be the primary any more, so what is known is looked at anew. */
  async #onUnproven(
    error: unknown,
    primary: string,
    timeoutMs: number,
    signal: AbortSignal | undefined,
  ): Promise<undefined> {
    if (signal?.aborted || timeoutMs <= RETRY_PAUSE_MS) throw notProven(primary, error);
    const { monitor, clock } = this.#options;
    monitor.panic();
    await sleep(RETRY_PAUSE_MS, { signal, clock });
    return undefined;
  }

  #leftMs({ deadlineMs }: RouteRequest): number {
    return Math.max(0, deadlineMs - this.#options.clock.monotonicMs());
  }

  #decide(
    { statement, session, target, avoid }: RouteRequest,
    hasWaited: boolean,
    nowMs: number,
  ): RouteDecision {
    const { monitor, ejected, reads } = this.#options;
    return decideRoute({
      statement,
      target,
      session: session?.view,
      topology: monitor.state,
      ejected: ejected(nowMs),
      avoid,
      reads,
      hasWaited,
    });
  }

  #follow(decision: RouteDecision, nowMs: number): Route | undefined {
    if (decision.to === 'primary') return this.#routeTo(decision.node, false, decision.reason);
    if (decision.to !== 'replicas') return undefined;
    const name = this.#options.balancer.pick(decision.nodes, nowMs);
    return name === undefined ? undefined : this.#routeTo(name, true, decision.reason);
  }

  #routeTo(name: string, isReplica: boolean, reason: string): Route | undefined {
    const node = this.#options.nodes.get(name);
    return node === undefined ? undefined : { node, isReplica, reason };
  }
}

function refused({ code, reason }: Refusal): ShardlineError {
  if (code === 'SPLIT_BRAIN')
    return poolError('POOL_SPLIT_BRAIN', `No write is possible: ${reason}.`);
  if (code === 'TARGET_UNKNOWN') {
    return poolError('POOL_NO_REPLICA', `The target is not known: ${reason}.`, {
      retryable: false,
    });
  }
  return poolError('POOL_NO_REPLICA', `The statement has no server to run on: ${reason}.`);
}

/** Between two attempts to ask a primary that has just failed to answer. */
const RETRY_PAUSE_MS = 20;

function notProven(primary: string, cause?: unknown): ShardlineError {
  return poolError(
    'POOL_SESSION_UNSETTLED',
    `The primary ${primary} did not show in time what this session has seen on a replica.`,
    cause === undefined ? {} : { cause },
  );
}
