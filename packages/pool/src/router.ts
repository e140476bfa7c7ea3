import type { ShardlineError } from '@shardline/core';
import type { Classifier } from './classify/statement.js';
import type { StatementClass, StatementKind } from './classify/statement-class.js';
import { poolError } from './errors.js';
import type { Node } from './node/node.js';
import type { RouteTarget } from './route/decide.js';
import type { Session } from './session/session.js';

/** Where a statement goes, and why. */
export interface Route {
  readonly node: Node;
  readonly isReplica: boolean;
  readonly reason: string;
}

/** Where a statement would go at this moment, and why. */
export interface RouteExplanation {
  /** What the statement is, as far as it was asked; with one server nobody has to ask. */
  readonly statement: StatementKind;
  /** `none`: there is no server for it at present. */
  readonly role: 'primary' | 'replica' | 'none';
  /** The server, or those among which the balancer picks one. */
  readonly nodes: readonly string[];
  readonly reason: string;
}

/** What a statement asks of the router. */
export interface RouteRequest {
  readonly statement: StatementClass;
  /** The session that the statement belongs to, taken from where its caller stands. */
  readonly session: Session | undefined;
  target: RouteTarget | undefined;
  readonly signal: AbortSignal | undefined;
  /** Servers at which this statement has failed already. */
  avoid: ReadonlySet<string>;
  /** Monotonic time at which the caller is to be answered. */
  readonly deadlineMs: number;
}

/** Finds the server for each statement. */
export interface Router {
  classify(text: string): StatementClass;
  /** The session that whoever asks is in: its floor may rise between any two statements. */
  session(): Session | undefined;
  /** The server, if it is known without waiting. */
  tryRoute(request: RouteRequest, nowMs: number): Route | undefined;
  route(request: RouteRequest): Promise<Route>;
  /** What `route` would find, without waiting for anything. */
  explain(request: RouteRequest): RouteExplanation;
}

/** One server and no choice. */
export class SingleRouter implements Router {
  readonly #node: Node;
  readonly #classifier: Classifier | undefined;
  readonly #route: Route;

  readonly session: () => Session | undefined;

  /**
   * @param session what is done on the only server is told to the session, though it has nowhere to go back to.
   * @param classifier given where something depends on its answer: reads that share connections.
   */
  constructor(node: Node, session: () => Session | undefined, classifier?: Classifier) {
    this.#node = node;
    this.session = session;
    this.#classifier = classifier;
    this.#route = { node, isReplica: false, reason: 'the only server' };
  }

  classify(text: string): StatementClass {
    return this.#classifier?.classify(text) ?? UNCLASSIFIED;
  }

  tryRoute(request: RouteRequest): Route {
    const { target } = request;
    if (typeof target === 'object' && target.node !== this.#node.name)
      throw unknownNode(target.node);
    return this.#route;
  }

  route(request: RouteRequest): Promise<Route> {
    return Promise.resolve(this.tryRoute(request));
  }

  explain(request: RouteRequest): RouteExplanation {
    const { node, reason } = this.tryRoute(request);
    return {
      statement: request.statement.kind,
      role: 'primary',
      nodes: [node.name],
      reason,
    };
  }
}

const UNCLASSIFIED: StatementClass = Object.freeze({
  kind: 'unknown',
  reason: 'not classified: there is one server',
  statements: 1,
});

function unknownNode(name: string): ShardlineError {
  return poolError('POOL_NO_REPLICA', `No server is called '${name}'.`);
}
