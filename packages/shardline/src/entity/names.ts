import { layerError } from '../errors.js';
import { hashOf } from '../session/open-session.js';
import type { EntityCallOptions, Key } from './entity.js';
import type { Columns, EntityTable, RowName } from './statements.js';

/**
 * How the rows of an entity are named: in calls, in rows, in the cache, in sessions. Pure.
 *
 * One row has one name, however its key is written: `42`, `42n` and `'42'` are the same, and so are a uuid
 * in capitals and one without.
 */
export class EntityNames {
  readonly table: EntityTable;
  readonly #canonical: (key: Key) => string;

  /** @param canonical the one text of a key, or a refusal of what is none. */
  constructor(table: EntityTable, canonical: (key: Key) => string) {
    this.table = table;
    this.#canonical = canonical;
  }

  /** The arguments of `get`: a key, an id where the entity has one, and options. */
  ofArguments(args: readonly unknown[]): { name: RowName; options: EntityCallOptions } {
    const hasId = this.table.id !== undefined;
    const [key, second, third] = args;
    const options = (hasId ? third : second) as EntityCallOptions | undefined;
    return { name: this.of(key, hasId ? second : undefined), options: options ?? {} };
  }

  /** A name as it is written in lists: a key, or a pair of key and id. */
  ofPair(name: unknown): RowName {
    return Array.isArray(name) ? this.of(name[0], name[1]) : this.of(name, undefined);
  }

  /** @throws ShardlineError `ENTITY_KEY_MISSING`. */
  of(key: unknown, id: unknown): RowName {
    if (key === undefined || key === null) throw this.#missing(this.table.key);
    if (this.table.id !== undefined && (id === undefined || id === null)) {
      throw this.#missing(this.table.id);
    }
    return { key, id };
  }

  ofRow(row: Columns): RowName {
    const { key, id } = this.table;
    return { key: row[key], id: id === undefined ? undefined : row[id] };
  }

  /** The name of a row that is to be inserted; its id may be left to the database. */
  ofInsert(row: Columns): RowName {
    const name = this.ofRow(row);
    if (name.key === undefined || name.key === null) throw this.#missing(this.table.key);
    return name;
  }

  /** Whether a row, perhaps of somebody's own SELECT, has the columns that name it. */
  isNamed(row: Columns): boolean {
    const { key, id } = this.ofRow(row);
    const hasKey = key !== undefined && key !== null;
    return hasKey && (this.table.id === undefined || (id !== undefined && id !== null));
  }

  /** The one text of a key. */
  keyOf(key: unknown): string {
    return this.#canonical(key as Key);
  }

  /** The key in the cache. With an id it has two parts, and a colon within one cannot make two names one. */
  cacheKey({ key, id }: RowName): string {
    const text = this.#canonical(key as Key);
    return this.table.id === undefined ? text : `${part(text)}:${part(String(id))}`;
  }

  /** The row in a session. */
  hash(cacheKey: string): string {
    return hashOf(`${this.table.entity}\0${cacheKey}`);
  }

  #missing(column: string) {
    const { entity } = this.table;
    return layerError('ENTITY_KEY_MISSING', `A call of '${entity}' has no value for '${column}'.`, {
      details: { entity, column },
    });
  }
}

function part(text: string): string {
  return text.replaceAll('%', '%25').replaceAll(':', '%3A');
}
