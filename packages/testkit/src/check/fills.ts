/**
 * Does no cache fill from before an invalidation survive it?
 *
 * An invalidation is a promise with a floor: at its acknowledgement the cache has forgotten everything
 * older than what was acknowledged to the database before the invalidation was *invoked*. (What was
 * written between its invocation and its return may or may not be covered: a fill could have read
 * the row just before.) So a read that began after the acknowledgement must return at least the floor;
 * in a `bounded` namespace, only one that began later than the exported bound.
 *
 * The direct look into one tier (`peek`) is held to the same floor: a stale entry that sits in L2 today
 * is a stale read tomorrow.
 */
import {
  describeOperation,
  effectiveReturnNs,
  type History,
  isWrite,
  type Operation,
} from './operation.js';
import { requireField } from './require-field.js';
import { Findings, type Verdict } from './verdict.js';
import { VersionFloors } from './version-floors.js';

/** What the namespace promises. */
export type FillsOptions =
  | { readonly coherence: 'strict' }
  | {
      readonly coherence: 'bounded';
      /** How long after an acknowledged invalidation a stale read is allowed, as exported. */
      readonly boundMs: number;
    };

const NANOSECONDS_PER_MILLISECOND = 1e6;

/**
 * Judges `cache-read` operations against `invalidate` and the writes.
 *
 * A `cache-read` that succeeded with neither version nor value is a miss and claims nothing; with
 * `value: null` it is a cached absence, version 0. For several namespaces, judge each with
 * `selectOperations`.
 *
 * Rules: `stale-read`.
 *
 * @throws {MalformedHistoryError} when an invalidation has no key, or a hit no version.
 */
export function checkFills(history: History, options: FillsOptions): Verdict {
  const findings = new Findings();
  const boundMs = options.coherence === 'bounded' ? options.boundMs : 0;
  const boundNs = BigInt(Math.ceil(boundMs * NANOSECONDS_PER_MILLISECOND));
  const { floors, invalidations } = invalidatedVersions(history.operations);
  const counted = { invalidations, reads: 0, misses: 0, judged: 0 };
  for (const read of history.operations) {
    if (read.kind !== 'cache-read' || read.outcome !== 'ok') continue;
    counted.reads += 1;
    if (read.version === undefined && read.value === undefined) {
      counted.misses += 1;
      continue;
    }
    const version = read.value === null ? (read.version ?? 0) : requireField(read, 'version');
    const floor = floors.before(requireField(read, 'key'), read.invokedNs - boundNs);
    if (!floor) continue;
    counted.judged += 1;
    if (version < floor.version) reportStale(read, version, floor.version, floor.by, findings);
  }
  return findings.verdict(counted);
}

function invalidatedVersions(operations: readonly Operation[]): {
  floors: VersionFloors;
  invalidations: number;
} {
  const written = new VersionFloors();
  for (const write of operations) {
    if (!isWrite(write) || write.outcome !== 'ok' || write.version === undefined) continue;
    written.add(requireField(write, 'key'), effectiveReturnNs(write), write.version, write);
  }
  const floors = new VersionFloors();
  let invalidations = 0;
  for (const invalidation of operations) {
    if (invalidation.kind !== 'invalidate' || invalidation.outcome !== 'ok') continue;
    invalidations += 1;
    for (const key of invalidation.keys ?? [requireField(invalidation, 'key')]) {
      const newest = written.before(key, invalidation.invokedNs)?.version ?? 0;
      const version = Math.max(newest, invalidation.version ?? 0);
      floors.add(key, effectiveReturnNs(invalidation), version, invalidation);
    }
  }
  return { floors, invalidations };
}

function reportStale(
  read: Operation,
  version: number,
  floor: number,
  invalidation: Operation,
  findings: Findings,
): void {
  findings.add('stale-read', [read, invalidation], () => {
    const lateMs = Number(read.invokedNs - effectiveReturnNs(invalidation)) / 1e6;
    const tier = read.tier === undefined ? '' : ` from ${read.tier}`;
    return (
      `key ${read.key}: ${describeOperation(read)} returned version ${version}${tier}, ` +
      `${lateMs.toFixed(3)} ms after ${describeOperation(invalidation)} was acknowledged, ` +
      `which covers everything below version ${floor}`
    );
  });
}
