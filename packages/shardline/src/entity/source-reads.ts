import type { LayerContext } from '../layer-context.js';
import { Batcher } from './batch.js';
import type { Key } from './entity.js';
import type { EntitySource } from './entity-source.js';
import type { EntityNames } from './names.js';
import { MAX_BATCH } from './row-loader.js';
import { type Columns, type RowName, selectMany } from './statements.js';

/** What reads at the source need. */
export interface SourceReadsParts<Row> {
  readonly context: LayerContext;
  readonly names: EntityNames;
  readonly source: EntitySource;
  readonly check: (row: Columns) => Promise<Row>;
}

/** Stands for "no session" among those who share a batch. */
const NOBODY = {};

/**
 * Reads of rows at their source, in the caller's session. What one session asks for in one tick is one
 * statement per shard; sessions do not share one, since each has floors of its own.
 */
export class SourceReads<Row extends object> {
  readonly #parts: SourceReadsParts<Row>;
  readonly #batchers = new WeakMap<object, Batcher<RowName, Row>>();

  constructor(parts: SourceReadsParts<Row>) {
    this.#parts = parts;
  }

  read(name: RowName): Promise<Row | undefined> {
    const owner = this.#parts.context.session() ?? NOBODY;
    let batcher = this.#batchers.get(owner);
    if (batcher === undefined) {
      const { names } = this.#parts;
      batcher = new Batcher({
        maxBatch: MAX_BATCH,
        identityOf: (one) => names.cacheKey(one),
        loadMany: (wanted) => this.#readMany(wanted),
      });
      this.#batchers.set(owner, batcher);
    }
    return batcher.load(name);
  }

  async #readMany(wanted: readonly RowName[]): Promise<Map<string, Row>> {
    const { context, names, source, check } = this.#parts;
    const { key, id, entity } = names.table;
    const rows = await context.call(`Reading '${entity}'`, (call) =>
      source.read(
        wanted.map((name) => name.key as Key),
        selectMany(names.table),
        id === undefined ? [] : [wanted.map((name) => plain(name.id))],
        key,
        call,
      ),
    );
    const found = new Map<string, Row>();
    const asked = new Set(wanted.map((name) => names.cacheKey(name)));
    for (const row of rows) {
      const identity = names.cacheKey(names.ofRow(row));
      if (asked.has(identity) && !found.has(identity)) found.set(identity, await check(row));
    }
    return found;
  }
}

/** An array of big integers goes to the server as decimal texts. */
function plain(value: unknown): unknown {
  return typeof value === 'bigint' ? String(value) : value;
}
