import { abortedError, type Clock, type ShardlineError, sleep } from '@shardline/core';
import type { Classifier } from './classify/statement.js';
import type { StatementClass } from './classify/statement-class.js';
import { poolError } from './errors.js';
import type { Node } from './node/node.js';
import type { RouteDecision, RouteQuestion, RouteTarget } from './route/decide.js';
import type { Route, RouteRequest, Router } from './router.js';
import type { SessionView } from './session/session.js';
import type { ProbeResult } from './topology/node-state.js';
import type { TopologyState } from './topology/topology-state.js';

/**
 * Finds the server for each statement of a pool with replicas.
 *
 * `decide` says what is right, from what is known; this file does what it asks for: waits for a
 * primary, waits for a replica to catch up with the session, asks the primary for its snapshot. It
 * then decides again, for by then something is known that was not before.
 */
export interface ReplicaRouterOptions {
  readonly nodes: ReadonlyMap<string, Node>;
  readonly classifier: Classifier;
  readonly decide: (question: RouteQuestion) => RouteDecision;
  readonly topology: WatchedTopology;
  readonly balancer: { pick(nodes: readonly string[]): string };
  readonly ejected: () => ReadonlySet<string>;
  readonly session: () => SessionView | undefined;
  readonly reads: 'replica' | 'primary';
  readonly replicaWaitMs: number;
  readonly clock: Clock;
}

/** What the router asks of the topology. */
export interface WatchedTopology {
  readonly state: TopologyState;
  /** Waits until there is a server that takes writes. */
  whenPrimaryKnown(options: {
    timeoutMs: number;
    signal?: AbortSignal | undefined;
  }): Promise<unknown>;
  /** Takes in what a server has just said. */
  noteProbe(node: string, probe: ProbeResult, sentAtMs: number): void;
}

/** Pause between two questions to a replica that is being waited for. */
const POSITION_POLL_MS = 5;

/** Routes over a topology. */
export class ReplicaRouter implements Router {
  readonly #options: ReplicaRouterOptions;

  constructor(options: ReplicaRouterOptions) {
    this.#options = options;
  }

  classify(text: string): StatementClass {
    return this.#options.classifier.classify(text);
  }

  tryRoute(request: RouteRequest): Route | undefined {
    return this.#follow(this.#decide(request), request);
  }

  async route(request: RouteRequest): Promise<Route> {
    const { clock, replicaWaitMs } = this.#options;
    const waitUntilMs = clock.monotonicMs() + replicaWaitMs;
    for (;;) {
      if (request.signal?.aborted) throw abortedError('The statement', request.signal.reason);
      const isPatient = clock.monotonicMs() < waitUntilMs;
      const decision = this.#decide(request);
      const route = this.#follow(decision, request);
      if (route !== undefined) return route;
      switch (decision.to) {
        case 'wait-for-primary':
          await this.#waitForPrimary(request, decision.reason);
          break;
        case 'wait-for-position':
          if (!isPatient) return await this.route({ ...request, target: 'primary' });
          await this.#askAll(decision.nodes);
          break;
        case 'prove-snapshot':
          await this.#askAll([decision.node]);
          if (!isPatient && clock.monotonicMs() > request.deadlineMs) throw noProof(decision.node);
          break;
        default:
          throw noPlace(request.target, decision.reason);
      }
    }
  }

  #decide({ statement, target, avoid }: RouteRequest): RouteDecision {
    const { decide, topology, ejected, session, reads } = this.#options;
    const out = ejected();
    return decide({
      statement,
      target,
      session: session(),
      topology: topology.state,
      ejected: avoid.size === 0 ? out : new Set([...out, ...avoid]),
      reads,
    });
  }

  #follow(decision: RouteDecision, { avoid }: RouteRequest): Route | undefined {
    if (decision.to === 'primary') return this.#routeTo(decision.node, false, decision.reason);
    if (decision.to !== 'replicas') return undefined;
    const fresh = decision.nodes.filter((name) => !avoid.has(name));
    const nodes = fresh.length > 0 ? fresh : decision.nodes;
    return this.#routeTo(this.#options.balancer.pick(nodes), true, decision.reason);
  }

  #routeTo(name: string, isReplica: boolean, reason: string): Route | undefined {
    const node = this.#options.nodes.get(name);
    return node === undefined ? undefined : { node, isReplica, reason };
  }

  async #waitForPrimary({ deadlineMs, signal }: RouteRequest, reason: string): Promise<void> {
    const { topology, clock } = this.#options;
    const timeoutMs = deadlineMs - clock.monotonicMs();
    if (timeoutMs <= 0) throw noPrimary(reason);
    await topology.whenPrimaryKnown({ timeoutMs, signal });
  }

  async #askAll(names: readonly string[]): Promise<void> {
    await sleep(POSITION_POLL_MS, { clock: this.#options.clock });
    await Promise.all(names.map((name) => this.#ask(name)));
  }

  async #ask(name: string): Promise<void> {
    const { nodes, topology, clock } = this.#options;
    const node = nodes.get(name);
    if (node === undefined) return;
    const sentAtMs = clock.monotonicMs();
    try {
      topology.noteProbe(name, await node.link.probe(), sentAtMs);
    } catch {
      // The monitor meets the same failure and judges it; here it only means: not caught up.
    }
  }
}

function noPrimary(reason: string): ShardlineError {
  return poolError('POOL_NO_PRIMARY', `No server takes writes (${reason}).`);
}

function noProof(node: string): ShardlineError {
  return poolError(
    'POOL_NO_REPLICA',
    `The primary ${node} does not show yet what this session has seen on a replica.`,
  );
}

function noPlace(target: RouteTarget | undefined, reason: string): ShardlineError {
  const wanted = target === undefined ? '' : ` at ${JSON.stringify(target)}`;
  return poolError('POOL_NO_REPLICA', `The statement cannot run${wanted}: ${reason}.`);
}
