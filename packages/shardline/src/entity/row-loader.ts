import { throwIfAborted } from '@shardline/core';
import { runInPoolSessions, type SessionPosition } from '@shardline/pool';
import { type LoadFloor, laterFloor, readFreshness } from '../freshness/freshness.js';
import type { LoadSession, ShardFloors } from '../freshness/shard-floors.js';
import { type RowMark, unknownMark } from '../session/row-floors.js';
import { Batcher } from './batch.js';
import type { Key } from './entity.js';
import type { EntitySource, SourceCall } from './entity-source.js';
import type { EntityNames } from './names.js';
import { type Columns, type RowName, selectMany } from './statements.js';

/** A row as it is cached: with the positions of its shard between which it was read. */
export interface CachedRow<Row> {
  readonly row: Row;
  readonly mark: RowMark;
  readonly systemIdentifier: string;
  readonly snapshotXmax: bigint | undefined;
}

/** What a loader is made of. */
export interface RowLoaderParts<Row> {
  readonly names: EntityNames;
  readonly source: EntitySource;
  readonly floors: ShardFloors;
  readonly check: (row: Columns) => Promise<Row>;
  /** The topology in force. */
  readonly epoch: () => number;
  /** Where pools are found: shard by pool. */
  readonly shardOf: ReadonlyMap<object, string>;
  readonly call: <T>(doing: string, work: (call: SourceCall) => Promise<T>) => Promise<T>;
  /** Invalidations of this entity leave no mark in the cache, as patterns do: each load begins at a primary. */
  readonly alwaysNow: boolean;
}

interface Wanted {
  readonly name: RowName;
  readonly freshness: string | undefined;
}

/** Most rows that one statement asks a shard for. */
export const MAX_BATCH = 1000;

/**
 * Loads rows for the cache. It runs in no caller's session, since its answer is everybody's: what a load must
 * have reached the cache's mark says, and the answer carries its own positions for sessions to judge by.
 *
 * Loads of one tick are one statement per shard, at the latest of their floors.
 */
export class RowLoader<Row extends object> {
  readonly #parts: RowLoaderParts<Row>;
  readonly #batcher: Batcher<Wanted, CachedRow<Row>>;

  constructor(parts: RowLoaderParts<Row>) {
    this.#parts = parts;
    this.#batcher = new Batcher({
      maxBatch: MAX_BATCH,
      // Two loads of one row that must be of different freshness are two.
      identityOf: ({ name, freshness }) => `${parts.names.cacheKey(name)}\0${freshness ?? ''}`,
      loadMany: (wanted) =>
        parts.call(`Reading ${parts.names.table.entity}`, (call) => this.#loadMany(wanted, call)),
    });
  }

  /** @param freshness the mark that the last invalidation left in the cache. */
  load(name: RowName, freshness: string | undefined): Promise<CachedRow<Row> | undefined> {
    return this.#batcher.load({ name, freshness });
  }

  async #loadMany(
    wanted: readonly Wanted[],
    call: SourceCall,
  ): Promise<Map<string, CachedRow<Row>>> {
    const { names, source, epoch, shardOf } = this.#parts;
    for (;;) {
      throwIfAborted(call.signal, `Reading ${this.#parts.names.table.entity}`);
      const atEpoch = epoch();
      const sessions = await this.#sessionsFor(wanted);
      const { key, id } = names.table;
      const rows = await runInPoolSessions(
        (pool) => sessions.get(shardOf.get(pool) ?? '')?.session,
        () =>
          source.read(
            wanted.map(({ name }) => name.key as Key),
            selectMany(names.table),
            id === undefined ? [] : [wanted.map(({ name }) => plain(name.id))],
            key,
            call,
          ),
      );
      // Slots have moved meanwhile: whose positions these are is not certain.
      if (epoch() !== atEpoch) continue;
      return this.#marked(wanted, rows, sessions);
    }
  }

  /** A session for each shard that the rows are on, at the latest floor of its rows. */
  async #sessionsFor(wanted: readonly Wanted[]): Promise<Map<string, LoadSession>> {
    const { source, floors, alwaysNow } = this.#parts;
    const wantedFloors = new Map<string, LoadFloor | undefined>();
    for (const { name, freshness } of wanted) {
      const shard = source.shardOf(name.key as Key);
      const floor = alwaysNow ? 'now' : readFreshness(freshness);
      wantedFloors.set(shard, laterFloor(wantedFloors.get(shard), floor));
    }
    const sessions = [...wantedFloors].map(
      async ([shard, floor]) => [shard, await floors.begin(shard, floor)] as const,
    );
    return new Map(await Promise.all(sessions));
  }

  async #marked(
    wanted: readonly Wanted[],
    rows: readonly Columns[],
    sessions: ReadonlyMap<string, LoadSession>,
  ): Promise<Map<string, CachedRow<Row>>> {
    const { names, source, check } = this.#parts;
    const ends = new Map(
      await Promise.all(
        [...sessions].map(
          async ([shard, { session }]) => [shard, await session.position()] as const,
        ),
      ),
    );
    const byKey = new Map(rows.map((row) => [names.cacheKey(names.ofRow(row)), row]));
    const loaded = new Map<string, CachedRow<Row>>();
    for (const { name, freshness } of wanted) {
      const cacheKey = names.cacheKey(name);
      const row = byKey.get(cacheKey);
      if (row === undefined) continue;
      const shard = source.shardOf(name.key as Key);
      const { from } = sessions.get(shard) as LoadSession;
      const end = ends.get(shard) as SessionPosition;
      loaded.set(`${cacheKey}\0${freshness ?? ''}`, {
        row: await check(row),
        mark: markOf(shard, from, end),
        systemIdentifier: end.systemIdentifier,
        snapshotXmax: end.snapshotXmax,
      });
    }
    return loaded;
  }
}

function markOf(shard: string, from: LoadFloor, { position }: SessionPosition): RowMark {
  if (position === undefined) return unknownMark(shard);
  return { shard, from: from === 'now' ? undefined : from.position, to: position };
}

function plain(value: unknown): unknown {
  return typeof value === 'bigint' ? String(value) : value;
}
