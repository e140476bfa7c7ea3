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
  /** It accepts writes, on an older timeline than the primary: a demoted one that came back. */
  | 'stale-primary'
  /** It and another accept writes on the same timeline. */
  | 'split-brain'
  /** A replica whose timeline is older than the primary's: it follows a server that was demoted. */
  | 'stale-timeline'
  /** Further behind than both limits of lag allow. */
  | 'lagging'
  /** The primary to us, until it refused a write as read-only; waiting for a probe to say what it is. */
  | 'refused-write';

/** What is known of one server. Immutable: every event makes a new one. */
export interface NodeState {
  readonly name: string;
  /** `unknown` until the first probe, and after a sign that the last known role is not true any more. */
  readonly role: 'primary' | 'replica' | 'unknown';
  readonly probe: ProbeResult | undefined;
  /** Monotonic time at which the last successful probe was *sent*: what it says was true after that. */
  readonly probedAtMs: number | undefined;
  /** Bytes behind the primary, as far as both are known. */
  readonly lagBytes: bigint | undefined;
  /** Time behind the primary: 0 when no byte is missing, else the age of what was replayed last. */
  readonly lagMs: number | undefined;
  /** Failed probes in a row. */
  readonly failures: number;
  readonly lastFailure: string | undefined;
  /** Undefined while it may be used for its role. */
  readonly fault: NodeFault | undefined;
}
