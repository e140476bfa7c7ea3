import { AsyncLocalStorage } from 'node:async_hooks';
import {
  type Cache,
  type InvalidationRecord,
  type OutboxRelay,
  type OutboxRow,
  type OutboxSource,
  startOutboxRelay,
} from '@shardline/cache';
import type { Clock, Duration, ScheduledCall } from '@shardline/core';
import type { ReplicaPool } from '@shardline/pool';
import { layerError } from '../errors.js';
import { WRITTEN } from '../freshness/freshness.js';
import doneSql from './done.sql';
import takeSql from './take.sql';

/**
 * The outbox of a layer: the rows on each shard that say what a transaction has made stale.
 *
 * A row is there if and only if its transaction has committed. Whoever wrote it carries it out at once and
 * deletes it; a process that dies in between leaves it to the relays, one per shard in every process, which
 * take what is older than `YOURS_MS`. Carrying out twice does no harm, so no lock is held and none is lost.
 *
 * What a relay invalidates must not be loaded from a replica that has not replayed the transaction. The row
 * does not say where that ended, but it was seen on the primary: so any position asked for after that will do.
 */
export interface OutboxOptions {
  /** Name of the layer: rows of others are not ours. */
  readonly layer: string;
  readonly pools: ReadonlyMap<string, ReplicaPool>;
  readonly cache: Cache;
  /** Whether the cache of this process has a namespace. */
  readonly knows: (namespace: string) => boolean;
  readonly relayInterval: Duration;
  readonly clock: Clock;
}

/** A row that is younger is still its writer's. */
const YOURS_MS = 1000;
/** Rows that were carried out are deleted together: a deletion for each write would double what a shard commits. */
const DELETE_AFTER_MS = 50;
/** So many are deleted at once, sooner than after that time. */
const DELETE_AT_ONCE = 500;
/** Rows for namespaces that this process does not have are another version's, which is given this long. */
const STRANGERS_SECONDS = 3600;

interface TakenRow {
  readonly id: string;
  readonly records: readonly InvalidationRecord[];
  readonly age_seconds: string;
}

/** Carries out what is in the outboxes, and deletes what has been. */
export class Outbox {
  readonly #options: OutboxOptions;
  readonly #relays: OutboxRelay[];
  readonly #finished = new Map<string, string[]>();
  /** Deleting belongs to nobody's session or transaction, whoever has finished. */
  readonly #outside = AsyncLocalStorage.snapshot();
  readonly #deleting = new Set<Promise<void>>();
  #deletion: ScheduledCall | undefined;
  #lastError: unknown;

  constructor(options: OutboxOptions) {
    this.#options = options;
    this.#relays = [...options.pools.values()].map((pool) =>
      startOutboxRelay({
        source: this.#sourceOf(pool),
        apply: (records) => options.cache.apply(records),
        interval: options.relayInterval,
        onError: (error) => {
          this.#lastError = error;
        },
      }),
    );
  }

  /** Why a relay could not do its work the last time that it could not. */
  get lastError(): unknown {
    return this.#lastError;
  }

  /** A row was carried out by its writer: it is deleted soon, with others. */
  finished(shard: string, id: string): void {
    const ids = this.#finished.get(shard) ?? [];
    ids.push(id);
    this.#finished.set(shard, ids);
    this.#deletion ??= this.#options.clock.schedule(DELETE_AFTER_MS, () => this.#deleteFinished());
    if (ids.length >= DELETE_AT_ONCE) this.#deleteFinished();
  }

  /** Ends the relays and deletes what was finished. */
  async close(): Promise<void> {
    await Promise.all(this.#relays.map((relay) => relay.close()));
    this.#deleteFinished();
    await Promise.all(this.#deleting);
  }

  #deleteFinished(): void {
    this.#deletion?.cancel();
    this.#deletion = undefined;
    const finished = [...this.#finished];
    this.#finished.clear();
    for (const [shard, ids] of finished) {
      const deleting = this.#outside(() => this.#delete(shard, ids))
        // What could not be deleted a relay carries out again, and deletes then.
        .catch(() => {})
        .finally(() => this.#deleting.delete(deleting));
      this.#deleting.add(deleting);
    }
  }

  async #delete(shard: string, ids: readonly string[]): Promise<void> {
    await this.#options.pools.get(shard)?.primary.query(doneSql, [ids]);
  }

  #sourceOf(pool: ReplicaPool): OutboxSource {
    const { layer, knows } = this.#options;
    const strangers = new Set<string>();
    return {
      take: async (limit, signal) => {
        const { rows } = await pool.primary.query<TakenRow>({
          text: takeSql,
          values: [YOURS_MS, limit, layer, [...strangers]],
          signal,
        } as never);
        if (rows.length === 0) return [];
        const ours = rows.filter((row) => {
          const isOurs = row.records.every(({ namespace }) => knows(namespace));
          if (!isOurs && Number(row.age_seconds) < STRANGERS_SECONDS) strangers.add(row.id);
          return isOurs || Number(row.age_seconds) >= STRANGERS_SECONDS;
        });
        return ours.map((row) => withMark(row, knows));
      },
      done: async (ids, signal) => {
        await pool.primary.query({ text: doneSql, values: [ids], signal } as never);
      },
    };
  }
}

function withMark({ id, records }: TakenRow, knows: (namespace: string) => boolean): OutboxRow {
  return {
    id,
    records: records
      .filter(({ namespace }) => knows(namespace))
      .map((record) => (record.keys === undefined ? record : { ...record, freshness: WRITTEN })),
  };
}

/**
 * Looks whether every shard that can be reached has the table.
 *
 * @throws ShardlineError `LAYER_OUTBOX_MISSING`, naming the shards.
 */
export async function checkOutboxes(pools: ReadonlyMap<string, ReplicaPool>): Promise<void> {
  const looks = [...pools].map(async ([shard, pool]) => {
    const text = "SELECT to_regclass('shardline.outbox') IS NULL AS is_missing";
    const { rows } = await pool.primary.query<{ is_missing: boolean }>(text);
    return rows[0]?.is_missing === true ? [shard] : [];
  });
  const outcomes = await Promise.allSettled(looks);
  // A shard that cannot be reached says so at its first write.
  const missing = outcomes.flatMap((outcome) =>
    outcome.status === 'fulfilled' ? outcome.value : [],
  );
  if (missing.length === 0) return;
  throw layerError(
    'LAYER_OUTBOX_MISSING',
    `There is no outbox table on ${missing.map((shard) => `'${shard}'`).join(', ')}.`,
    { details: { shards: missing } },
  );
}
