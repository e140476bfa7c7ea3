import type { InvalidationRecord, InvalidationReport } from '@shardline/cache';
import { isShardlineError } from '@shardline/core';
import type { OutboxEntry } from '../invalidation/invalidations.js';
import type { RowRules } from '../invalidation/row-rules.js';
import type { LayerContext } from '../layer-context.js';
import type { OpenSession } from '../session/open-session.js';
import type { OpenTransaction } from '../transaction/open-transaction.js';
import type { Transactions } from '../transaction/transactions.js';
import type { Key } from './entity.js';
import type { EntitySource } from './entity-source.js';
import type { EntityNames } from './names.js';
import type { RowFill, Written } from './row-fill.js';
import type { CachedRow } from './row-loader.js';
import {
  type Columns,
  insertAll,
  OUTBOX_COLUMN,
  POSITION_COLUMN,
  type RowName,
  type Statement,
  withOutbox,
  withPosition,
} from './statements.js';

/** What writes of an entity need. */
export interface EntityWritesParts {
  readonly context: LayerContext;
  readonly names: EntityNames;
  readonly source: EntitySource;
  readonly rules: RowRules | undefined;
  readonly transactions: Transactions;
  readonly isCached: boolean;
  /** Caches the rows that writes return; undefined if they are only invalidated. */
  readonly fill: RowFill<object> | undefined;
}

/** What a write leaves: the row that it returns, or none. */
export type Deed = 'store' | 'remove';

/** A row that was cached by its write, and whether the old one is gone everywhere. */
interface FilledKey {
  readonly cacheKey: string;
  readonly report: InvalidationReport;
}

/** Errors after which a write may have been done all the same. */
const UNKNOWN = ['POOL_OUTCOME_UNKNOWN', 'OUTCOME_UNKNOWN', 'DEADLINE_EXCEEDED', 'ABORTED'];
/** The protocol counts parameters in sixteen bits. */
const MAX_PARAMETERS = 60_000;
/** How often rows are placed anew that moved while they were being inserted. */
const MAX_PLACEMENTS = 20;

/**
 * Writes of one entity. Each is one statement where it can be: the change and, with an outbox, the row that
 * says what the change has made stale. Where that is only known from the row as stored, the two are a
 * transaction. After the commit the row as stored takes the place of the cached one (`row-fill.ts`), everything else
 * that is stale is invalidated, and only then does the write return.
 */
export class EntityWrites {
  readonly #parts: EntityWritesParts;

  constructor(parts: EntityWritesParts) {
    this.#parts = parts;
  }

  /** @param known columns of the row that are known before it is stored. */
  async write(
    deed: Deed,
    name: RowName,
    statement: Statement,
    known: Columns,
    signal: AbortSignal | undefined,
  ): Promise<Columns | undefined> {
    const { context, rules, source } = this.#parts;
    const transaction = context.transaction();
    if (transaction !== undefined) return this.#inTransaction(transaction, name, statement);
    const isPlain = rules === undefined || rules.isEmpty || rules.knowsEnough(known);
    if (context.parts.writesOutbox && !isPlain && source.keyspace !== undefined) {
      return this.#inTransactionOfItsOwn(source.keyspace, name, statement, signal);
    }
    return this.#alone(deed, name, statement, known, signal);
  }

  /** Inserts rows of the same columns, by shard. */
  async insertMany(rows: readonly Columns[], signal: AbortSignal | undefined): Promise<number> {
    const { context, source } = this.#parts;
    const transaction = context.transaction();
    if (transaction !== undefined) return this.#insertIn(transaction, rows);
    if (source.keyspace === undefined) {
      let stored = 0;
      for (const batch of batchesOf(rows)) {
        const statement = insertAll(this.#parts.names.table, batch);
        await this.#writeAll(batch, statement, signal);
        stored += batch.length;
      }
      return stored;
    }
    return this.#insertByShard(source.keyspace, rows, signal);
  }

  async #alone(
    deed: Deed,
    name: RowName,
    statement: Statement,
    known: Columns,
    signal: AbortSignal | undefined,
  ): Promise<Columns | undefined> {
    const { context, fill } = this.#parts;
    const before = this.#recordsOf([known]);
    const usesOutbox = context.parts.writesOutbox && before.length > 0;
    const whole = usesOutbox
      ? withOutbox(statement, context.parts.name, JSON.stringify(before))
      : statement;
    const session = context.sessionOrNew();
    const cacheKey = deed === 'store' ? fill?.keyOf(name) : undefined;
    if (fill === undefined || cacheKey === undefined) {
      const written = await this.#run(session, name, whole, before, signal);
      await this.#afterWrite(this.#recordsAfter(before, written), entriesOf(written));
      this.#noteWritten(session, name, written.stored ?? known, written.shard);
      return written.stored;
    }
    const write = () => this.#run(session, name, withPosition(whole), before, signal);
    const { written, entry, report, failure } = await fill.run(cacheKey, session, write);
    const isOther = (record: InvalidationRecord) => !this.#isOf(record, cacheKey);
    const others = this.#recordsAfter(before, written).filter(isOther);
    await this.#afterWrite(others, entriesOf(written), { cacheKey, report });
    if (failure !== undefined) throw failure;
    if (entry === undefined)
      this.#noteWritten(session, name, written.stored ?? known, written.shard);
    else this.#noteSeen(session, cacheKey, entry);
    return written.stored;
  }

  async #run(
    session: OpenSession,
    name: RowName,
    { text, values }: Statement,
    records: readonly InvalidationRecord[],
    signal: AbortSignal | undefined,
  ): Promise<Written> {
    const { context, source, names } = this.#parts;
    const epoch = context.epoch();
    const doing = `Writing '${names.table.entity}'`;
    try {
      const { rows } = await session.run(() =>
        context.call(doing, (call) => source.write(name.key as Key, text, values, call), signal),
      );
      const isCertain = context.epoch() === epoch;
      return writtenOf(rows[0], isCertain ? source.shardOf(name.key as Key) : undefined);
    } catch (error) {
      await this.#onFailure(error, records);
      throw error;
    }
  }

  /** What may have been written must be invalidated as if it had been. */
  async #onFailure(error: unknown, records: readonly InvalidationRecord[]): Promise<void> {
    if (!UNKNOWN.some((code) => isShardlineError(error, code))) return;
    await this.#parts.context.parts.invalidations?.afterUnknown(records);
  }

  async #inTransaction(
    transaction: OpenTransaction,
    name: RowName,
    { text, values }: Statement,
  ): Promise<Columns | undefined> {
    this.#parts.transactions.join(transaction, this.#parts.source, name.key as Key);
    const { rows } = await transaction.query<Record<string, unknown>>(text, values);
    const [stored] = rows;
    if (stored !== undefined) this.#note(transaction, [stored]);
    return stored;
  }

  async #inTransactionOfItsOwn(
    keyspace: string,
    name: RowName,
    statement: Statement,
    signal: AbortSignal | undefined,
  ): Promise<Columns | undefined> {
    const { transactions } = this.#parts;
    const options = signal === undefined ? {} : { signal };
    return transactions.run(
      keyspace,
      name.key as Key,
      (transaction) => this.#inTransaction(transaction, name, statement),
      options,
    );
  }

  async #insertIn(transaction: OpenTransaction, rows: readonly Columns[]): Promise<number> {
    const { names, source, transactions } = this.#parts;
    for (const row of rows) transactions.join(transaction, source, names.ofInsert(row).key as Key);
    for (const batch of batchesOf(rows)) {
      const { text, values } = insertAll(names.table, batch);
      await transaction.query(text, values);
    }
    this.#note(transaction, rows);
    return rows.length;
  }

  /** A transaction for the rows of each shard; rows that have moved meanwhile are placed anew. */
  async #insertByShard(
    keyspace: string,
    rows: readonly Columns[],
    signal: AbortSignal | undefined,
  ): Promise<number> {
    const { names, source, transactions } = this.#parts;
    const options = signal === undefined ? {} : { signal };
    let pending = rows;
    let stored = 0;
    for (let placements = 0; pending.length > 0; placements += 1) {
      const groups = [...byShard(pending, (row) => source.shardOf(names.ofRow(row).key as Key))];
      const outcomes = await Promise.allSettled(
        groups.map((group) =>
          transactions.run(
            keyspace,
            names.ofRow(group[0] as Columns).key as Key,
            (transaction) => this.#insertIn(transaction, group),
            options,
          ),
        ),
      );
      const again: Columns[] = [];
      for (const [at, group] of groups.entries()) {
        const outcome = outcomes[at] as PromiseSettledResult<number>;
        if (outcome.status === 'fulfilled') stored += outcome.value;
        else if (isShardlineError(outcome.reason, 'WRONG_SHARD') && placements < MAX_PLACEMENTS) {
          again.push(...group);
        } else throw outcome.reason;
      }
      pending = again;
    }
    return stored;
  }

  /** Rows that are all in one place, by one statement. */
  async #writeAll(
    rows: readonly Columns[],
    statement: Statement,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    const { context, names, source } = this.#parts;
    const records = this.#recordsOf(rows);
    const session = context.sessionOrNew();
    const name = names.ofInsert(rows[0] as Columns);
    const { shard } = await this.#run(session, name, statement, records, signal);
    await this.#afterWrite(records, []);
    this.#noteAllWritten(session, rows, shard ?? source.shardOf(name.key as Key));
  }

  async #afterWrite(
    records: readonly InvalidationRecord[],
    entries: readonly OutboxEntry[],
    filled?: FilledKey,
  ): Promise<void> {
    if (records.length === 0 && filled === undefined) return;
    const { invalidations } = this.#parts.context.parts;
    await invalidations?.afterWrite(records, entries, filled && this.#named(filled));
  }

  #named({ cacheKey, report }: FilledKey) {
    return { namespace: this.#parts.names.table.entity, key: cacheKey, report };
  }

  #isOf({ namespace, keys }: InvalidationRecord, cacheKey: string): boolean {
    return (
      namespace === this.#parts.names.table.entity && keys?.length === 1 && keys[0] === cacheKey
    );
  }

  #recordsAfter(
    before: readonly InvalidationRecord[],
    { stored }: Written,
  ): readonly InvalidationRecord[] {
    const { rules } = this.#parts;
    // The row itself is named in both; what rules say of it depends on all of its columns.
    const saysMore = stored !== undefined && (before.length === 0 || rules?.isEmpty === false);
    return saysMore ? distinct([...before, ...this.#recordsOf([stored])]) : before;
  }

  #note(transaction: OpenTransaction, rows: readonly Columns[]): void {
    transaction.invalidate(this.#recordsOf(rows));
    for (const hash of this.#hashesOf(rows)) transaction.wrote(hash);
  }

  #noteWritten(
    session: OpenSession,
    { key }: RowName,
    row: Columns,
    shard: string | undefined,
  ): void {
    this.#noteAllWritten(session, [row], shard ?? this.#parts.source.shardOf(key as Key));
  }

  #noteAllWritten(session: OpenSession, rows: readonly Columns[], shard: string): void {
    if (this.#remembers(session)) session.didTouch(this.#hashesOf(rows), shard);
  }

  #noteSeen(session: OpenSession, cacheKey: string, entry: CachedRow<object>): void {
    if (!this.#remembers(session)) return;
    const { mark, systemIdentifier, snapshotXmax } = entry;
    session.see(this.#parts.names.hash(cacheKey), mark, systemIdentifier, snapshotXmax);
  }

  /** A session that was made for this write alone remembers nothing for anybody. */
  #remembers(session: OpenSession): boolean {
    return this.#parts.isCached && this.#parts.context.session() === session;
  }

  #hashesOf(rows: readonly Columns[]): string[] {
    const { names, isCached } = this.#parts;
    if (!isCached) return [];
    return rows
      .filter((row) => names.isNamed(row))
      .map((row) => names.hash(names.cacheKey(names.ofRow(row))));
  }

  /** The rows themselves and what else they make stale; of a row without its id, only the latter. */
  #recordsOf(rows: readonly Columns[]): readonly InvalidationRecord[] {
    const { names, rules, isCached } = this.#parts;
    const keys = rows
      .filter((row) => isCached && names.isNamed(row))
      .map((row) => names.cacheKey(names.ofRow(row)));
    const own = keys.length === 0 ? [] : [{ namespace: names.table.entity, keys }];
    const others = rows.flatMap((row) =>
      rules === undefined || !rules.knowsEnough(row) ? [] : rules.recordsOf(row),
    );
    return distinct([...own, ...others]);
  }
}

function distinct(records: readonly InvalidationRecord[]): readonly InvalidationRecord[] {
  if (records.length < 2) return records;
  return [...new Map(records.map((record) => [JSON.stringify(record), record])).values()];
}

/** Takes what is ours out of a row that was returned. */
function writtenOf(row: Record<string, unknown> | undefined, shard: string | undefined): Written {
  const outboxId = take(row, OUTBOX_COLUMN);
  const position = take(row, POSITION_COLUMN);
  const held = position === undefined ? undefined : positionOf(position);
  return { stored: row, shard, outboxId, held };
}

function take(row: Record<string, unknown> | undefined, column: string): string | undefined {
  const value = row?.[column];
  if (row === undefined || typeof value !== 'string') return undefined;
  delete row[column];
  return value;
}

/** From the timeline and PostgreSQL's way of writing a position, all in hexadecimal. */
function positionOf(text: string): Written['held'] {
  const [timeline = '0', high = '0', low = '0'] = text.split('/');
  return {
    timeline: Number.parseInt(timeline, 16),
    lsn: (BigInt(`0x${high}`) << 32n) | BigInt(`0x${low}`),
  };
}

function entriesOf({ shard, outboxId }: Written): OutboxEntry[] {
  return shard === undefined || outboxId === undefined ? [] : [{ shard, id: outboxId }];
}

function batchesOf(rows: readonly Columns[]): Columns[][] {
  const columns = Object.keys(rows[0] ?? {}).length;
  const size = Math.min(1000, Math.max(1, Math.floor(MAX_PARAMETERS / Math.max(1, columns))));
  const batches: Columns[][] = [];
  for (let at = 0; at < rows.length; at += size) batches.push(rows.slice(at, at + size));
  return batches;
}

function byShard(rows: readonly Columns[], shardOf: (row: Columns) => string) {
  const groups = new Map<string, Columns[]>();
  for (const row of rows) {
    const shard = shardOf(row);
    const group = groups.get(shard);
    if (group === undefined) groups.set(shard, [row]);
    else group.push(row);
  }
  return groups.values();
}
