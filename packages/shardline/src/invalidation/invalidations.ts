import type { Cache, InvalidationRecord, InvalidationReport } from '@shardline/cache';
import type { RecentWrites } from '../entity/recent-writes.js';
import { WRITTEN } from '../freshness/freshness.js';
import type { Outbox } from '../outbox/outbox.js';

/** A row of the outbox that is to be deleted once it has been carried out. */
export interface OutboxEntry {
  readonly shard: string;
  readonly id: string;
}

/** A row that was cached by its own write, and what became of the old one. */
export interface FilledRow {
  readonly namespace: string;
  readonly key: string;
  readonly report: InvalidationReport;
}

/** What invalidations need. */
export interface InvalidationsParts {
  readonly cache: Cache;
  readonly outbox: Outbox | undefined;
  /** By entity: the marks of its writes, where no tier keeps them. */
  readonly recentWrites: ReadonlyMap<string, RecentWrites>;
}

/**
 * Carries out what writes have made stale, after their commit was acknowledged. Each record takes along that the next
 * load must have reached all that is acknowledged by then.
 */
export class Invalidations {
  readonly #parts: InvalidationsParts;

  constructor(parts: InvalidationsParts) {
    this.#parts = parts;
  }

  /**
   * @throws ShardlineError `CACHE_INVALIDATION_QUEUED` (strict entities only); the outbox keeps it then.
   */
  async afterWrite(
    records: readonly InvalidationRecord[],
    entries: readonly OutboxEntry[],
    filled?: FilledRow,
  ): Promise<InvalidationReport> {
    const { cache, outbox, recentWrites } = this.#parts;
    if (filled !== undefined) recentWrites.get(filled.namespace)?.wrote(filled.key, WRITTEN);
    const report =
      records.length === 0 && filled !== undefined
        ? filled.report
        : await cache.apply(this.#marked(records));
    if (report.acknowledged && filled?.report.acknowledged !== false) {
      for (const { shard: at, id } of entries) outbox?.finished(at, id);
    }
    return report;
  }

  /** The outcome of a write is not known: as if it had been done, with the primary to be asked next. */
  async afterUnknown(records: readonly InvalidationRecord[]): Promise<void> {
    await this.#parts.cache.apply(this.#marked(records)).catch(() => {
      // Queued, and repeated until it is through; the caller is told of the unknown write.
    });
  }

  /** Tags and patterns leave no mark: what they cover is loaded at a primary anyway. */
  #marked(records: readonly InvalidationRecord[]): InvalidationRecord[] {
    for (const { namespace, keys = [] } of records) {
      const recent = this.#parts.recentWrites.get(namespace);
      for (const key of keys) recent?.wrote(key, WRITTEN);
    }
    return records.map((record) =>
      record.keys === undefined ? record : { ...record, freshness: WRITTEN },
    );
  }
}
