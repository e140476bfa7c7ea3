import type { Lsn } from './wal-position.js';

/** What one probe of a server says. */
export interface ProbeResult {
  readonly role: 'primary' | 'replica';
  /** The timeline that the server is on, or a lower bound of it where it may not say. */
  readonly timeline: number;
  /** What the server holds: end of WAL on a primary (page boundary settled), replayed WAL on a replica. */
  readonly lsn: Lsn;
  /** WAL received and kept by a replica; undefined on a primary or when nothing was streamed. */
  readonly receivedLsn: Lsn | undefined;
  /** Age of the last transaction replayed, by the server's own clock; 0 on a primary. */
  readonly replayAgeMs: number | undefined;
  /** Names the cluster: equal on a primary and all its physical replicas. */
  readonly systemIdentifier: string;
  /** When the postmaster started, in microseconds since 1970 as text: changes when it restarts. */
  readonly startedAt: string;
  /** `pg_snapshot_xmax`: every transaction visible to the server is older. */
  readonly snapshotXmax: bigint;
  /** `pg_snapshot_xmin`: every older transaction has ended as this server sees it. */
  readonly snapshotXmin: bigint;
}

/** Why a server is not to be used. */
export type NodeFault =
  /** It cannot be reached, or does not answer in time. */
  | 'unreachable'
  /** Its system identifier is not that of the others: a replica of something else. */
  | 'other-cluster'
  /** It accepts writes, on an older timeline than the newest: a demoted primary that came back. */
  | 'stale-primary'
  /** It and another accept writes on the same timeline. */
  | 'split-brain'
  /** A replica whose timeline is older than the newest: it may follow a server that was demoted. */
  | 'stale-timeline'
  /** Further behind than both limits of lag allow. */
  | 'lagging'
  /** The primary to us, until it refused a write as read-only; waiting for a probe to say what it is. */
  | 'refused-write';

/**
 * What is known of one server. Immutable: every event makes a new one.
 *
 * Without a `probe` nothing is known for now: nobody has asked yet, it does not answer, or something
 * happened that may have made the last answer untrue. A cached position is proof only as long as
 * the same postmaster runs: a replica that restarts may come back behind where it was.
 */
export interface NodeState {
  readonly name: string;
  readonly probe: ProbeResult | undefined;
  /** Monotonic time at which the last successful probe was *sent*: what it says was true after that. */
  readonly probedAtMs: number | undefined;
  /** Failed probes in a row. */
  readonly failures: number;
  readonly lastFailure: string | undefined;
  /** A write was refused as read-only after the time of the last probe. */
  readonly hasRefusedWrite: boolean;
}

/** A server that nobody has asked yet. */
export function unknownNode(name: string): NodeState {
  return {
    name,
    probe: undefined,
    probedAtMs: undefined,
    failures: 0,
    lastFailure: undefined,
    hasRefusedWrite: false,
  };
}

/** It answered. Answers that are older than what is known, by the time of asking, are left aside. */
export function afterProbe(state: NodeState, answer: ProbeResult, sentAtMs: number): NodeState {
  if (state.probedAtMs !== undefined && sentAtMs < state.probedAtMs) return state;
  return {
    name: state.name,
    probe: mergeProbe(state.probe, answer),
    probedAtMs: sentAtMs,
    failures: 0,
    lastFailure: undefined,
    hasRefusedWrite: false,
  };
}

/**
 * While one postmaster runs in one role, neither its timeline nor its position goes back. The known
 * timeline is a lower bound (a replica names it only while it streams), so the best bound is kept.
 */
function mergeProbe(known: ProbeResult | undefined, answer: ProbeResult): ProbeResult {
  const isSameRun =
    known !== undefined && known.startedAt === answer.startedAt && known.role === answer.role;
  if (!isSameRun || known.timeline <= answer.timeline) return answer;
  return { ...answer, timeline: known.timeline };
}

/** How often a server may fail to answer in time before it counts as gone: one answer may be slow. */
const SLOW_ANSWERS_ALLOWED = 1;

/**
 * It did not answer.
 *
 * @param isDefinite it was refused or cut off, rather than merely slow.
 */
export function afterFailure(state: NodeState, message: string, isDefinite: boolean): NodeState {
  const failures = state.failures + 1;
  const isGone = isDefinite || failures > SLOW_ANSWERS_ALLOWED;
  return {
    ...state,
    failures,
    lastFailure: message,
    probe: isGone ? undefined : state.probe,
  };
}

/** A connection to it broke: it may have restarted or be gone, so what was known proves nothing. */
export function afterConnectionLost(state: NodeState, nowMs: number): NodeState {
  return { ...state, probe: undefined, probedAtMs: nowMs };
}

/** It refused a write as read-only although it was taken for the primary. */
export function afterRefusedWrite(state: NodeState, nowMs: number): NodeState {
  return { ...state, hasRefusedWrite: true, probedAtMs: nowMs };
}
