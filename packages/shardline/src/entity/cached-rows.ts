import { isDeepStrictEqual } from 'node:util';
import type { CacheNamespace } from '@shardline/cache';
import type { OpenSession } from '../session/open-session.js';
import { mayFollow, type RowMark } from '../session/row-floors.js';
import type { EntityNames } from './names.js';
import type { RecentWrites } from './recent-writes.js';
import type { CachedRow, RowLoader } from './row-loader.js';
import type { RowName } from './statements.js';

/** What reads through the cache need. */
export interface CachedRowsParts<Row extends object> {
  readonly names: EntityNames;
  readonly cache: CacheNamespace<CachedRow<Row>>;
  readonly loader: RowLoader<Row>;
  /** Marks of this process's own writes, for a cache without a tier that would keep them. */
  readonly recentWrites: RecentWrites | undefined;
  readonly session: () => OpenSession | undefined;
  /** Reads at the source, in the session that is at hand. */
  readonly readAtSource: (name: RowName) => Promise<Row | undefined>;
  readonly shardOf: (name: RowName) => string;
}

/**
 * Reads of an entity through its cache.
 *
 * Without a session, what the cache says is the answer. With one, a cached row is shown only if it may
 * follow what the session has seen of it; else the source is read, within the session. If that shows the very
 * same row, the cached one was as new as was needed and is believed from then on. If not, the cached row is
 * older than something acknowledged, so it is thrown out for everybody.
 */
export class CachedRows<Row extends object> {
  readonly #parts: CachedRowsParts<Row>;

  constructor(parts: CachedRowsParts<Row>) {
    this.#parts = parts;
  }

  /** The row if this process remembers it and the session may see it; undefined says nothing. */
  peek(cacheKey: string): Row | undefined {
    const { cache, session, names } = this.#parts;
    const entry = cache.peek(cacheKey);
    if (entry === undefined) return undefined;
    const current = session();
    if (current === undefined) return entry.row;
    const row = names.hash(cacheKey);
    const seen = current.seenNow(row);
    if (seen === 'pending' || !mayShow(entry.mark, seen)) return undefined;
    this.#see(current, row, entry);
    return entry.row;
  }

  async get(
    name: RowName,
    cacheKey: string,
    signal: AbortSignal | undefined,
  ): Promise<Row | undefined> {
    const { cache, loader, session, names, recentWrites } = this.#parts;
    const load = (_key: string, context: { readonly freshness: string | undefined }) =>
      loader.load(name, recentWrites?.freshness(cacheKey) ?? context.freshness);
    const entry = await cache.get(cacheKey, { load, signal });
    const current = session();
    if (current === undefined) return entry?.row;
    const row = names.hash(cacheKey);
    const seen = await current.seen(row);
    // "Does not exist" carries no mark: whoever knows better looks.
    if (entry === undefined) return seen === undefined ? undefined : this.#atSource(name, cacheKey);
    if (mayShow(entry.mark, seen)) {
      this.#see(current, row, entry);
      return entry.row;
    }
    return this.#insteadOf(entry, name, cacheKey, current);
  }

  async #insteadOf(
    entry: CachedRow<Row>,
    name: RowName,
    cacheKey: string,
    current: OpenSession,
  ): Promise<Row | undefined> {
    const { cache, names } = this.#parts;
    const found = await this.#atSource(name, cacheKey);
    if (found !== undefined && isDeepStrictEqual(found, entry.row)) {
      await current.seen(names.hash(cacheKey));
      this.#see(current, names.hash(cacheKey), entry);
      return found;
    }
    await cache.invalidate(cacheKey, { freshness: 'now' });
    return found;
  }

  async #atSource(name: RowName, cacheKey: string): Promise<Row | undefined> {
    const { session, names, readAtSource, shardOf } = this.#parts;
    const found = await readAtSource(name);
    session()?.didTouch([names.hash(cacheKey)], shardOf(name));
    return found;
  }

  #see(session: OpenSession, row: string, entry: CachedRow<Row>): void {
    session.see(row, entry.mark, entry.systemIdentifier, entry.snapshotXmax);
  }
}

function mayShow(mark: RowMark, seen: RowMark | undefined): boolean {
  return seen === undefined || mayFollow(mark, seen);
}
