/**
 * What a history is made of.
 *
 * An *operation* is one execution as one caller saw it: when it asked (`invokedNs`), when it heard
 * (`returnedNs`), and what it may conclude (`outcome`). An internal retry is an operation of its own.
 * All stamps are `process.hrtime.bigint()`, that is CLOCK_MONOTONIC: one clock for every process of
 * a host. Never mix in stamps of `performance.now()`, `Date` or another host.
 *
 * The record is flat, so that one line of JSON holds it; the table says who reads what.
 *
 * | kind           | promise                              | fields that the checkers need              |
 * |----------------|--------------------------------------|--------------------------------------------|
 * | `insert`       | a row comes to be                    | key, value; version once known             |
 * | `update`       | a row changes                        | key, value; version once known             |
 * | `delete`       | a row becomes a tombstone            | key, value (of the tombstone); version     |
 * | `read`         | linearizable, single key             | key, value (null: absent); version         |
 * | `session-read` | not older than its token             | key or rows, version, tokenIn              |
 * | `scatter`      | every row once                       | rows, or count                             |
 * | `invalidate`   | no fill from before survives         | key or keys; version where a floor is known |
 * | `cache-read`   | fresh as its namespace promises      | key, version; tier                         |
 * | `admit`        | a limit holds                        | key, cost, allowed; serverTimeUs, level    |
 * | `call`         | ends in time, whatever it is         | deadlineNs                                 |
 */
import type { Outcome } from './outcome.js';

/** Every kind of operation, see the table at the head of this file. */
export const OPERATION_KINDS = [
  'insert',
  'update',
  'delete',
  'read',
  'session-read',
  'scatter',
  'invalidate',
  'cache-read',
  'admit',
  'call',
] as const;

/** What an operation was. */
export type OperationKind = (typeof OPERATION_KINDS)[number];

/** One row that a scatter or a read of several keys returned. */
export interface ObservedRow {
  readonly key: string;
  readonly version?: number | undefined;
  /** The shard or server that the row came from. */
  readonly node?: string | undefined;
}

/** What may be known of an operation, some of it at the start, some at the end. */
export interface OperationFields {
  readonly key?: string | undefined;
  /** Several keys at once, for an invalidation. */
  readonly keys?: readonly string[] | undefined;
  readonly slot?: number | undefined;
  /** Written or read. Written values are unique in the whole history; null is an absent row. */
  readonly value?: string | null | undefined;
  /** `ver = ver + 1 RETURNING ver`: 1 for the first write of a key; 0 stands for absent. */
  readonly version?: number | undefined;
  readonly rows?: readonly ObservedRow[] | undefined;
  /** What a scatter counted, where it did not return rows. */
  readonly count?: number | undefined;
  /** Names of the ledger rows that one transaction writes together; one unnamed row by default. */
  readonly parts?: readonly string[] | undefined;
  /** The shard or server that answered. */
  readonly node?: string | undefined;
  readonly epoch?: number | undefined;
  readonly routing?: 'leased' | 'verified' | undefined;
  /** The session token presented; several where tokens were merged. */
  readonly tokenIn?: string | readonly string[] | undefined;
  readonly tokenOut?: string | undefined;
  /** The server's own time that the decision used, in microseconds. */
  readonly serverTimeUs?: number | undefined;
  readonly cost?: number | undefined;
  readonly allowed?: boolean | undefined;
  /** Whole tokens left after the decision, as the server reported. */
  readonly level?: number | undefined;
  /** The cache tier that answered. */
  readonly tier?: string | undefined;
  readonly sqlstate?: string | undefined;
  /** The code, else the name, of the error that ended it. */
  readonly error?: string | undefined;
  /** When it had to be over, on the clock of the stamps. */
  readonly deadlineNs?: bigint | undefined;
  /** Anything else that helps a human; no checker looks at it. */
  readonly detail?: Readonly<Record<string, unknown>> | undefined;
}

/** One execution, paired from its two records. */
export interface Operation extends OperationFields {
  /** Unique in the whole history. */
  readonly op: string;
  /** The logical process: one caller, one operation at a time, a new name after an unknown outcome. */
  readonly process: string;
  /** The recorder, that is the operating-system process, that wrote it. */
  readonly recorder: string;
  readonly kind: OperationKind;
  readonly invokedNs: bigint;
  /** Null when nothing ever came back: the process died, or the run ended first. */
  readonly returnedNs: bigint | null;
  readonly outcome: Outcome;
}

/** Something that happened beside the operations: a state of a move, a hold, a fault, a stall. */
export interface HistoryEvent {
  readonly recorder: string;
  readonly name: string;
  readonly atNs: bigint;
  /** The end of what lasted. */
  readonly untilNs?: bigint | undefined;
  /** What it happened to, such as a move. */
  readonly subject?: string | undefined;
  /** The state that the subject entered. */
  readonly state?: string | undefined;
  /** How late the event loop was, for `event-loop-delay`. */
  readonly delayNs?: bigint | undefined;
  readonly detail?: Readonly<Record<string, unknown>> | undefined;
}

/** All that was recorded, of all processes. */
export interface History {
  /** In the order of their invocation. */
  readonly operations: readonly Operation[];
  /** In the order of their time. */
  readonly events: readonly HistoryEvent[];
  /** The last stamp of every recorder: it was alive until then. */
  readonly lastSeenNs: ReadonlyMap<string, bigint>;
  /** Files whose last line was cut short, as a SIGKILL may leave it. */
  readonly tornSources: readonly string[];
}

/** Later than every stamp: when an operation of unknown outcome may still take effect. */
export const FOREVER_NS = 2n ** 63n - 1n;

/** Earlier than every stamp: when what was there before the run came to be. */
export const BEFORE_ALL_NS = -(2n ** 63n);

/** When the effect of an operation is certainly in place: its return if it is known done, else never. */
export function effectiveReturnNs(operation: Operation): bigint {
  return operation.outcome === 'ok' && operation.returnedNs !== null
    ? operation.returnedNs
    : FOREVER_NS;
}

/** True for the kinds that change a row. */
export function isWrite(operation: Operation): boolean {
  return operation.kind === 'insert' || operation.kind === 'update' || operation.kind === 'delete';
}

/** An operation in a few words, for messages. */
export function describeOperation(operation: Operation): string {
  const parts: string[] = [operation.kind];
  if (operation.node !== undefined) parts.push(`at ${operation.node}`);
  if (operation.epoch !== undefined) parts.push(`epoch ${operation.epoch}`);
  if (operation.routing !== undefined) parts.push(operation.routing);
  if (operation.outcome !== 'ok') parts.push(operation.outcome);
  return `op ${operation.op} (${parts.join(', ')})`;
}
