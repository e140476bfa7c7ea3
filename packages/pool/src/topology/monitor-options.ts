import type { Clock } from '@shardline/core';
import type { ProbeResult } from './node-state.js';
import type { LagLimits, TopologyState } from './topology-state.js';

/** One server to watch. */
export interface MonitoredNode {
  readonly name: string;
  /** Asks the server. Every call is a new question, never the answer to an earlier one. */
  readonly probe: (signal: AbortSignal) => Promise<ProbeResult>;
}

/** How often servers are asked. */
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

/** What a monitor watches, and how. */
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

/** How long somebody waits for a primary, and for which. */
export interface PrimaryWait {
  readonly timeoutMs: number;
  readonly signal?: AbortSignal | undefined;
  /** A primary on an older timeline than this is not waited for. */
  readonly minimumTimeline?: number | undefined;
}

/** Fills in what was left out. */
export function resolveIntervals({
  intervalMs = 1000,
  panicIntervalMs = 100,
  timeoutMs = 1000,
  catchUpIntervalMs = 5,
}: MonitorIntervals = {}): Required<MonitorIntervals> {
  return { intervalMs, panicIntervalMs, timeoutMs, catchUpIntervalMs };
}
