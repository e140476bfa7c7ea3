/**
 * Do the versions of each key tell one history of writes? In O(n log n).
 *
 * Every write does `ver = ver + 1 RETURNING ver`, so the row itself numbers its writes. Three things
 * follow, and none of them needs a read: no two writes have one number (else one of them overwrote
 * the other unseen: a lost update); a write that began after another had returned has the higher
 * number; and a number is missing only where a write of unknown outcome can have taken it. A write
 * that certainly failed was rolled back and took none.
 *
 * Reads only help to learn the number of an unknown write, and must agree with what is known.
 */
import { byKey } from './by-key.js';
import {
  describeOperation,
  effectiveReturnNs,
  FOREVER_NS,
  type History,
  isWrite,
  type Operation,
} from './operation.js';
import { requireField } from './require-field.js';
import { compareNs } from './sorted.js';
import { Findings, type Verdict } from './verdict.js';

/** What the write-order checker has to know beside the history. */
export interface WriteOrderOptions {
  /**
   * The version a key had before the run, 0 where it did not exist.
   * @default 0
   */
  readonly initialVersion?: (key: string) => number;
}

interface NumberedWrite {
  readonly write: Operation;
  readonly version: number;
}

/**
 * Judges the versions of `insert`, `update` and `delete`, with `read` as a witness.
 *
 * Rules: `lost-update` (two writes with one version), `version-against-time` (the later write has the
 * lower version), `version-gap` (a version that no unknown write can have taken),
 * `version-mismatch` (one value read with another version than it was written with).
 *
 * @throws {MalformedHistoryError} when an `ok` write has no version.
 */
export function checkWriteOrder(history: History, options: WriteOrderOptions = {}): Verdict {
  const findings = new Findings();
  const relevant = history.operations.filter(
    (operation) => isWrite(operation) || operation.kind === 'read',
  );
  const keys = byKey(relevant);
  let numbered = 0;
  for (const [key, operations] of keys) {
    const writes = numberWrites(key, operations, findings);
    numbered += writes.length;
    findLostUpdates(key, writes, findings);
    findDisorder(key, writes, findings);
    findGaps(key, operations, writes, options.initialVersion?.(key) ?? 0, findings);
  }
  return findings.verdict({ keys: keys.size, numberedWrites: numbered });
}

/** Writes that happened, with their versions, in the order of these. */
function numberWrites(
  key: string,
  operations: readonly Operation[],
  findings: Findings,
): NumberedWrite[] {
  const versions = new Map<Operation, number>();
  const byValue = new Map<string, Operation>();
  for (const operation of operations) {
    if (!isWrite(operation) || operation.outcome === 'fail') continue;
    if (operation.outcome === 'ok') versions.set(operation, requireField(operation, 'version'));
    else if (operation.version !== undefined) versions.set(operation, operation.version);
    if (typeof operation.value === 'string') byValue.set(operation.value, operation);
  }
  for (const read of operations) {
    if (read.kind !== 'read' || read.outcome !== 'ok') continue;
    if (typeof read.value !== 'string' || read.version === undefined) continue;
    const write = byValue.get(read.value);
    if (write) learnVersion(key, write, read, read.version, versions, findings);
  }
  return [...versions]
    .map(([write, version]) => ({ write, version }))
    .sort((a, b) => a.version - b.version || compareNs(a.write.invokedNs, b.write.invokedNs));
}

function learnVersion(
  key: string,
  write: Operation,
  read: Operation,
  version: number,
  versions: Map<Operation, number>,
  findings: Findings,
): void {
  const known = versions.get(write);
  if (known === undefined) versions.set(write, version);
  else if (known !== version) {
    findings.add(
      'version-mismatch',
      [write, read],
      () =>
        `key ${key}: ${describeOperation(write)} wrote "${write.value}" as version ${known}, ` +
        `but ${describeOperation(read)} read it as version ${version}`,
    );
  }
}

function findLostUpdates(key: string, writes: readonly NumberedWrite[], findings: Findings): void {
  for (const [index, { write, version }] of writes.entries()) {
    const before = writes[index - 1];
    if (before?.version !== version) continue;
    findings.add(
      'lost-update',
      [before.write, write],
      () =>
        `key ${key}: ${describeOperation(before.write)} and ${describeOperation(write)} ` +
        `both made version ${version}: one of them is lost`,
    );
  }
}

/** Walks up the versions with the latest invocation so far: nothing above may have ended before it. */
function findDisorder(key: string, writes: readonly NumberedWrite[], findings: Findings): void {
  let latest: NumberedWrite | undefined;
  for (const entry of writes) {
    const lower = latest;
    if (
      lower &&
      lower.version < entry.version &&
      effectiveReturnNs(entry.write) < lower.write.invokedNs
    ) {
      findings.add(
        'version-against-time',
        [entry.write, lower.write],
        () =>
          `key ${key}: ${describeOperation(entry.write)} made version ${entry.version} and had ` +
          `returned before ${describeOperation(lower.write)} began, which made version ` +
          `${lower.version}`,
      );
    }
    if (!lower || entry.write.invokedNs > lower.write.invokedNs) latest = entry;
  }
}

/**
 * Gives every missing version, in ascending order, the unknown write that began first and is still
 * free. A version was made before any higher one returned, so that write must have begun by then;
 * these limits only rise with the version, hence first come, first served finds an assignment if
 * there is one.
 */
function findGaps(
  key: string,
  operations: readonly Operation[],
  writes: readonly NumberedWrite[],
  initialVersion: number,
  findings: Findings,
): void {
  const numbered = new Set(writes.map((entry) => entry.write));
  const free = operations
    .filter((each) => isWrite(each) && each.outcome === 'info' && !numbered.has(each))
    .sort((a, b) => compareNs(a.invokedNs, b.invokedNs));
  const limits = earliestReturnFrom(writes);
  let taken = 0;
  let expected = initialVersion + 1;
  for (const [index, { write, version }] of writes.entries()) {
    for (; expected < version; expected += 1) {
      const candidate = free[taken];
      if (!candidate || candidate.invokedNs > (limits[index] as bigint)) {
        reportGap(key, expected, version, write, findings);
        break;
      }
      taken += 1;
    }
    expected = Math.max(expected, version + 1);
    if (version <= initialVersion) reportReused(key, version, initialVersion, write, findings);
  }
}

/** For every place in the list, the earliest return from there on. */
function earliestReturnFrom(writes: readonly NumberedWrite[]): bigint[] {
  const earliest: bigint[] = new Array(writes.length);
  let limit = FOREVER_NS;
  for (let index = writes.length - 1; index >= 0; index -= 1) {
    const returnNs = effectiveReturnNs((writes[index] as NumberedWrite).write);
    if (returnNs < limit) limit = returnNs;
    earliest[index] = limit;
  }
  return earliest;
}

function reportGap(
  key: string,
  missing: number,
  version: number,
  write: Operation,
  findings: Findings,
): void {
  findings.add(
    'version-gap',
    [write],
    () =>
      `key ${key}: ${describeOperation(write)} made version ${version}, but no recorded write can ` +
      `have made version ${missing}`,
  );
}

function reportReused(
  key: string,
  version: number,
  initialVersion: number,
  write: Operation,
  findings: Findings,
): void {
  findings.add(
    'lost-update',
    [write],
    () =>
      `key ${key}: ${describeOperation(write)} made version ${version}, but the key was at ` +
      `version ${initialVersion} before the run`,
  );
}
