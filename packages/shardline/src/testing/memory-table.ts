import type { EntityNames } from '../entity/names.js';
import type { Columns, RowName } from '../entity/statements.js';

/** The rows of one entity, in the order in which they came. */
export class MemoryTable {
  readonly #names: EntityNames;
  #rows = new Map<string, Columns>();

  constructor(names: EntityNames) {
    this.#names = names;
  }

  get(name: RowName): Columns | undefined {
    const row = this.#rows.get(this.#names.cacheKey(name));
    return row === undefined ? undefined : { ...row };
  }

  /** Rows of one key. */
  ofKey(key: unknown): Columns[] {
    const wanted = this.#names.keyOf(key);
    return [...this.#rows.values()]
      .filter((row) => this.#names.keyOf(this.#names.ofRow(row).key) === wanted)
      .map((row) => ({ ...row }));
  }

  /** @throws an error with PostgreSQL's code of a duplicate key. */
  insert(row: Columns): void {
    const cacheKey = this.#names.cacheKey(this.#names.ofRow(row));
    if (this.#rows.has(cacheKey)) {
      const { entity } = this.#names.table;
      const message = `duplicate key value: '${entity}' has this row already`;
      throw Object.assign(new Error(message), { code: '23505' });
    }
    this.#rows.set(cacheKey, { ...row });
  }

  update(name: RowName, changes: Columns): Columns | undefined {
    const cacheKey = this.#names.cacheKey(name);
    const row = this.#rows.get(cacheKey);
    if (row === undefined) return undefined;
    const changed = { ...row, ...changes };
    this.#rows.set(cacheKey, changed);
    return { ...changed };
  }

  delete(name: RowName): Columns | undefined {
    const cacheKey = this.#names.cacheKey(name);
    const row = this.#rows.get(cacheKey);
    this.#rows.delete(cacheKey);
    return row;
  }

  /** What brings everything back as it is now. */
  snapshot(): () => void {
    const rows = new Map(this.#rows);
    return () => {
      this.#rows = rows;
    };
  }
}
