import {
  abortedError,
  BoundedQueue,
  type Clock,
  coreErrors,
  type ScheduledCall,
  ShardlineError,
  withDeadline,
} from '@shardline/core';
import { messageOf } from '../errors.js';
import { CatchUp } from './catch-up.js';
import { isDefiniteFailure } from './definite-failure.js';
import {
  type MonitoredNode,
  type MonitorIntervals,
  type MonitorOptions,
  type PrimaryWait,
  resolveIntervals,
} from './monitor-options.js';
import {
  afterConnectionLost,
  afterFailure,
  afterProbe,
  afterRefusedWrite,
  type NodeState,
  type ProbeResult,
  unknownNode,
} from './node-state.js';
import { noPrimaryError, splitBrainError } from './primary-errors.js';
import {
  emptyTopology,
  judgeTopology,
  type LagLimits,
  type TopologyState,
} from './topology-state.js';

/**
 * The one place that knows which server is what.
 *
 * Each server is asked on its own, so that one that hangs holds up nobody: every `intervalMs` while
 * there is a primary, every `panicIntervalMs` while there is none. Whoever meets a sign that something
 * changed (a push of `in_hot_standby`, a write refused as read-only, a broken connection) tells the
 * monitor, which asks at once. It decides nothing itself: the reducers in node-state.ts and
 * topology-state.ts do.
 *
 * A probe is under way at most once per server; a question that comes meanwhile is asked again right
 * after, since the answer under way may be from before the event.
 */
const DEFAULT_LIMITS: LagLimits = { maxLagMs: 10_000, maxLagBytes: 8n * 1024n * 1024n };

interface Watched {
  readonly node: MonitoredNode;
  state: NodeState;
  timer: ScheduledCall | undefined;
  underWay: Promise<void> | undefined;
  /** Something happened since the question under way was sent. */
  mustAskAgain: boolean;
}

/** Watches the servers of one topology. */
export class TopologyMonitor {
  /** Waits for replicas to be far enough for sessions. */
  readonly catchUp: CatchUp;
  readonly #watched: readonly Watched[];
  readonly #byName: ReadonlyMap<string, Watched>;
  readonly #clock: Clock;
  readonly #intervals: Required<MonitorIntervals>;
  readonly #limits: LagLimits;
  readonly #onChange: NonNullable<MonitorOptions['onChange']>;
  readonly #waiting: BoundedQueue<string>;
  #stopping = new AbortController();
  #isRunning = false;
  #state: TopologyState;

  constructor(options: MonitorOptions) {
    this.#clock = options.clock;
    this.#intervals = resolveIntervals(options.intervals);
    this.#limits = options.limits ?? DEFAULT_LIMITS;
    this.#onChange = options.onChange ?? (() => {});
    this.#watched = options.nodes.map((node) => ({
      node,
      state: unknownNode(node.name),
      timer: undefined,
      underWay: undefined,
      mustAskAgain: false,
    }));
    this.#byName = new Map(this.#watched.map((watched) => [watched.node.name, watched]));
    this.#state = emptyTopology(this.#watched.map(({ state }) => state));
    this.#waiting = new BoundedQueue<string>({
      limit: options.maxWaiting ?? 10_000,
      doing: 'Waiting for a primary',
      clock: this.#clock,
    });
    this.catchUp = new CatchUp({
      clock: this.#clock,
      intervalMs: this.#intervals.catchUpIntervalMs,
      topology: () => this.#state,
      ask: (name) => {
        const watched = this.#byName.get(name);
        // An answer that is on its way is as good here: positions only grow.
        if (watched !== undefined && watched.underWay === undefined) this.#ask(watched);
      },
      isRunning: () => this.#isRunning,
    });
  }

  /** What is known now. The same object until something changes. */
  get state(): TopologyState {
    return this.#state;
  }

  /** What is known of each server. */
  states(): TopologyState['nodes'] {
    return this.#state.nodes;
  }

  /** Begins to ask. Asking goes on until `stop()`. */
  start(): void {
    if (this.#isRunning) return;
    this.#isRunning = true;
    this.#stopping = new AbortController();
    this.panic();
  }

  /** Asks nobody any more, and sends away everybody who waits. */
  stop(): void {
    this.#isRunning = false;
    this.#stopping.abort();
    this.catchUp.stop();
    for (const watched of this.#watched) watched.timer?.cancel();
    this.#waiting.rejectAll(
      new ShardlineError(coreErrors.CLOSED, 'The monitor was stopped while a primary was awaited.'),
    );
  }

  /** Asks every server at once. */
  panic(): void {
    for (const watched of this.#watched) this.#ask(watched);
  }

  /** Asks one server now and resolves when what it says is in `state`. Failures are in `state` too. */
  async refresh(name: string): Promise<void> {
    const watched = this.#byName.get(name);
    if (watched === undefined || !this.#isRunning) return;
    await watched.underWay;
    await (watched.underWay ?? this.#ask(watched));
  }

  /** A server pushed a new value of `in_hot_standby`: it was promoted, or began to be a standby. */
  noteParameterStatus(name: string, inHotStandby: boolean): void {
    const watched = this.#byName.get(name);
    const role = watched?.state.probe?.role;
    if (watched === undefined || role === (inHotStandby ? 'replica' : 'primary')) return;
    this.#ask(watched);
  }

  /** A server refused a write as read-only (25006) outside a read-only transaction. */
  noteReadOnlyError(name: string): void {
    const watched = this.#byName.get(name);
    if (watched?.state.probe?.role !== 'primary') return;
    watched.state = afterRefusedWrite(watched.state, this.#clock.monotonicMs());
    this.#judge();
    this.panic();
  }

  /** A connection to a server broke. */
  noteConnectionLost(name: string): void {
    const watched = this.#byName.get(name);
    if (watched?.state.probe === undefined) return;
    watched.state = afterConnectionLost(watched.state, this.#clock.monotonicMs());
    this.#judge();
    this.#ask(watched);
  }

  /** A server said something to somebody else than the monitor. */
  noteProbe(name: string, answer: ProbeResult, sentAtMs: number): void {
    const watched = this.#byName.get(name);
    if (watched === undefined) return;
    watched.state = afterProbe(watched.state, answer, sentAtMs);
    this.#judge();
  }

  /**
   * The server that may be written to, as soon as there is one.
   *
   * @throws ShardlineError `POOL_NO_PRIMARY` at the deadline, `POOL_SPLIT_BRAIN` at once, `ABORTED`,
   * `QUEUE_FULL`, `CLOSED`.
   */
  async whenPrimaryKnown(wait: PrimaryWait): Promise<string> {
    const { minimumTimeline = 0, signal } = wait;
    const deadlineMs = this.#clock.monotonicMs() + wait.timeoutMs;
    for (;;) {
      if (signal?.aborted) throw abortedError('Waiting for a primary', signal.reason);
      const { primary, timeline, noPrimaryReason } = this.#state;
      if (noPrimaryReason === 'split-brain') throw splitBrainError(this.#state);
      if (primary !== undefined && timeline >= minimumTimeline) return primary;
      const timeoutMs = deadlineMs - this.#clock.monotonicMs();
      if (timeoutMs <= 0) throw noPrimaryError(this.#state, wait.timeoutMs);
      const onTimeout = () => noPrimaryError(this.#state, wait.timeoutMs);
      await this.#waiting.wait({ timeoutMs, signal, onTimeout });
    }
  }

  /** Asks now, or right after the question under way. Resolves after the answer; never rejects. */
  #ask(watched: Watched): Promise<void> {
    if (!this.#isRunning) return Promise.resolve();
    if (watched.underWay !== undefined) {
      watched.mustAskAgain = true;
      return watched.underWay;
    }
    watched.timer?.cancel();
    watched.mustAskAgain = false;
    watched.underWay = this.#askOnce(watched).finally(() => {
      watched.underWay = undefined;
      this.#askLater(watched);
    });
    return watched.underWay;
  }

  async #askOnce(watched: Watched): Promise<void> {
    const { name, probe } = watched.node;
    const sentAtMs = this.#clock.monotonicMs();
    try {
      const answer = await withDeadline(
        {
          timeoutMs: this.#intervals.timeoutMs,
          signal: this.#stopping.signal,
          doing: `Asking ${name} what it is`,
          clock: this.#clock,
        },
        probe,
      );
      watched.state = afterProbe(watched.state, answer, sentAtMs);
    } catch (error) {
      if (!this.#isRunning) return;
      watched.state = afterFailure(watched.state, messageOf(error), isDefiniteFailure(error));
    }
    this.#judge();
  }

  #askLater(watched: Watched): void {
    if (!this.#isRunning) return;
    if (watched.mustAskAgain) {
      this.#ask(watched);
      return;
    }
    const { intervalMs, panicIntervalMs } = this.#intervals;
    const isSure = this.#state.primary !== undefined && watched.state.failures === 0;
    const delayMs = isSure ? intervalMs : panicIntervalMs;
    watched.timer = this.#clock.schedule(delayMs, () => this.#ask(watched));
  }

  #judge(): void {
    const previous = this.#state;
    const states = this.#watched.map(({ state }) => state);
    this.#state = judgeTopology(states, previous, this.#limits);
    this.#onChange(this.#state, previous);
    if (this.#state.noPrimaryReason === 'split-brain') {
      this.#waiting.rejectAll(splitBrainError(this.#state));
    }
    const { primary } = this.#state;
    if (primary !== undefined) while (this.#waiting.hand(primary));
    else if (previous.primary !== undefined) this.panic();
  }
}
