import type { CacheNamespace } from '@shardline/cache';
import { ShardlineError } from '@shardline/core';
import type { KeyspaceRouter } from '@shardline/shard-router';
import type { StandardSchemaV1 } from '@standard-schema/spec';
import { layerErrors } from '../errors.js';
import { Batcher } from './batch.js';
import {
  type Columns,
  deleteOne,
  type EntityTable,
  insertOne,
  type RowName,
  type Statement,
  selectMany,
  update,
} from './statements.js';

/** What a key may be written as. */
export type Key = string | number | bigint;

/** What an entity needs of a keyspace. */
export type EntityShards = Pick<KeyspaceRouter, 'query' | 'byKeys' | 'insertMany'>;

/** What an entity is made of. */
export interface EntityParts<Row> {
  readonly table: EntityTable;
  readonly shards: EntityShards;
  readonly schema: StandardSchemaV1<unknown, Row> | undefined;
  readonly cache: CacheNamespace<Row> | undefined;
}

/** Most rows that one statement asks a shard for. */
const MAX_BATCH = 1000;

/**
 * Rows of one table, found by their key wherever they live.
 *
 * Reads go through the cache, and what several callers ask for in one tick is one statement per shard.
 * Writes go to the shard that owns the key; once the shard has acknowledged them, the cached row is
 * invalidated in every tier and process, and only then does the call return.
 */
export class Entity<Row extends object> {
  readonly #table: EntityTable;
  readonly #shards: EntityShards;
  readonly #schema: StandardSchemaV1<unknown, Row> | undefined;
  readonly #cache: CacheNamespace<Row> | undefined;
  readonly #batcher: Batcher<RowName, Row>;

  /** @internal Made by createDataLayer(). */
  constructor({ table, shards, schema, cache }: EntityParts<Row>) {
    this.#table = table;
    this.#shards = shards;
    this.#schema = schema;
    this.#cache = cache;
    this.#batcher = new Batcher({
      maxBatch: MAX_BATCH,
      identityOf: (name) => this.#cacheKey(name),
      loadMany: (names) => this.#selectMany(names),
    });
  }

  /**
   * One row; undefined if there is none.
   *
   * @param key value of the key column.
   * @param id value of the id column, for entities that have one.
   * @throws ShardlineError `ENTITY_KEY_MISSING`, `ENTITY_ROW_INVALID`; else what router and cache throw.
   */
  async get(key: Key, id?: Key): Promise<Row | undefined> {
    const name = this.#nameOf(key, id);
    if (this.#cache === undefined) return this.#batcher.load(name);
    return this.#cache.get(this.#cacheKey(name), { load: () => this.#batcher.load(name) });
  }

  /** Rows in the order of their names; undefined where there is none. */
  getMany(names: readonly (Key | readonly [key: Key, id: Key])[]): Promise<(Row | undefined)[]> {
    return Promise.all(
      names.map((name) =>
        Array.isArray(name) ? this.get(name[0], name[1]) : this.get(name as Key),
      ),
    );
  }

  /**
   * Inserts a row and returns it as stored, defaults filled in.
   *
   * @throws ShardlineError `ENTITY_KEY_MISSING`; else what the router throws.
   */
  async insert(row: Partial<Row>): Promise<Row> {
    const columns = row as Columns;
    const { key } = this.#nameOfInsert(columns);
    const { rows } = await this.#shards.query(
      key as Key,
      ...argumentsOf(insertOne(this.#table, columns)),
    );
    const stored = rows[0] as Columns;
    // A key that was asked for in vain may be remembered as absent.
    await this.#cache?.invalidate(this.#cacheKey(this.#nameOfRow(stored)));
    return this.#checked(stored);
  }

  /**
   * Inserts rows that have the same columns, each on the shard of its key, in batches. It is no
   * transaction: what one shard has stored stays if another refuses its part.
   *
   * @returns how many rows were stored.
   */
  async insertMany(rows: readonly Partial<Row>[]): Promise<number> {
    const names = (rows as readonly Columns[]).map((row) => this.#nameOfInsert(row));
    const stored = await this.#shards.insertMany(this.#table.table, rows as readonly Columns[]);
    // Ids that the database has made up were never asked for, so nothing can be cached under them.
    const known = names.filter(({ id }) => this.#table.id === undefined || id !== undefined);
    await this.#cache?.invalidate(known.map((name) => this.#cacheKey(name)));
    return stored;
  }

  /**
   * Changes columns of one row and returns it as stored; undefined if there is no such row.
   *
   * @throws ShardlineError `ENTITY_KEY_IMMUTABLE`; else what the router throws.
   */
  async update(
    name: Key | readonly [key: Key, id: Key],
    changes: Partial<Row>,
  ): Promise<Row | undefined> {
    const row = this.#nameOfPair(name);
    return this.#write(row, update(this.#table, row, changes as Columns));
  }

  /** Deletes one row and returns it as it was; undefined if there was none. */
  async delete(name: Key | readonly [key: Key, id: Key]): Promise<Row | undefined> {
    const row = this.#nameOfPair(name);
    return this.#write(row, deleteOne(this.#table, row));
  }

  async #write(name: RowName, statement: Statement): Promise<Row | undefined> {
    const { rows } = await this.#shards.query(name.key as Key, ...argumentsOf(statement));
    await this.#cache?.invalidate(this.#cacheKey(name));
    const row = rows[0] as Columns | undefined;
    return row === undefined ? undefined : this.#checked(row);
  }

  async #selectMany(names: readonly RowName[]): Promise<Map<string, Row>> {
    const params = this.#table.id === undefined ? [] : [names.map(({ id }) => textOf(id))];
    const rows = await this.#shards.byKeys<Columns>(
      names.map(({ key }) => key as Key),
      selectMany(this.#table),
      { keyColumn: this.#table.key, params },
    );
    const found = new Map<string, Row>();
    for (const row of rows.flat()) {
      const identity = this.#cacheKey(this.#nameOfRow(row));
      if (!found.has(identity)) found.set(identity, await this.#checked(row));
    }
    return found;
  }

  async #checked(row: Columns): Promise<Row> {
    if (this.#schema === undefined) return row as Row;
    const result = await this.#schema['~standard'].validate(row);
    if (result.issues === undefined) return result.value;
    const faults = result.issues.map(
      ({ message, path }) => `${path?.map(String).join('.') ?? 'row'}: ${message}`,
    );
    throw new ShardlineError(
      layerErrors.ENTITY_ROW_INVALID,
      `A row of '${this.#table.entity}' does not fit its schema: ${faults.join('; ')}.`,
      { details: { entity: this.#table.entity, faults } },
    );
  }

  #nameOfPair(name: Key | readonly [key: Key, id: Key]): RowName {
    return Array.isArray(name)
      ? this.#nameOf(name[0], name[1])
      : this.#nameOf(name as Key, undefined);
  }

  #nameOfRow(row: Columns): RowName {
    return {
      key: row[this.#table.key],
      id: this.#table.id === undefined ? undefined : row[this.#table.id],
    };
  }

  #nameOfInsert(row: Columns): RowName {
    const name = this.#nameOfRow(row);
    if (name.key === undefined || name.key === null) throw this.#missing(this.#table.key);
    return name;
  }

  #nameOf(key: Key, id: Key | undefined): RowName {
    if (key === undefined || key === null) throw this.#missing(this.#table.key);
    if (this.#table.id !== undefined && id === undefined) throw this.#missing(this.#table.id);
    return { key, id };
  }

  #missing(column: string): ShardlineError {
    const { entity } = this.#table;
    return new ShardlineError(
      layerErrors.ENTITY_KEY_MISSING,
      `A call of '${entity}' has no value for '${column}'.`,
      { details: { entity, column } },
    );
  }

  /** The key alone, or key and id; a colon inside the key cannot make two names one. */
  #cacheKey({ key, id }: RowName): string {
    const text = encodeURIComponent(String(key));
    return this.#table.id === undefined ? text : `${text}:${encodeURIComponent(String(id))}`;
  }
}

function argumentsOf({ text, values }: Statement): [string, readonly unknown[]] {
  return [text, values];
}

/** An array of big integers goes to the server as decimal texts. */
function textOf(value: unknown): unknown {
  return typeof value === 'bigint' ? String(value) : value;
}
