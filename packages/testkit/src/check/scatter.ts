/**
 * Does every scatter return every row once, moves or no moves?
 *
 * A scatter is not one instant: it visits shards one after the other while rows come and go. So a row
 * that was inserted or deleted *during* it may appear or not. What is certain: a row whose insert was
 * acknowledged before the scatter began, and whose delete was not even invoked before it ended, must
 * be there; a row whose delete was acknowledged before it began, or whose insert was invoked after it
 * ended, must not; none may be there twice; and none may be older than what was acknowledged before.
 * A fixed population that only *moves* must be there whole, every time: no doubt can hide behind it.
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
import { Findings, type Verdict } from './verdict.js';
import { VersionFloors } from './version-floors.js';

/** What the scatter checker has to know beside the history. */
export interface ScatterOptions {
  /** Keys that were there before the run and are never inserted or deleted. */
  readonly population?: Iterable<string>;
}

/** The inserts and deletes of one key that may have happened. */
interface Lifetime {
  readonly key: string;
  /** There from the beginning, without an insert in the history. */
  readonly isNative: boolean;
  readonly inserts: readonly Operation[];
  readonly deletes: readonly Operation[];
}

interface Scattered {
  readonly scatter: Operation;
  readonly returnedNs: bigint;
}

/**
 * Judges `scatter` operations against `insert` and `delete`, and row versions against all writes.
 *
 * Rules: `row-missing`, `row-twice`, `row-after-delete`, `row-before-insert`, `row-unknown` (nobody
 * inserted it, or the insert certainly failed), `row-stale` (older than the newest version
 * acknowledged before), `count-low`, `count-high`.
 *
 * @throws {MalformedHistoryError} when a scatter that succeeded has neither rows nor a count.
 */
export function checkScatter(history: History, options: ScatterOptions = {}): Verdict {
  const findings = new Findings();
  const writes = history.operations.filter(isWrite);
  const lifetimes = lifetimesOf(writes, options.population ?? []);
  const floors = acknowledgedVersions(writes);
  const counted = { scatters: 0, rows: 0, required: 0, population: 0, unfinished: 0 };
  for (const lifetime of lifetimes.values()) counted.population += lifetime.isNative ? 1 : 0;
  for (const scatter of history.operations) {
    if (scatter.kind !== 'scatter') continue;
    if (scatter.outcome !== 'ok' || scatter.returnedNs === null) {
      counted.unfinished += 1;
      continue;
    }
    counted.scatters += 1;
    counted.rows += scatter.rows?.length ?? 0;
    const scattered = { scatter, returnedNs: scatter.returnedNs };
    counted.required += scatter.rows
      ? judgeRows(scattered, lifetimes, floors, findings)
      : judgeCount(scattered, lifetimes, findings);
  }
  return findings.verdict(counted);
}

function lifetimesOf(
  writes: readonly Operation[],
  population: Iterable<string>,
): Map<string, Lifetime> {
  const native = new Set(population);
  const groups = byKey(writes);
  const lifetimes = new Map<string, Lifetime>();
  for (const key of new Set([...native, ...groups.keys()])) {
    const possible = (groups.get(key) ?? []).filter((write) => write.outcome !== 'fail');
    lifetimes.set(key, {
      key,
      isNative: native.has(key),
      inserts: possible.filter((write) => write.kind === 'insert'),
      deletes: possible.filter((write) => write.kind === 'delete'),
    });
  }
  return lifetimes;
}

function acknowledgedVersions(writes: readonly Operation[]): VersionFloors {
  const floors = new VersionFloors();
  for (const write of writes) {
    if (write.outcome !== 'ok' || write.version === undefined || write.key === undefined) continue;
    floors.add(write.key, effectiveReturnNs(write), write.version, write);
  }
  return floors;
}

/** Returns how many rows were required. */
function judgeRows(
  scattered: Scattered,
  lifetimes: ReadonlyMap<string, Lifetime>,
  floors: VersionFloors,
  findings: Findings,
): number {
  const { scatter } = scattered;
  const seen = new Map<string, string>();
  for (const { key, version, node } of scatter.rows ?? []) {
    const where = node ?? 'a shard';
    const first = seen.get(key);
    if (first !== undefined) {
      findings.add(
        'row-twice',
        [scatter],
        () => `${describeOperation(scatter)} returned key ${key} twice, from ${first} and ${where}`,
      );
      continue;
    }
    seen.set(key, where);
    judgePresence(key, lifetimes.get(key), scattered, findings);
    judgeVersion(key, version, where, scatter, floors, findings);
  }
  let required = 0;
  for (const lifetime of lifetimes.values()) {
    if (!isRequired(lifetime, scattered)) continue;
    required += 1;
    if (!seen.has(lifetime.key)) reportMissing(lifetime, scattered, findings);
  }
  return required;
}

function judgePresence(
  key: string,
  lifetime: Lifetime | undefined,
  scattered: Scattered,
  findings: Findings,
): void {
  const { scatter, returnedNs } = scattered;
  const returned = `${describeOperation(scatter)} returned key ${key}`;
  if (!lifetime || (!lifetime.isNative && lifetime.inserts.length === 0)) {
    findings.add('row-unknown', [scatter], () => `${returned}, which nobody inserted`);
    return;
  }
  if (!isExcluded(lifetime, scattered)) return;
  const begun = lifetime.inserts.filter((insert) => insert.invokedNs <= returnedNs);
  if (begun.length === 0 && !lifetime.isNative) {
    const insert = lifetime.inserts[0] as Operation;
    findings.add(
      'row-before-insert',
      [scatter, insert],
      () => `${returned}, but ended before ${describeOperation(insert)} began`,
    );
    return;
  }
  const removals = lifetime.deletes.filter((each) => effectiveReturnNs(each) < scatter.invokedNs);
  findings.add(
    'row-after-delete',
    [scatter, ...removals.slice(-1)],
    () =>
      `${returned}, but ${removals.slice(-1).map(describeOperation)} had been acknowledged before ` +
      'it began',
  );
}

function judgeVersion(
  key: string,
  version: number | undefined,
  where: string,
  scatter: Operation,
  floors: VersionFloors,
  findings: Findings,
): void {
  if (version === undefined) return;
  const floor = floors.before(key, scatter.invokedNs);
  if (!floor || version >= floor.version) return;
  findings.add(
    'row-stale',
    [scatter, floor.by],
    () =>
      `${describeOperation(scatter)} returned key ${key} at version ${version} from ${where}, but ` +
      `${describeOperation(floor.by)} had been acknowledged with version ${floor.version}`,
  );
}

function reportMissing(lifetime: Lifetime, { scatter }: Scattered, findings: Findings): void {
  const insert = lifetime.inserts.find((each) => effectiveReturnNs(each) < scatter.invokedNs);
  const since = insert
    ? `acknowledged by ${describeOperation(insert)}`
    : 'there from the beginning';
  findings.add(
    'row-missing',
    insert ? [scatter, insert] : [scatter],
    () => `${describeOperation(scatter)} did not return key ${lifetime.key}, ${since}`,
  );
}

function judgeCount(
  scattered: Scattered,
  lifetimes: ReadonlyMap<string, Lifetime>,
  findings: Findings,
): number {
  const { scatter } = scattered;
  const { count } = scatter;
  if (count === undefined) {
    throw new MalformedHistoryError(`operation ${scatter.op} (scatter) has neither rows nor count`);
  }
  let least = 0;
  let most = 0;
  for (const lifetime of lifetimes.values()) {
    if (isRequired(lifetime, scattered)) least += 1;
    if (!isExcluded(lifetime, scattered)) most += 1;
  }
  if (count < least || count > most) {
    findings.add(
      count < least ? 'count-low' : 'count-high',
      [scatter],
      () =>
        `${describeOperation(scatter)} counted ${count} rows, but there were ` +
        (least === most ? `${least}` : `between ${least} and ${most}`),
    );
  }
  return least;
}

/** Whether the row was certainly there from before the scatter until after it. */
function isRequired(lifetime: Lifetime, { scatter, returnedNs }: Scattered): boolean {
  const { deletes } = lifetime;
  if (lifetime.isNative && !deletes.some((each) => each.invokedNs <= returnedNs)) return true;
  return lifetime.inserts.some(
    (insert) =>
      effectiveReturnNs(insert) < scatter.invokedNs &&
      !deletes.some(
        (each) => each.invokedNs <= returnedNs && effectiveReturnNs(each) >= insert.invokedNs,
      ),
  );
}

/** Whether the row was certainly not there at any time during the scatter. */
function isExcluded(lifetime: Lifetime, { scatter, returnedNs }: Scattered): boolean {
  const isRemovedAfter = (returnNs: bigint) =>
    lifetime.deletes.some(
      (each) => each.invokedNs > returnNs && effectiveReturnNs(each) < scatter.invokedNs,
    );
  if (lifetime.isNative && !isRemovedAfter(BEFORE_ALL_NS)) return false;
  return lifetime.inserts.every(
    (insert) => insert.invokedNs > returnedNs || isRemovedAfter(effectiveReturnNs(insert)),
  );
}
