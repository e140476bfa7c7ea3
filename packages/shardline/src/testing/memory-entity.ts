import { abortedError } from '@shardline/core';
import type { ScatterRows } from '@shardline/shard-router';
import type { StandardSchemaV1 } from '@standard-schema/spec';
import type { Entity, EntityCallOptions, Key, ListOptions } from '../entity/entity.js';
import type { EntityLimits } from '../entity/entity-limits.js';
import type { EntityNames } from '../entity/names.js';
import { checkRow } from '../entity/row-schema.js';
import { type Columns, type RowName, update } from '../entity/statements.js';
import { layerError } from '../errors.js';
import type { MemoryQuestion } from './memory-layer.js';
import type { MemoryTable } from './memory-table.js';
import type { MemoryTransactions } from './memory-transactions.js';

/** What an entity in memory is made of. */
export interface MemoryEntityParts {
  readonly names: EntityNames;
  readonly table: MemoryTable;
  readonly transactions: MemoryTransactions;
  readonly schema: StandardSchemaV1<unknown, object> | undefined;
  readonly limits: EntityLimits;
  readonly keyspace: string | undefined;
  /** What the database would fill in. */
  readonly defaults: () => Columns;
  readonly answers: ((question: MemoryQuestion) => readonly Columns[]) | undefined;
  /** Told of each row that was written. */
  readonly onWrite: (row: Columns) => Promise<void>;
}

type Name = Key | readonly [key: Key, id: Key];

/** An entity whose rows are in this process alone. */
export class MemoryEntity implements Entity<object, Key, Key> {
  readonly name: string;
  readonly #parts: MemoryEntityParts;

  constructor(parts: MemoryEntityParts) {
    this.#parts = parts;
    this.name = parts.names.table.entity;
  }

  async get(...args: readonly unknown[]): Promise<object | undefined> {
    const { name, options } = this.#parts.names.ofArguments(args);
    return this.#get(name, options);
  }

  async getMany(
    names: readonly Name[],
    options: EntityCallOptions = {},
  ): Promise<(object | undefined)[]> {
    return Promise.all(names.map((name) => this.#get(this.#parts.names.ofPair(name), options)));
  }

  async list(key: Key, options: ListOptions = {}): Promise<object[]> {
    const { table, names } = this.#parts;
    const {
      orderBy = names.table.id ?? names.table.key,
      direction = 'asc',
      limit = 1000,
    } = options;
    await this.#begin('reads', key, options);
    const sign = direction === 'asc' ? 1 : -1;
    const rows = table.ofKey(key).sort((a, b) => sign * compare(a[orderBy], b[orderBy]));
    return Promise.all(rows.slice(0, limit).map((row) => this.#checked(row)));
  }

  async query<Result>(
    key: Key,
    text: string,
    values: readonly unknown[] = [],
    options: EntityCallOptions = {},
  ): Promise<Result[]> {
    await this.#begin('reads', key, options);
    return this.#answer(text, values) as Result[];
  }

  scatter<Result extends object>(
    text: string,
    values: readonly unknown[] = [],
  ): ScatterRows<Result> {
    const rows = this.#answer(text, values);
    const stream = {
      all: async () => [...rows],
      async *[Symbol.asyncIterator]() {
        yield* rows;
      },
    };
    return stream as unknown as ScatterRows<Result>;
  }

  async insert(row: object, options: EntityCallOptions = {}): Promise<object> {
    const { names, table, defaults } = this.#parts;
    const stored = { ...defaults(), ...(row as Columns) };
    const name = names.ofInsert(stored);
    await this.#begin('writes', name.key as Key, options);
    return this.#write(name.key as Key, stored, () => {
      table.insert(stored);
      return stored;
    });
  }

  async insertMany(rows: readonly object[], options: EntityCallOptions = {}): Promise<number> {
    for (const row of rows) await this.insert(row, options);
    return rows.length;
  }

  async update(
    pair: Name,
    changes: object,
    options: EntityCallOptions = {},
  ): Promise<object | undefined> {
    const { names, table } = this.#parts;
    const name = names.ofPair(pair);
    // Refuses a change of the key, as the statement would.
    update(names.table, name, changes as Columns);
    await this.#begin('writes', name.key as Key, options);
    const change = () => table.update(name, changes as Columns);
    return this.#write(name.key as Key, undefined, change);
  }

  async delete(pair: Name, options: EntityCallOptions = {}): Promise<object | undefined> {
    const { names, table } = this.#parts;
    const name = names.ofPair(pair);
    await this.#begin('writes', name.key as Key, options);
    return this.#write(name.key as Key, undefined, () => table.delete(name));
  }

  async invalidate(...args: readonly unknown[]): Promise<void> {
    this.#parts.names.ofArguments(args);
  }

  async #get(name: RowName, options: EntityCallOptions): Promise<object | undefined> {
    await this.#begin('reads', name.key as Key, options);
    const row = this.#parts.table.get(name);
    return row === undefined ? undefined : this.#checked(row);
  }

  async #begin(kind: 'reads' | 'writes', key: Key, { signal }: EntityCallOptions): Promise<void> {
    const { names, limits, transactions, keyspace } = this.#parts;
    if (signal?.aborted) throw abortedError(`A call of '${this.name}'`, signal.reason);
    const canonical = names.keyOf(key);
    transactions.join(keyspace, key);
    await limits.check(kind, canonical);
  }

  async #write<Row extends Columns | undefined>(
    key: Key,
    _row: Columns | undefined,
    change: () => Row,
  ): Promise<object> {
    const { transactions, keyspace, onWrite } = this.#parts;
    const row = await transactions.write(keyspace, key, change);
    if (row === undefined) return undefined as never;
    await onWrite(row);
    return this.#checked(row);
  }

  #checked(row: Columns): Promise<object> {
    return checkRow(this.name, this.#parts.schema, row);
  }

  #answer(text: string, values: readonly unknown[]): readonly Columns[] {
    const { answers } = this.#parts;
    if (answers !== undefined) return answers({ entity: this.name, text, values });
    throw layerError(
      'MEMORY_LAYER_UNSUPPORTED',
      `The in-memory layer does not run SQL, and '${this.name}' was asked for: ${text.slice(0, 80)}`,
    );
  }
}

/** As PostgreSQL orders: nulls last. */
function compare(a: unknown, b: unknown): number {
  if (a === b) return 0;
  if (a === null || a === undefined) return 1;
  if (b === null || b === undefined) return -1;
  return (a as number) < (b as number) ? -1 : 1;
}
