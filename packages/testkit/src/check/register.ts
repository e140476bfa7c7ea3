/**
 * Is every key a linearizable register? In O(n log n), after Gibbons and Korach [1].
 *
 * Linearizable means: each operation can be given one instant between its invocation and its return,
 * so that every read returns what the last write before it wrote. To search for those instants is
 * exponential in general [2]. Where every written value is unique, it is not: a read names its write.
 * So the operations of a key fall into *clusters*, one per value: the write and the reads of it. In
 * any legal order a cluster is contiguous, since no other write can come between a write and its last
 * read. What is left is to order the clusters.
 *
 * For a cluster let f be the earliest return and s the latest invocation over all its operations.
 * Cluster A is forced before B exactly if some operation of A returned before one of B was invoked,
 * that is f(A) < s(B). Two clusters contradict each other if each is forced before the other:
 *
 *     f(A) < s(B)  and  f(B) < s(A)
 *
 * and a cycle of three or more is impossible without such a pair: were f(i) < s(i+1) all around and no
 * pair contradictory, f would shrink at every step of the circle. So pairs are all there is to look
 * at. A cluster with f < s is a *forward zone* [f, s], within which the value was certainly in place
 * throughout; the others are *backward zones* [s, f]. A pair contradicts if two forward zones overlap
 * or a backward zone lies within a forward one, and never if both are backward. Inside a cluster the
 * one demand is that no read returned before the write was invoked.
 *
 * Unknown outcomes do not blow this up. An `info` write that nobody read may never have happened and
 * is dropped; one that was read did happen and has no return of its own. A `fail` write that was read
 * is a violation by itself. Stamps that are equal count as overlapping, so equality never accuses.
 *
 * A delete writes a tombstone row that carries a unique value like any other write. «Absent» (null)
 * is what was there before the first write and nothing else, since it could not be told apart.
 *
 * 1. P. Gibbons, E. Korach: Testing Shared Memories. SIAM J. Computing 26(4), 1997.
 * 2. J. Wing, C. Gong: Testing and Verifying Concurrent Objects. JPDC 17, 1993.
 */
import { byKey } from './by-key.js';
import { MalformedHistoryError } from './malformed-history-error.js';
import {
  BEFORE_ALL_NS,
  describeOperation,
  effectiveReturnNs,
  type History,
  isWrite,
  type Operation,
} from './operation.js';
import { requireField } from './require-field.js';
import { compareNs, countWhile } from './sorted.js';
import { Findings, type Verdict } from './verdict.js';

/** What the register checker has to know beside the history. */
export interface RegisterOptions {
  /**
   * What a key held before the run.
   * @default null, absent
   */
  readonly initialValue?: (key: string) => string | null;
}

/** The operations that wrote and read one value of a key. */
interface Cluster {
  readonly value: string | null;
  readonly write: Operation | undefined;
  readonly reads: Operation[];
}

/** A cluster on the time line, with the operations that set its two ends. */
interface Zone {
  readonly cluster: Cluster;
  readonly firstReturnNs: bigint;
  readonly firstReturned: Operation | undefined;
  readonly lastInvokeNs: bigint;
  readonly lastInvoked: Operation | undefined;
}

/**
 * Judges `insert`, `update`, `delete` and `read` operations, key by key.
 *
 * Rules: `unknown-value-read` (nobody wrote it), `failed-value-read` (its write certainly failed),
 * `read-before-write` (returned before its write was invoked), `not-linearizable` (two values whose
 * operations cannot be put in an order; a stale read is one).
 *
 * @throws {MalformedHistoryError} when a field is missing or two writes of a key share a value.
 *
 * @example
 * ```ts
 * import { checkRegister, readHistory } from '@shardline/testkit/check';
 *
 * const { valid, violations, counted } = checkRegister(readHistory(['run/worker-1.jsonl']));
 * ```
 */
export function checkRegister(history: History, options: RegisterOptions = {}): Verdict {
  const findings = new Findings();
  const relevant = history.operations.filter(
    (operation) => isWrite(operation) || operation.kind === 'read',
  );
  const keys = byKey(relevant);
  for (const [key, operations] of keys) {
    const initial = options.initialValue?.(key) ?? null;
    const zones = clustersOf(key, operations, initial, findings)
      .filter((cluster) => isInternallyOrdered(key, cluster, findings))
      .map(zoneOf);
    findContradictions(key, zones, findings);
  }
  return findings.verdict({ keys: keys.size, ...countOf(relevant) });
}

function clustersOf(
  key: string,
  operations: readonly Operation[],
  initial: string | null,
  findings: Findings,
): Cluster[] {
  const clusters = new Map<string | null, Cluster>();
  clusters.set(initial, { value: initial, write: undefined, reads: [] });
  for (const operation of operations) {
    if (!isWrite(operation)) continue;
    const value = requireField(operation, 'value');
    const twin = clusters.get(value);
    if (twin) {
      const other = twin.write ? describeOperation(twin.write) : 'the initial row';
      throw new MalformedHistoryError(
        `${describeOperation(operation)} and ${other} both wrote ${value} to key ${key}: ` +
          'values must be unique',
      );
    }
    clusters.set(value, { value, write: operation, reads: [] });
  }
  for (const operation of operations) {
    if (operation.kind === 'read' && operation.outcome === 'ok') {
      assignRead(key, operation, clusters, findings);
    }
  }
  return [...clusters.values()].filter(hasHappened);
}

function assignRead(
  key: string,
  read: Operation,
  clusters: ReadonlyMap<string | null, Cluster>,
  findings: Findings,
): void {
  const value = read.value === null ? null : requireField(read, 'value');
  const cluster = clusters.get(value);
  if (!cluster) {
    findings.add(
      'unknown-value-read',
      [read],
      () => `key ${key}: ${describeOperation(read)} read ${show(value)}, which nobody wrote`,
    );
  } else if (cluster.write?.outcome === 'fail') {
    const { write } = cluster;
    findings.add(
      'failed-value-read',
      [write, read],
      () =>
        `key ${key}: ${describeOperation(read)} read ${show(value)}, ` +
        `but ${describeOperation(write)} had certainly not written it`,
    );
  } else {
    cluster.reads.push(read);
  }
}

/** Failed writes never took place; unknown ones and the initial value only if someone saw them. */
function hasHappened(cluster: Cluster): boolean {
  if (cluster.write?.outcome === 'ok') return true;
  return cluster.write?.outcome !== 'fail' && cluster.reads.length > 0;
}

function isInternallyOrdered(key: string, cluster: Cluster, findings: Findings): boolean {
  const { write } = cluster;
  if (!write) return true;
  const early = cluster.reads.find((read) => effectiveReturnNs(read) < write.invokedNs);
  if (!early) return true;
  findings.add(
    'read-before-write',
    [early, write],
    () =>
      `key ${key}: ${describeOperation(early)} had read ${show(cluster.value)} ` +
      `${distance(effectiveReturnNs(early), write.invokedNs)} before ` +
      `${describeOperation(write)} was invoked to write it`,
  );
  return false;
}

function zoneOf(cluster: Cluster): Zone {
  const { write } = cluster;
  let firstReturned = write;
  let firstReturnNs = write ? effectiveReturnNs(write) : BEFORE_ALL_NS;
  let lastInvoked = write;
  let lastInvokeNs = write ? write.invokedNs : BEFORE_ALL_NS;
  for (const read of cluster.reads) {
    const returnNs = effectiveReturnNs(read);
    if (returnNs < firstReturnNs) {
      firstReturnNs = returnNs;
      firstReturned = read;
    }
    if (read.invokedNs > lastInvokeNs) {
      lastInvokeNs = read.invokedNs;
      lastInvoked = read;
    }
  }
  return { cluster, firstReturnNs, firstReturned, lastInvokeNs, lastInvoked };
}

function findContradictions(key: string, zones: readonly Zone[], findings: Findings): void {
  const forward = zones
    .filter((zone) => zone.firstReturnNs < zone.lastInvokeNs)
    .sort((a, b) => compareNs(a.firstReturnNs, b.firstReturnNs));
  // longest[i] is the zone among the first i + 1 that reaches furthest.
  const longest: Zone[] = [];
  for (const zone of forward) {
    const before = longest.at(-1);
    if (before && zone.firstReturnNs < before.lastInvokeNs) {
      reportContradiction(key, before, zone, findings);
    }
    longest.push(!before || zone.lastInvokeNs > before.lastInvokeNs ? zone : before);
  }
  for (const zone of zones) {
    if (zone.firstReturnNs < zone.lastInvokeNs) continue;
    const begun = countWhile(forward, (other) => other.firstReturnNs < zone.lastInvokeNs);
    const around = longest[begun - 1];
    if (around && zone.firstReturnNs < around.lastInvokeNs) {
      reportContradiction(key, around, zone, findings);
    }
  }
}

function reportContradiction(key: string, a: Zone, b: Zone, findings: Findings): void {
  const witnesses = [a.firstReturned, b.lastInvoked, b.firstReturned, a.lastInvoked];
  const named = new Set(witnesses.filter((operation) => operation !== undefined));
  findings.add(
    'not-linearizable',
    [...named],
    () => `key ${key}: ${mustPrecede(a, b)}, but ${mustPrecede(b, a)}`,
  );
}

function mustPrecede(a: Zone, b: Zone): string {
  const values = `${show(a.cluster.value)} must come before ${show(b.cluster.value)}`;
  const began = b.lastInvoked ? describeOperation(b.lastInvoked) : 'the beginning';
  if (!a.firstReturned) return `${values}, since it was there before ${began}`;
  return (
    `${values}, since ${describeOperation(a.firstReturned)} ended ` +
    `${distance(a.firstReturnNs, b.lastInvokeNs)} before ${began} began`
  );
}

function show(value: string | null): string {
  return value === null ? 'absent' : `"${value}"`;
}

function distance(fromNs: bigint, untilNs: bigint): string {
  return `${(Number(untilNs - fromNs) / 1e6).toFixed(3)} ms`;
}

function countOf(operations: readonly Operation[]): Record<string, number> {
  const counted = { writes: 0, reads: 0, unknownWrites: 0, failedWrites: 0 };
  for (const operation of operations) {
    if (!isWrite(operation)) counted.reads += operation.outcome === 'ok' ? 1 : 0;
    else {
      counted.writes += 1;
      counted.unknownWrites += operation.outcome === 'info' ? 1 : 0;
      counted.failedWrites += operation.outcome === 'fail' ? 1 : 0;
    }
  }
  return counted;
}
