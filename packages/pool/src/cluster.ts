import type { Clock, ShardlineError, Telemetry } from '@shardline/core';
import type { StatementClass } from './classify/statement-class.js';
import { ClassifyService } from './classify-service.js';
import { isFaultOfHolder, isFaultOfServer, isLoss, isUnknown } from './error-kinds.js';
import { codeOf } from './errors.js';
import type { AttemptOutcome, ExecutionObserver } from './executor.js';
import type { Connection } from './node/connection.js';
import { Node, type NodeContext } from './node/node.js';
import type { NodePoolEvents } from './node/node-pool-options.js';
import { ReplicaRouter } from './replica-router.js';
import { Balancer } from './route/balancer.js';
import { type Route, type Router, SingleRouter } from './router.js';
import { currentSession } from './session/current-session.js';
import { PositionCapture } from './session/position-capture.js';
import { Session, type SessionSources } from './session/session.js';
import type { SessionFloor } from './session/session-floor.js';
import { nextTransactionIdSql } from './session/snapshot-proof.js';
import {
  addNodeCounters,
  count,
  emptyCounters,
  type PoolCounters,
  poolTelemetry,
} from './telemetry.js';
import { Ejection } from './topology/ejection.js';
import { TopologyMonitor } from './topology/monitor.js';
import type { TopologyState } from './topology/topology-state.js';

/**
 * The servers of one pool with replicas, and what keeps watch over them: monitor, classifier,
 * balancer, ejection and the capture of positions for sessions. What happens on any connection is
 * told to the one that has to know of it here, and nowhere else.
 */
export interface ClusterOptions {
  /** The pool: what sessions are kept by. */
  readonly owner: object;
  readonly context: NodeContext;
  readonly events: (node: string) => PoolEvents;
  /** Where each statement goes, before it is sent. */
  readonly onRouted: (route: Route, statementClass: StatementClass) => void;
}

/** What the pool itself wants to hear. */
export type PoolEvents = Pick<
  NodePoolEvents,
  'connected' | 'acquired' | 'released' | 'removed' | 'broke' | 'leaked'
>;

const CATALOG_TIMEOUT_MS = 10_000;
/** Faults with which nothing that is under way on a server is waited for. */
const CUT_OFF: ReadonlySet<string> = new Set(['unreachable', 'stale-primary', 'other-cluster']);

/** Servers, and everything that watches them. */
export class Cluster {
  readonly nodes: ReadonlyMap<string, Node>;
  readonly monitor: TopologyMonitor;
  readonly router: Router;
  readonly counters: PoolCounters = emptyCounters();
  readonly telemetry: Telemetry;
  readonly observer: ExecutionObserver;
  readonly capture: PositionCapture;
  readonly ejection: Ejection;
  readonly #options: ClusterOptions;
  readonly #classify: ClassifyService;
  readonly #balancer: Balancer;
  readonly #clock: Clock;
  #starting: Promise<void> | undefined;

  constructor(options: ClusterOptions) {
    this.#options = options;
    const { settings, clock, random } = options.context;
    this.#clock = clock;
    this.nodes = new Map(
      settings.nodes.map((node) => [
        node.name,
        new Node(node, options.context, this.#eventsOf(node.name)),
      ]),
    );
    this.#classify = new ClassifyService({
      pureFunctions: settings.pureFunctions,
      query: (text) => this.#anyNode().link.query(text, CATALOG_TIMEOUT_MS),
      clock,
    });
    this.#balancer = new Balancer({
      policy: settings.balancing,
      nodes: settings.nodes,
      zone: settings.zone,
      random,
    });
    this.ejection = new Ejection(settings.nodes.map(({ name }) => name));
    this.monitor = this.#makeMonitor();
    this.capture = new PositionCapture({
      ask: (name) => this.#nodeOf(name).link.probe(),
      onAnswer: (name, answer, sentAtMs) => this.monitor.noteProbe(name, answer, sentAtMs),
      monotonicMs: () => clock.monotonicMs(),
    });
    this.router = this.#makeRouter();
    this.observer = {
      started: (route, statementClass, nowMs) => this.#onStarted(route, statementClass, nowMs),
      ended: (route, outcome) => this.#onEnded(route, outcome),
      streaming: ({ node, isReplica }) =>
        currentSession(this.#options.owner)?.beginsOn(node.name, isReplica) ?? (() => {}),
    };
    this.telemetry = poolTelemetry(
      {
        nodes: [...this.nodes.values()],
        topology: () => this.monitor.state,
        ejected: () => this.ejection.ejected(clock.monotonicMs()),
        settings,
      },
      this.counters,
    );
  }

  /** The server that was declared as the primary. */
  get declared(): Node {
    return this.#nodeOf(this.#options.context.settings.nodes[0]?.name ?? '');
  }

  /** Begins to watch; resolves when reads can be told from writes and there is a primary. */
  start(): Promise<void> {
    this.#starting ??= this.#start();
    return this.#starting;
  }

  /** Whether anything has begun. */
  get hasStarted(): boolean {
    return this.#starting !== undefined;
  }

  /** Closes everything. */
  async end(deadlineMs: number): Promise<void> {
    this.monitor.stop();
    this.#classify.stop();
    this.telemetry.close();
    await Promise.all([...this.nodes.values()].map((node) => node.end(deadlineMs)));
  }

  /**
   * What a new session of this cluster asks for.
   *
   * @param willRead whether replicas are to be asked closely until they have reached what the session has done.
   */
  sessionSources(willRead = true): SessionSources {
    const { settings } = this.#options.context;
    return {
      capture: (name) => this.capture.capture(name),
      primary: () =>
        this.nodes.size === 1
          ? Promise.resolve(this.declared.name)
          : this.monitor.whenPrimaryKnown({ timeoutMs: settings.failoverTimeoutMs }),
      nextTransactionId: (name) => this.#nextTransactionId(name),
      newestSnapshotXmax: () => this.monitor.state.newestSnapshotXmax,
      onFloor: willRead ? (position) => this.monitor.catchUp.expect(position) : undefined,
    };
  }

  /** Wall clock: for what travels to other machines. */
  now(): number {
    return this.#clock.now();
  }

  monotonicMs(): number {
    return this.#clock.monotonicMs();
  }

  newSession(floor?: SessionFloor, willRead?: boolean): Session {
    return new Session(this.sessionSources(willRead), floor);
  }

  /**
   * A snapshot's xmax does not do: it follows the last transaction that has *ended*, and those that wait for
   * a synchronous standby are beyond it.
   */
  async #nextTransactionId(name: string): Promise<bigint> {
    const { monitorTimeoutMs } = this.#options.context.settings;
    const { rows } = await this.#nodeOf(name).link.query(nextTransactionIdSql, monitorTimeoutMs);
    return BigInt((rows[0] as { id: string }).id);
  }

  async #start(): Promise<void> {
    const { settings } = this.#options.context;
    this.telemetry.refresh();
    const isWatched = this.nodes.size > 1;
    if (isWatched) this.monitor.start();
    const needsClassifier = isWatched || settings.pipelining;
    const primary = isWatched
      ? this.monitor.whenPrimaryKnown({ timeoutMs: settings.failoverTimeoutMs })
      : Promise.resolve();
    await primary;
    if (needsClassifier) await this.#classify.start();
  }

  #makeMonitor(): TopologyMonitor {
    const { settings } = this.#options.context;
    return new TopologyMonitor({
      nodes: settings.nodes.map(({ name }) => ({
        name,
        probe: () => this.#nodeOf(name).link.probe(),
      })),
      clock: this.#clock,
      intervals: {
        intervalMs: settings.monitorIntervalMs,
        panicIntervalMs: settings.monitorPanicIntervalMs,
        timeoutMs: settings.monitorTimeoutMs,
      },
      limits: { maxLagMs: settings.maxLagMs, maxLagBytes: settings.maxLagBytes },
      onChange: (state, previous) => this.#onChange(state, previous),
    });
  }

  #makeRouter(): Router {
    const { settings } = this.#options.context;
    const { classifier } = this.#classify;
    const session = () => currentSession(this.#options.owner);
    if (this.nodes.size === 1) {
      return new SingleRouter(this.declared, session, settings.pipelining ? classifier : undefined);
    }
    return new ReplicaRouter({
      nodes: this.nodes,
      classifier,
      monitor: this.monitor,
      balancer: this.#balancer,
      ejected: (nowMs) => this.ejection.ejected(nowMs),
      session,
      reads: settings.reads,
      replicaWaitMs: settings.replicaWaitMs,
      clock: this.#clock,
    });
  }

  /** Roles follow what is known: connections that were made to another role are not used on. */
  #onChange(state: TopologyState, previous: TopologyState): void {
    for (const [name, view] of state.nodes) {
      const before = previous.nodes.get(name);
      const node = this.nodes.get(name);
      if (before === undefined || node === undefined || before === view) continue;
      const hasNewRole =
        before.role !== view.role && before.role !== 'unknown' && view.role !== 'unknown';
      // Whoever waits for a dead server, or for one that was demoted and may wait for standbys that
      // have left it, is to be told now: a write under way there has an unknown outcome.
      if (view.fault !== before.fault && CUT_OFF.has(view.fault ?? '')) node.pool.cutAll();
      else if (hasNewRole) node.pool.retireAll();
      if (before.fault === 'unreachable' && view.fault === undefined && view.role !== 'unknown') {
        node.pool.noteAlive();
        this.ejection.recovered(name, this.#clock.monotonicMs());
      }
    }
  }

  #onStarted(route: Route, statementClass: StatementClass, nowMs: number): void {
    const { name } = route.node;
    if (route.isReplica) this.ejection.started(name, nowMs);
    this.#balancer.started(name, nowMs);
    this.#options.onRouted(route, statementClass);
  }

  #onEnded(route: Route, outcome: AttemptOutcome): void {
    const { name } = route.node;
    const { error, durationMs, recovery, statementClass, session, endedAtMs: now } = outcome;
    const isServersFault = error !== undefined && isFaultOfServer(error);
    if (error === undefined || isServersFault) {
      this.#balancer.finished(name, durationMs, isServersFault, now);
    } else this.#balancer.abandoned(name);
    if (route.isReplica) {
      if (isServersFault) this.ejection.failed(name, now);
      else if (error === undefined) this.ejection.succeeded(name, durationMs, now);
    }
    if (recovery !== undefined) count(this.counters.recoveries, recovery);
    if (error !== undefined && isLoss(error)) this.monitor.noteConnectionLost(name);
    if (codeOf(error) === '25006') this.#onReadOnly(route, outcome, statementClass);
    if (session !== undefined) noteInSession(session, route, error);
    if (this.telemetry.isMeasuring) {
      count(
        this.counters.routes,
        `${name}|${route.isReplica ? 'replica' : 'primary'}|${route.reason}`,
      );
      if (statementClass.kind === 'read' && session !== undefined) {
        count(this.counters.sessionReads, route.isReplica ? 'replica' : 'primary');
      }
      this.telemetry.record('db.client.operation.duration', durationMs / 1000, {
        'db.client.connection.pool.name': name,
        ...(error === undefined ? {} : { 'error.type': codeOf(error) ?? '_OTHER' }),
      });
    }
  }

  #onReadOnly(route: Route, { text }: AttemptOutcome, { kind }: StatementClass): void {
    if (kind === 'begin' || kind === 'commit') return;
    if (route.isReplica) this.#classify.classifier.noteRefused(text);
    else this.monitor.noteReadOnlyError(route.node.name);
  }

  #eventsOf(name: string): NodePoolEvents {
    const counters = addNodeCounters(this.counters, name);
    const own = this.#options.events(name);
    return {
      ...own,
      connected: (connection: Connection, durationMs: number) => {
        // A metrics SDK may have been registered after the pool was made.
        this.telemetry.refresh();
        if (this.telemetry.isMeasuring) this.#record('create_time', durationMs, name);
        own.connected(connection, durationMs);
      },
      released: (error, connection, heldMs) => {
        if (this.telemetry.isMeasuring) this.#record('use_time', heldMs, name);
        own.released(error, connection, heldMs);
      },
      waited: (durationMs) => {
        if (this.telemetry.isMeasuring) this.#record('wait_time', durationMs, name);
      },
      isMeasuring: () => this.telemetry.isMeasuring,
      broke: (error, connection, wasIdle) => {
        counters.brokenConnections += 1;
        if (!isFaultOfHolder(error)) this.monitor.noteConnectionLost(name);
        own.broke(error, connection, wasIdle);
      },
      dialFailed: (error: ShardlineError) => {
        counters.failedDials += 1;
        if (isLoss(error)) this.monitor.noteConnectionLost(name);
      },
      leaked: (connection, heldMs) => {
        counters.leaks += 1;
        own.leaked(connection, heldMs);
      },
      leftInTransaction: () => {
        counters.leftInTransaction += 1;
      },
      acquireTimedOut: () => {
        counters.acquireTimeouts += 1;
      },
      standbyPushed: (inHotStandby) => this.monitor.noteParameterStatus(name, inHotStandby),
      watchLost: () => this.monitor.noteConnectionLost(name),
    };
  }

  #record(what: 'create_time' | 'wait_time' | 'use_time', durationMs: number, node: string): void {
    this.telemetry.record(`db.client.connection.${what}`, durationMs / 1000, {
      'db.client.connection.pool.name': node,
    });
  }

  /** A server that answers: the primary, else any. */
  #anyNode(): Node {
    const { primary, replicas } = this.monitor.state;
    return this.nodes.get(primary ?? replicas[0] ?? '') ?? this.declared;
  }

  #nodeOf(name: string): Node {
    const node = this.nodes.get(name);
    if (node === undefined) throw new Error(`No server is called '${name}'.`);
    return node;
  }
}

function noteInSession(session: Session, route: Route, error: unknown): void {
  // An error proves nothing seen, save that a cut-off write may have been committed.
  if (error !== undefined && !isUnknown(error)) return;
  if (route.isReplica) session.didOnReplica(route.node.name);
  else session.didOnPrimary(route.node.name);
}
