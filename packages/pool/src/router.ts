import type { ShardlineError } from '@shardline/core';
import type { Classifier } from './classify/statement.js';
import type { StatementClass, StatementKind } from './classify/statement-class.js';
import { poolError } from './errors.js';
import type { Node } from './node/node.js';
import type { RouteTarget } from './route/decide.js';

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
  target: RouteTarget | undefined;
  readonly signal: AbortSignal | undefined;
  /** Servers at which this statement has failed already. */
  readonly avoid: ReadonlySet<string>;
  /** Monotonic time at which the caller is to be answered. */
  readonly deadlineMs: number;
}

/** Finds the server for each statement. */
export interface Router {
  classify(text: string): StatementClass;
  /** Whether the caller is in a session, whose floor may rise between any two statements. */
  readonly isInSession: boolean;
  /** The server, if it is known without waiting. */
  tryRoute(request: RouteRequest): Route | undefined;
  route(request: RouteRequest): Promise<Route>;
  /** What `route` would find, without waiting for anything. */
  explain(request: RouteRequest): RouteExplanation;
}

/** One server and no choice. */
export class SingleRouter implements Router {
  readonly #node: Node;
  readonly #classifier: Classifier | undefined;
  readonly #route: Route;

  /** A classifier is given where something depends on its answer: reads that share connections. */
  constructor(node: Node, classifier?: Classifier) {
    this.#node = node;
    this.#classifier = classifier;
    this.#route = { node, isReplica: false, reason: 'the only server' };
  }

  /** With one server there is nothing that a session could go back to. */
  get isInSession(): boolean {
    return false;
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
