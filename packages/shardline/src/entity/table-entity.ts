import type { CacheNamespace } from '@shardline/cache';
import { abortedError } from '@shardline/core';
import type { ScatterOptions, ScatterRows } from '@shardline/shard-router';
import type { StandardSchemaV1 } from '@standard-schema/spec';
import type pg from 'pg';
import type { RowRules } from '../invalidation/row-rules.js';
import type { LayerContext } from '../layer-context.js';
import type { OpenTransaction } from '../transaction/open-transaction.js';
import type { Transactions } from '../transaction/transactions.js';
import { CachedRows } from './cached-rows.js';
import type { Entity, EntityCallOptions, Key, ListOptions } from './entity.js';
import type { EntityLimits } from './entity-limits.js';
import type { EntitySource } from './entity-source.js';
import { EntityWrites } from './entity-writes.js';
import { EntityNames } from './names.js';
import type { RecentWrites } from './recent-writes.js';
import { RowFill } from './row-fill.js';
import { type CachedRow, RowLoader } from './row-loader.js';
import { checkRow } from './row-schema.js';
import { SourceReads } from './source-reads.js';
import {
  type Columns,
  deleteOne,
  type EntityTable,
  insertOne,
  type RowName,
  selectList,
  selectOne,
  update,
} from './statements.js';

/** What an entity is made of. */
export interface TableEntityParts<Row extends object> {
  readonly context: LayerContext;
  readonly transactions: Transactions;
  readonly table: EntityTable;
  readonly source: EntitySource;
  readonly schema: StandardSchemaV1<unknown, Row> | undefined;
  readonly cache: CacheNamespace<CachedRow<Row>> | undefined;
  /** Rows that are written are cached as they are stored, not only invalidated. */
  readonly cachesWrites: boolean;
  readonly recentWrites: RecentWrites | undefined;
  readonly limits: EntityLimits;
  readonly rules: RowRules | undefined;
  /** Patterns or tags make rows of this entity stale, which leave no mark for loads. */
  readonly isMadeStaleByPattern: boolean;
}

type Name = Key | readonly [key: Key, id: Key];

const DEFAULT_LIST_ROWS = 1000;

/** An entity over a table. */
export class TableEntity<Row extends object> implements Entity<Row, Key, Key> {
  readonly name: string;
  readonly #parts: TableEntityParts<Row>;
  readonly #names: EntityNames;
  readonly #cached: CachedRows<Row> | undefined;
  readonly #reads: SourceReads<Row>;
  readonly #writes: EntityWrites;

  constructor(parts: TableEntityParts<Row>) {
    const { context, table, source, cache, rules, transactions } = parts;
    this.#parts = parts;
    this.name = table.entity;
    const names = new EntityNames(table, (key) => source.canonical(key));
    this.#names = names;
    this.#reads = new SourceReads({ context, names, source, check: (row) => this.#checked(row) });
    this.#writes = new EntityWrites({
      context,
      names,
      source,
      rules,
      transactions,
      isCached: cache !== undefined,
      fill:
        cache === undefined || !parts.cachesWrites
          ? undefined
          : new RowFill<object>({
              context,
              names,
              source,
              // What it stores has been checked to be a row.
              cache: cache as unknown as CacheNamespace<CachedRow<object>>,
              check: (row) => this.#checked(row),
            }),
    });
    this.#cached = cache === undefined ? undefined : this.#cachedRows(cache);
  }

  get(...args: readonly unknown[]): Promise<Row | undefined> {
    // Not an async function: a row that is remembered costs one promise.
    try {
      const { name, options } = this.#names.ofArguments(args);
      return this.#get(name, options.signal);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  async getMany(
    names: readonly Name[],
    { signal }: EntityCallOptions = {},
  ): Promise<(Row | undefined)[]> {
    return Promise.all(names.map((name) => this.#get(this.#names.ofPair(name), signal)));
  }

  async list(key: Key, options: ListOptions = {}): Promise<Row[]> {
    const { table, source } = this.#parts;
    const { orderBy = table.id ?? table.key, direction = 'asc' } = options;
    const limit = options.limit ?? DEFAULT_LIST_ROWS;
    const { text, values } = selectList(table, key, { by: orderBy, direction, limit });
    source.canonical(key);
    const rows = await this.#read(key, text, values, options.signal);
    return Promise.all(rows.map((row) => this.#checked(row)));
  }

  async query<Result extends pg.QueryResultRow>(
    key: Key,
    text: string,
    values: readonly unknown[] = [],
    { signal }: EntityCallOptions = {},
  ): Promise<Result[]> {
    return (await this.#read(key, text, values, signal)) as Result[];
  }

  scatter<Result extends object>(
    text: string,
    values: readonly unknown[] = [],
    options: ScatterOptions = {},
  ): ScatterRows<Result> {
    return this.#parts.source.scatter<Result>(text, values, options);
  }

  async insert(row: Partial<Row>, { signal }: EntityCallOptions = {}): Promise<Row> {
    const columns = row as Columns;
    const name = this.#names.ofInsert(columns);
    await this.#limitWrite(name.key as Key);
    const statement = insertOne(this.#parts.table, columns);
    const stored = await this.#admit(() =>
      this.#writes.write('store', name, statement, columns, signal),
    );
    return this.#checked(stored as Columns);
  }

  async insertMany(
    rows: readonly Partial<Row>[],
    { signal }: EntityCallOptions = {},
  ): Promise<number> {
    const columns = rows as readonly Columns[];
    for (const row of columns) {
      const { key } = this.#names.ofInsert(row);
      await this.#limitWrite(key as Key);
    }
    if (columns.length === 0) return 0;
    return this.#admit(() => this.#writes.insertMany(columns, signal));
  }

  async update(
    name: Name,
    changes: Partial<Row>,
    { signal }: EntityCallOptions = {},
  ): Promise<Row | undefined> {
    const row = this.#names.ofPair(name);
    const statement = update(this.#parts.table, row, changes as Columns);
    await this.#limitWrite(row.key as Key);
    const known = { ...(changes as Columns), ...this.#columnsOf(row) };
    const stored = await this.#admit(() =>
      this.#writes.write('store', row, statement, known, signal),
    );
    return stored === undefined ? undefined : this.#checked(stored);
  }

  async delete(name: Name, { signal }: EntityCallOptions = {}): Promise<Row | undefined> {
    const row = this.#names.ofPair(name);
    const statement = deleteOne(this.#parts.table, row);
    await this.#limitWrite(row.key as Key);
    const known = this.#columnsOf(row);
    const stored = await this.#admit(() =>
      this.#writes.write('remove', row, statement, known, signal),
    );
    return stored === undefined ? undefined : this.#checked(stored);
  }

  async invalidate(...args: readonly unknown[]): Promise<void> {
    const { name } = this.#names.ofArguments(args);
    const cacheKey = this.#names.cacheKey(name);
    const transaction = this.#parts.context.transaction();
    if (transaction !== undefined) {
      transaction.invalidate([{ namespace: this.name, keys: [cacheKey] }]);
      return;
    }
    // Who changed it, and where that ended, is not known here: the next load asks a primary.
    await this.#parts.cache?.invalidate(cacheKey, { freshness: 'now' });
    this.#parts.recentWrites?.wrote(cacheKey, 'now');
  }

  #get(name: RowName, signal: AbortSignal | undefined): Promise<Row | undefined> {
    const cacheKey = this.#names.cacheKey(name);
    const { context, limits } = this.#parts;
    if (signal?.aborted)
      return Promise.reject(abortedError(`Reading '${this.name}'`, signal.reason));
    const transaction = context.transaction();
    if (transaction !== undefined) return this.#getInTransaction(transaction, name);
    if (limits.has('reads')) return this.#getLimited(name, cacheKey, signal);
    const row = this.#cached?.peek(cacheKey);
    if (row !== undefined) return Promise.resolve(row);
    return this.#getSlowly(name, cacheKey, signal);
  }

  async #getLimited(
    name: RowName,
    cacheKey: string,
    signal: AbortSignal | undefined,
  ): Promise<Row | undefined> {
    await this.#parts.limits.check('reads', this.#parts.source.canonical(name.key as Key));
    return this.#cached?.peek(cacheKey) ?? this.#getSlowly(name, cacheKey, signal);
  }

  #getSlowly(
    name: RowName,
    cacheKey: string,
    signal: AbortSignal | undefined,
  ): Promise<Row | undefined> {
    const cached = this.#cached;
    return this.#admit(() =>
      cached === undefined ? this.#reads.read(name) : cached.get(name, cacheKey, signal),
    );
  }

  async #getInTransaction(transaction: OpenTransaction, name: RowName): Promise<Row | undefined> {
    const { transactions, source, table } = this.#parts;
    if (source.kind !== 'reference') transactions.join(transaction, source, name.key as Key);
    const { text, values } = selectOne(table, name);
    const { rows } = await transaction.query(text, values);
    return rows[0] === undefined ? undefined : this.#checked(rows[0]);
  }

  /** Rows of the shard of a key, by a statement; a session remembers those that have names. */
  async #read(
    key: Key,
    text: string,
    values: readonly unknown[],
    signal: AbortSignal | undefined,
  ): Promise<Columns[]> {
    const { context, source, transactions, limits } = this.#parts;
    if (limits.has('reads')) await limits.check('reads', source.canonical(key));
    const transaction = context.transaction();
    if (transaction !== undefined) {
      if (source.kind !== 'reference') transactions.join(transaction, source, key);
      return (await transaction.query(text, values)).rows;
    }
    const doing = `Reading '${this.name}'`;
    const { rows } = await this.#admit(() =>
      context.call(doing, (call) => source.query(key, text, values, call), signal),
    );
    this.#remember(rows as Columns[], key);
    return rows as Columns[];
  }

  #remember(rows: readonly Columns[], key: Key): void {
    const session = this.#parts.context.session();
    if (session === undefined || this.#cached === undefined) return;
    const named = rows.filter((row) => this.#names.isNamed(row));
    session.didTouch(
      named.map((row) => this.#names.hash(this.#names.cacheKey(this.#names.ofRow(row)))),
      this.#parts.source.shardOf(key),
    );
  }

  #cachedRows(cache: CacheNamespace<CachedRow<Row>>): CachedRows<Row> {
    const { context, source, recentWrites, isMadeStaleByPattern } = this.#parts;
    const loader = new RowLoader<Row>({
      names: this.#names,
      source,
      floors: context.parts.floors,
      check: (row) => this.#checked(row),
      epoch: context.epoch,
      shardOf: context.parts.sessions.shardOf,
      call: context.call,
      alwaysNow: isMadeStaleByPattern,
    });
    return new CachedRows({
      names: this.#names,
      cache,
      loader,
      recentWrites,
      session: context.session,
      readAtSource: (name) => this.#reads.read(name),
      shardOf: (name) => source.shardOf(name.key as Key),
    });
  }

  async #limitWrite(key: Key): Promise<void> {
    const { limits, source } = this.#parts;
    if (limits.has('writes')) await limits.check('writes', source.canonical(key));
  }

  #columnsOf({ key, id }: RowName): Columns {
    const { table } = this.#parts;
    return table.id === undefined ? { [table.key]: key } : { [table.key]: key, [table.id]: id };
  }

  #checked(row: Columns): Promise<Row> {
    return checkRow(this.name, this.#parts.schema, row);
  }

  #admit<T>(work: () => Promise<T>): Promise<T> {
    return this.#parts.context.parts.admission.run(work);
  }
}
