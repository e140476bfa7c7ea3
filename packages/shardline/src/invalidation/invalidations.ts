import type { Cache, InvalidationRecord, InvalidationReport } from '@shardline/cache';
import type { RecentWrites } from '../entity/recent-writes.js';
import { writeFreshness } from '../freshness/freshness.js';
import type { Outbox } from '../outbox/outbox.js';
import type { OpenSession } from '../session/open-session.js';

/** A row of the outbox that is to be deleted once it has been carried out. */
export interface OutboxEntry {
  readonly shard: string;
  readonly id: string;
}

/** What invalidations need. */
export interface InvalidationsParts {
  readonly cache: Cache;
  readonly outbox: Outbox | undefined;
  /** By entity: the marks of its writes, where no tier keeps them. */
  readonly recentWrites: ReadonlyMap<string, RecentWrites>;
}

/**
 * Carries out what writes have made stale, after their commit. Each record takes along how fresh the next load
 * must be: the position of the write's shard, asked for after the commit was acknowledged.
 */
export class Invalidations {
  readonly #parts: InvalidationsParts;

  constructor(parts: InvalidationsParts) {
    this.#parts = parts;
  }

  /**
   * @param session in which the write was done: it knows its position.
   * @param shard on which it was done; undefined if that is not certain.
   * @throws ShardlineError `CACHE_INVALIDATION_QUEUED` (strict entities only); the outbox keeps it then.
   */
  async afterWrite(
    records: readonly InvalidationRecord[],
    session: OpenSession,
    shard: string | undefined,
    entries: readonly OutboxEntry[],
  ): Promise<InvalidationReport> {
    const { cache, outbox } = this.#parts;
    const freshness = await freshnessOf(session, shard);
    this.#remember(records, freshness);
    const report = await cache.apply(
      records.map((record) => (record.keys === undefined ? record : { ...record, freshness })),
    );
    if (report.acknowledged) {
      for (const { shard: at, id } of entries) outbox?.finished(at, id);
    }
    return report;
  }

  /** The outcome of a write is not known: as if it had been done, with the primary to be asked next. */
  async afterUnknown(records: readonly InvalidationRecord[]): Promise<void> {
    this.#remember(records, 'now');
    const marked = records.map((record) =>
      record.keys === undefined ? record : { ...record, freshness: 'now' },
    );
    await this.#parts.cache.apply(marked).catch(() => {
      // Queued, and repeated until it is through; the caller is told of the unknown write.
    });
  }

  #remember(records: readonly InvalidationRecord[], freshness: string): void {
    for (const { namespace, keys = [] } of records) {
      const recent = this.#parts.recentWrites.get(namespace);
      for (const key of keys) recent?.wrote(key, freshness);
    }
  }
}

async function freshnessOf(session: OpenSession, shard: string | undefined): Promise<string> {
  if (shard === undefined) return 'now';
  try {
    return writeFreshness(shard, await session.on(shard).position());
  } catch {
    // The primary was lost with what it knew; whoever loads next asks the next primary.
    return 'now';
  }
}
