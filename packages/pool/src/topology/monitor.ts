import {
  abortedError,
  BoundedQueue,
  type Clock,
  coreErrors,
  type ScheduledCall,
  ShardlineError,
  withDeadline,
} from '@shardline/core';
import { codeOf, messageOf } from '../errors.js';
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
import { hasReached, type WalPosition } from './wal-position.js';

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
export interface MonitoredNode {
  readonly name: string;
  /** Asks the server. Every call is a new question, never the answer to an earlier one. */
  readonly probe: (signal: AbortSignal) => Promise<ProbeResult>;
}

export interface MonitorIntervals {
  /** Between questions while there is a primary, in milliseconds. @default 1000 */
  readonly intervalMs?: number;
  /** Between questions while there is none, in milliseconds. @default 100 */
  readonly panicIntervalMs?: number;
  /** Longest wait for an answer, in milliseconds. @default 1000 */
  readonly timeoutMs?: number;
  /** Between questions while a session waits for a replica to catch up, in milliseconds. @default 5 */
  readonly catchUpIntervalMs?: number;
}

export interface MonitorOptions {
  /** The declared primary first. */
  readonly nodes: readonly MonitoredNode[];
  readonly clock: Clock;
  readonly intervals?: MonitorIntervals;
  readonly limits?: LagLimits;
  /** Most callers that wait for a primary at a time. @default 10_000 */
  readonly maxWaiting?: number;
  /** Called after every change of what is known, once it is in `state`. Must not throw. */
  readonly onChange?: (state: TopologyState, previous: TopologyState) => void;
}

export interface PrimaryWait {
  readonly timeoutMs: number;
  readonly signal?: AbortSignal | undefined;
  /** A primary on an older timeline than this is not waited for. */
  readonly minimumTimeline?: number | undefined;
}

const DEFAULT_LIMITS: LagLimits = { maxLagMs: 10_000, maxLagBytes: 8n * 1024n * 1024n };
/** Catching up is watched closely for this long; what takes longer is lag, and the interval's business. */
const LONGEST_CATCH_UP_MS = 2000;
/** What says that the server is not there, as opposed to slow. */
const DEFINITE_CODES = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'EPIPE',
  'ENOTFOUND',
  '57P01',
  '57P02',
  '57P03',
]);

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
  #catchUp: { wanted: WalPosition; untilMs: number; timer: ScheduledCall } | undefined;

  constructor(options: MonitorOptions) {
    this.#clock = options.clock;
    this.#intervals = {
      intervalMs: options.intervals?.intervalMs ?? 1000,
      panicIntervalMs: options.intervals?.panicIntervalMs ?? 100,
      timeoutMs: options.intervals?.timeoutMs ?? 1000,
      catchUpIntervalMs: options.intervals?.catchUpIntervalMs ?? 5,
    };
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
    this.#catchUp?.timer.cancel();
    this.#catchUp = undefined;
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

  /**
   * The first of some replicas that is known to have reached a position; undefined if none has in time.
   * Replicas are asked closely for as long as somebody waits.
   */
  async whenReached(
    names: readonly string[],
    wanted: WalPosition,
    wait: { readonly timeoutMs: number; readonly signal?: AbortSignal | undefined },
  ): Promise<string | undefined> {
    const deadlineMs = this.#clock.monotonicMs() + wait.timeoutMs;
    for (;;) {
      const found = names.find((name) => this.#hasReached(name, wanted));
      if (found !== undefined) return found;
      if (wait.signal?.aborted) throw abortedError('Waiting for a replica', wait.signal.reason);
      const leftMs = deadlineMs - this.#clock.monotonicMs();
      if (leftMs <= 0 || !this.#isRunning) return undefined;
      await this.#askClosely(names, Math.min(leftMs, this.#intervals.catchUpIntervalMs));
    }
  }

  /**
   * A session will want to read at this position soon: replicas are asked closely until they have it,
   * so that by the time of the read the proof is at hand and costs no round trip.
   */
  expectPosition(wanted: WalPosition): void {
    if (!this.#isRunning) return;
    const untilMs = this.#clock.monotonicMs() + LONGEST_CATCH_UP_MS;
    if (this.#catchUp !== undefined) {
      if (!hasReached(this.#catchUp.wanted, wanted)) Object.assign(this.#catchUp, { wanted });
      this.#catchUp.untilMs = untilMs;
      return;
    }
    this.#catchUp = { wanted, untilMs, timer: this.#scheduleCatchUp() };
  }

  #scheduleCatchUp(): ScheduledCall {
    return this.#clock.schedule(this.#intervals.catchUpIntervalMs, () => this.#catchUpOnce());
  }

  #catchUpOnce(): void {
    const catchUp = this.#catchUp;
    if (catchUp === undefined) return;
    const behind = this.#state.replicas.filter((name) => !this.#hasReached(name, catchUp.wanted));
    if (behind.length === 0 || this.#clock.monotonicMs() >= catchUp.untilMs) {
      this.#catchUp = undefined;
      return;
    }
    for (const name of behind) {
      const watched = this.#byName.get(name);
      if (watched?.underWay === undefined && watched !== undefined) this.#ask(watched);
    }
    catchUp.timer = this.#scheduleCatchUp();
  }

  /** Asks and waits for the first answer, but no longer than is left and no shorter than a pause. */
  async #askClosely(names: readonly string[], pauseMs: number): Promise<void> {
    const paused = new Promise<void>((resolve) => {
      this.#clock.schedule(pauseMs, resolve, true);
    });
    for (const name of names) {
      const watched = this.#byName.get(name);
      if (watched !== undefined && watched.underWay === undefined) this.#ask(watched);
    }
    await paused;
  }

  #hasReached(name: string, wanted: WalPosition): boolean {
    const view = this.#state.nodes.get(name);
    return (
      view?.position !== undefined && view.fault === undefined && hasReached(view.position, wanted)
    );
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
      watched.state = afterFailure(watched.state, messageOf(error), isDefinite(error));
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

/** Whether the server is certainly not there: the reason may lie under a wrapper or two. */
function isDefinite(error: unknown): boolean {
  for (let current = error, depth = 0; current != null && depth < 5; depth += 1) {
    if (DEFINITE_CODES.has(codeOf(current) ?? '')) return true;
    current = (current as { cause?: unknown }).cause;
  }
  return false;
}
