/**
 * Is every acknowledged write there exactly once, at the owner of its key? In O(n).
 *
 * Each write also inserts a row into a ledger, in the same transaction and on the same shard. The
 * ledger has no unique index, so a write that is replayed or copied twice leaves two rows for all to
 * see. At the end every shard is read *directly*, past the router, which would hide what it no longer
 * routes to. The data rows themselves are read in the same way: the ledger tells what took place, the
 * row tells what is left of it. Every write raises the version of its row by one, so the version at
 * the end is the number of writes in the ledger; where it is not, half a transaction is lost.
 */

import { MalformedHistoryError } from './malformed-history-error.js';
import { describeOperation, type History, isWrite, type Operation } from './operation.js';
import { requireField } from './require-field.js';
import { Findings, type Verdict } from './verdict.js';

/** One row of the ledger, as found on a shard. */
export interface LedgerRow {
  readonly shard: string;
  /** The id of the operation that wrote it. */
  readonly op: string;
  readonly key: string;
  /**
   * Which of the operation's rows it is, where it wrote several.
   * @default ''
   */
  readonly part?: string;
}

/** One data row (or tombstone), as found on a shard. */
export interface FinalRow {
  readonly shard: string;
  readonly key: string;
  readonly version: number;
  readonly value: string;
}

/** What was found on the shards after the run. */
export interface ShardContents {
  readonly ledger: readonly LedgerRow[];
  readonly rows: readonly FinalRow[];
  /** The shard that owns a key now. */
  readonly owner: (key: string) => string;
  /** What was loaded before the run and is in neither history nor ledger; nothing by default. */
  readonly preloaded?: readonly PreloadedRow[];
}

/** A row that was there before the run. */
export type PreloadedRow = Omit<FinalRow, 'shard'>;

/** How many operations a violation names where all writes of a key are involved. */
const OPERATIONS_NAMED = 20;

/** What is known of the writes, ready to be asked. */
interface Expectation {
  readonly writes: ReadonlyMap<string, Operation>;
  /** Places of the ledger rows by operation, then by part. */
  readonly places: ReadonlyMap<string, ReadonlyMap<string, readonly LedgerRow[]>>;
  readonly preloaded: ReadonlyMap<string, PreloadedRow>;
  readonly contents: ShardContents;
  readonly findings: Findings;
}

/**
 * Judges the final contents of all shards against the acknowledged writes.
 *
 * Rules: `write-lost`, `write-duplicated`, `write-misplaced`, `failed-write-present`,
 * `unknown-write-present` (nobody in the history made it), `write-half-present` (some of its rows, or
 * its ledger row without its effect, or the effect without the ledger row), `row-lost`,
 * `row-duplicated`, `row-misplaced`, `row-outdated` (older than the newest acknowledged write),
 * `row-unexplained` (no recorded write made it).
 *
 * @throws {MalformedHistoryError} when a write has no key or value, or an `ok` one no version.
 *
 * @example
 * ```ts
 * import { checkLedger, readHistory, type ShardContents } from '@shardline/testkit/check';
 *
 * declare const contents: ShardContents; // read from every shard directly
 *
 * const verdict = checkLedger(readHistory(['run/writer-1.jsonl']), contents);
 * ```
 */
export function checkLedger(history: History, contents: ShardContents): Verdict {
  const findings = new Findings();
  const writes = new Map<string, Operation>();
  for (const operation of history.operations) {
    if (isWrite(operation)) writes.set(operation.op, operation);
  }
  const places = placesOf(contents.ledger);
  const preloaded = new Map((contents.preloaded ?? []).map((row) => [row.key, row]));
  const expectation: Expectation = { writes, places, preloaded, contents, findings };
  let acknowledged = 0;
  let unknownPresent = 0;
  for (const write of writes.values()) {
    const found = places.get(write.op) ?? new Map<string, LedgerRow[]>();
    judgeWrite(write, found, expectation);
    if (write.outcome === 'ok') acknowledged += 1;
    if (write.outcome === 'info' && found.size > 0) unknownPresent += 1;
  }
  findStrangers(expectation);
  judgeRows(expectation);
  return findings.verdict({
    writes: writes.size,
    acknowledged,
    unknownPresent,
    ledgerRows: contents.ledger.length,
    rows: contents.rows.length,
  });
}

function placesOf(ledger: readonly LedgerRow[]): Map<string, Map<string, LedgerRow[]>> {
  const places = new Map<string, Map<string, LedgerRow[]>>();
  for (const row of ledger) {
    const parts = places.get(row.op) ?? new Map<string, LedgerRow[]>();
    places.set(row.op, parts);
    const rows = parts.get(row.part ?? '');
    if (rows) rows.push(row);
    else parts.set(row.part ?? '', [row]);
  }
  return places;
}

function judgeWrite(
  write: Operation,
  found: ReadonlyMap<string, readonly LedgerRow[]>,
  { contents, findings }: Expectation,
): void {
  const key = requireField(write, 'key');
  const parts = partsOf(write);
  const missing = parts.filter((part) => !found.has(part));
  const name = describeOperation(write);
  if (write.outcome === 'fail') {
    if (found.size > 0) {
      findings.add(
        'failed-write-present',
        [write],
        () => `key ${key}: ${name} had certainly failed, but is on ${shardsOf(found)}`,
      );
    }
    return;
  }
  if (missing.length > 0 && missing.length < parts.length) {
    findings.add(
      'write-half-present',
      [write],
      () => `key ${key}: of ${name} the rows ${missing.join(', ')} are missing, others are there`,
    );
  } else if (missing.length > 0 && write.outcome === 'ok') {
    findings.add(
      'write-lost',
      [write],
      () => `key ${key}: ${name} was acknowledged, but is on no shard`,
    );
  }
  for (const [part, rows] of found) judgePlaces(write, part, rows, contents.owner(key), findings);
}

function judgePlaces(
  write: Operation,
  part: string,
  rows: readonly LedgerRow[],
  owner: string,
  findings: Findings,
): void {
  const what = `${describeOperation(write)}${part === '' ? '' : `, row ${part},`}`;
  if (rows.length > 1) {
    findings.add(
      'write-duplicated',
      [write],
      () =>
        `key ${write.key}: ${what} is there ${rows.length} times, on ` +
        `${rows.map((row) => row.shard).join(', ')}`,
    );
  } else if (rows[0]?.shard !== owner) {
    findings.add(
      'write-misplaced',
      [write],
      () => `key ${write.key}: ${what} is on ${rows[0]?.shard}, but ${owner} owns the key`,
    );
  }
}

function findStrangers({ writes, contents, findings }: Expectation): void {
  for (const row of contents.ledger) {
    const write = writes.get(row.op);
    const place = `the ledger of ${row.shard} holds operation ${row.op} for key ${row.key}`;
    if (!write) {
      findings.add('unknown-write-present', [], () => `${place}, which is in no history`);
    } else if (write.key !== row.key || !partsOf(write).includes(row.part ?? '')) {
      findings.add(
        'unknown-write-present',
        [write],
        () => `${place}, row "${row.part ?? ''}", which ${describeOperation(write)} never wrote`,
      );
    }
  }
}

function judgeRows(expectation: Expectation): void {
  const { writes, preloaded, contents, findings } = expectation;
  const rowsByKey = new Map<string, FinalRow[]>();
  for (const row of contents.rows) {
    const rows = rowsByKey.get(row.key);
    if (rows) rows.push(row);
    else rowsByKey.set(row.key, [row]);
  }
  const newest = newestAcknowledged(writes.values());
  for (const key of new Set([...newest.keys(), ...preloaded.keys()])) {
    if (rowsByKey.has(key)) continue;
    const write = newest.get(key);
    const since = write ? `${describeOperation(write)} was acknowledged` : 'it was loaded before';
    findings.add(
      'row-lost',
      write ? [write] : [],
      () => `key ${key}: no shard holds a row, but ${since}`,
    );
  }
  const makers = makersByValue(writes.values());
  const committed = committedByKey(expectation);
  for (const [key, rows] of rowsByKey) {
    judgeRowPlaces(key, rows, expectation);
    for (const row of rows) {
      judgeRow(row, makers.get(row.value), newest.get(key), expectation);
      judgeVersion(row, committed.get(key) ?? [], expectation);
    }
  }
}

/** The writes of each key that the ledger says took place. */
function committedByKey({ writes, places }: Expectation): Map<string, Operation[]> {
  const committed = new Map<string, Operation[]>();
  for (const op of places.keys()) {
    const write = writes.get(op);
    if (!write) continue;
    const key = requireField(write, 'key');
    const list = committed.get(key);
    if (list) list.push(write);
    else committed.set(key, [write]);
  }
  return committed;
}

function judgeVersion(
  row: FinalRow,
  committed: readonly Operation[],
  { preloaded, findings }: Expectation,
): void {
  const expected = (preloaded.get(row.key)?.version ?? 0) + committed.length;
  if (row.version === expected) return;
  findings.add(
    'write-half-present',
    committed.slice(-OPERATIONS_NAMED),
    () =>
      `key ${row.key}: the row on ${row.shard} is at version ${row.version}, but by the ledger ` +
      `${committed.length} writes make it version ${expected}`,
  );
}

function judgeRowPlaces(
  key: string,
  rows: readonly FinalRow[],
  { contents, findings }: Expectation,
): void {
  const shards = rows.map((row) => row.shard).join(', ');
  if (rows.length > 1) {
    findings.add('row-duplicated', [], () => `key ${key}: there are rows on ${shards}`);
  } else if (shards !== contents.owner(key)) {
    findings.add(
      'row-misplaced',
      [],
      () => `key ${key}: its row is on ${shards}, but ${contents.owner(key)} owns it`,
    );
  }
}

function judgeRow(
  row: FinalRow,
  maker: Operation | undefined,
  newest: Operation | undefined,
  { places, preloaded, findings }: Expectation,
): void {
  const what = `key ${row.key}: the row on ${row.shard} holds "${row.value}", version ${row.version}`;
  const loaded = preloaded.get(row.key);
  const isLoaded = loaded?.value === row.value && loaded.version === row.version;
  if (newest && row.version < requireField(newest, 'version')) {
    findings.add(
      'row-outdated',
      [...(maker ? [maker] : []), newest],
      () =>
        `${what}, but ${describeOperation(newest)} was acknowledged with version ` +
        `${newest.version}`,
    );
  }
  if (isLoaded) return;
  if (maker?.key !== row.key || (maker.version !== undefined && maker.version !== row.version)) {
    const said = maker ? `, but ${describeOperation(maker)} made something else` : '';
    findings.add('row-unexplained', maker ? [maker] : [], () => `${what}, made by nobody${said}`);
    return;
  }
  if (maker.outcome === 'fail') {
    findings.add(
      'failed-write-present',
      [maker],
      () => `${what}, of ${describeOperation(maker)}, which had certainly failed`,
    );
  } else if (!places.has(maker.op)) {
    findings.add(
      'write-half-present',
      [maker],
      () => `${what}, of ${describeOperation(maker)}, but the ledger row of that is missing`,
    );
  }
}

function newestAcknowledged(writes: Iterable<Operation>): Map<string, Operation> {
  const newest = new Map<string, Operation>();
  for (const write of writes) {
    if (write.outcome !== 'ok') continue;
    const key = requireField(write, 'key');
    const best = newest.get(key);
    if (!best || requireField(write, 'version') > requireField(best, 'version')) {
      newest.set(key, write);
    }
  }
  return newest;
}

function makersByValue(writes: Iterable<Operation>): Map<string, Operation> {
  const makers = new Map<string, Operation>();
  for (const write of writes) {
    const value = requireField(write, 'value');
    const twin = makers.get(value);
    if (twin) {
      throw new MalformedHistoryError(
        `${describeOperation(write)} and ${describeOperation(twin)} both wrote ${value}: ` +
          'values must be unique',
      );
    }
    makers.set(value, write);
  }
  return makers;
}

function partsOf(write: Operation): readonly string[] {
  return write.parts ?? [''];
}

function shardsOf(found: ReadonlyMap<string, readonly LedgerRow[]>): string {
  const shards = [...found.values()].flatMap((rows) => rows.map((row) => row.shard));
  return [...new Set(shards)].join(', ');
}
