import type { CacheNamespace, InvalidationReport } from '@shardline/cache';
import type { LayerContext } from '../layer-context.js';
import type { OpenSession } from '../session/open-session.js';
import type { RowMark } from '../session/row-floors.js';
import type { EntitySource } from './entity-source.js';
import type { EntityNames } from './names.js';
import type { CachedRow } from './row-loader.js';
import type { Columns, RowName } from './statements.js';

/**
 * What a write returned, put into the cache in place of what was there before it.
 *
 * The row that a write gives back is what the next reader would load, so he need not. What decides whether it may be
 * cached is the cache (`update`): nobody else's change of the row may overlap. What sessions judge it by is its mark:
 *
 * - `from` is where the log stood while the write held the row: all earlier changes of the row are in it;
 * - `to` is what the primary says after the commit: no later change is in it.
 */
export interface RowFillParts<Row extends object> {
  readonly context: LayerContext;
  readonly names: EntityNames;
  readonly source: EntitySource;
  readonly cache: CacheNamespace<CachedRow<Row>>;
  readonly check: (row: Columns) => Promise<Row>;
}

/** What came of a write. */
export interface Written {
  readonly stored: Columns | undefined;
  /** Where it was done; undefined if slots moved meanwhile, so that nobody can say. */
  readonly shard: string | undefined;
  /** Its row in the outbox. */
  readonly outboxId: string | undefined;
  /** Where the log stood while it held the row. */
  readonly held: { readonly timeline: number; readonly lsn: bigint } | undefined;
}

/** A write whose row was offered to the cache. */
export interface Filled<Row> {
  readonly written: Written;
  /** The row as it was offered, if it could be. */
  readonly entry: CachedRow<Row> | undefined;
  readonly report: InvalidationReport;
  /** Why the old row could not be taken away everywhere, where that is an error. */
  readonly failure: unknown;
}

const NOT_EVERYWHERE: InvalidationReport = { acknowledged: false, waitingFor: [] };

/** Writes of one entity whose rows are cached at once. */
export class RowFill<Row extends object> {
  readonly #parts: RowFillParts<Row>;

  constructor(parts: RowFillParts<Row>) {
    this.#parts = parts;
  }

  /** What a row is cached as; undefined if its name is the database's to give. */
  keyOf({ key, id }: RowName): string | undefined {
    const { names, source } = this.#parts;
    // Of a reference table each process reads another shard, and a write has a position on each.
    if (source.kind === 'reference') return undefined;
    if (names.table.id !== undefined && (id === undefined || id === null)) return undefined;
    return names.cacheKey({ key, id });
  }

  /** Runs a write and caches what it returned. Fails as the write does. */
  async run(
    cacheKey: string,
    session: OpenSession,
    write: () => Promise<Written>,
  ): Promise<Filled<Row>> {
    const { cache, context } = this.#parts;
    let written: Written | undefined;
    let entry: CachedRow<Row> | undefined;
    const change = {
      work: async () => {
        written = await write();
        return written;
      },
      storedOf: async (result: Written) => {
        entry = await this.#entryOf(result, session);
        return entry;
      },
      isLater,
    };
    // The write ends by the layer's own deadline, and so does the question after it.
    const timeout = `${3 * context.parts.operationTimeoutMs}ms` as const;
    try {
      const { result, report } = await cache.updateReported(cacheKey, change, { timeout });
      return { written: result, entry, report, failure: undefined };
    } catch (failure) {
      if (written === undefined) throw failure;
      return { written, entry, report: NOT_EVERYWHERE, failure };
    }
  }

  async #entryOf(
    { stored, shard, held }: Written,
    session: OpenSession,
  ): Promise<CachedRow<Row> | undefined> {
    if (stored === undefined || shard === undefined || held === undefined) return undefined;
    const { check, context } = this.#parts;
    try {
      const [row, end] = await Promise.all([
        check(copyOf(stored)),
        context.answer('Asking where a write has ended', () => session.on(shard).position()),
      ]);
      const { position, systemIdentifier, snapshotXmax } = end;
      // Another primary has taken over meanwhile, which need not have the write.
      if (position?.timeline !== held.timeline) return undefined;
      const mark: RowMark = { shard, from: held, to: position };
      return { row, mark, systemIdentifier, snapshotXmax };
    } catch {
      // It is done all the same. Whoever reads the row next loads it, and whoever wrote it is told if it is not valid.
      return undefined;
    }
  }
}

/**
 * Whether a row is of a later write than another. Both positions were read while the write held the row, so of two on one
 * timeline the higher is of the one that had it later.
 */
function isLater(row: CachedRow<object>, other: CachedRow<object>): boolean | undefined {
  const [a, b] = [row.mark.from, other.mark.from];
  const isOneLog =
    row.mark.shard === other.mark.shard && row.systemIdentifier === other.systemIdentifier;
  if (!isOneLog || a === undefined || b === undefined) return undefined;
  if (a.timeline !== b.timeline || a.lsn === b.lsn) return undefined;
  return a.lsn > b.lsn;
}

/** What is cached is frozen; what the caller is given is his own. */
function copyOf(row: Columns): Columns {
  const copy: Record<string, unknown> = { ...row };
  for (const [column, value] of Object.entries(copy)) {
    if (typeof value === 'object' && value !== null) copy[column] = structuredClone(value);
  }
  return copy;
}
