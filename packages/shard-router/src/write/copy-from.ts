/**
 * A stream of rows into a table, split by shard, through COPY.
 *
 * Rows gather in one chunk per shard; a full chunk is one COPY, which is there whole or not at all, so a chunk that
 * the guard refuses because a slot has moved can be placed anew. While a shard takes a chunk the next one
 * gathers; if that is full too, the stream is not read on: memory is at most two chunks per shard.
 */

import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { quoteIdentifier, quoteQualified, ShardlineError, throwIfAborted } from '@shardline/core';
import type pg from 'pg';
import { from as copyInto } from 'pg-copy-streams';
import { routerErrors } from '../errors.js';
import type { KeyspaceRouter } from '../keyspace-router.js';
import { type CallOptions, done, type RouterCore } from '../router-core.js';
import { columnsFor, type PlacedRow, placeRow, type WriteRow } from './batches.js';
import { copyLine } from './copy-text.js';
import { byShard } from './insert-many.js';

/** How rows are copied. */
export interface CopyOptions extends CallOptions {
  readonly columns: readonly string[];
  /** Rows of one COPY. @default 5000 */
  readonly chunkRows?: number;
}

/** What was copied. */
export interface CopyReport {
  readonly rows: number;
  readonly byShard: Readonly<Record<string, number>>;
}

const DEFAULT_CHUNK_ROWS = 5000;

/** Copies a stream of rows, split by shard. */
export async function copyRows(
  core: RouterCore,
  keyspace: KeyspaceRouter,
  tableName: string,
  rows: AsyncIterable<WriteRow> | Iterable<WriteRow>,
  options: CopyOptions,
): Promise<CopyReport> {
  const copier = new Copier(core, keyspace, tableName, options);
  try {
    for await (const row of rows) await copier.add(row);
    await copier.finish();
  } catch (error) {
    await copier.settle();
    throw copier.explain(error);
  }
  return copier.report();
}

class Copier {
  readonly #core: RouterCore;
  readonly #keyspace: KeyspaceRouter;
  readonly #table: ReturnType<KeyspaceRouter['table']>;
  readonly #columns: readonly string[];
  readonly #sql: string;
  readonly #chunkRows: number;
  readonly #signal: AbortSignal | undefined;
  readonly #gathering = new Map<string, PlacedRow[]>();
  readonly #flushing = new Map<string, Promise<void>>();
  readonly #copied = new Map<string, number>();

  constructor(core: RouterCore, keyspace: KeyspaceRouter, table: string, options: CopyOptions) {
    this.#core = core;
    this.#keyspace = keyspace;
    this.#table = keyspace.table(table);
    this.#columns = columnsFor(keyspace.keyspace, this.#table, options.columns);
    this.#chunkRows = options.chunkRows ?? DEFAULT_CHUNK_ROWS;
    this.#signal = options.signal;
    const target = quoteQualified(this.#table.schema, this.#table.name);
    this.#sql = `COPY ${target} (${this.#columns.map(quoteIdentifier).join(', ')}) FROM STDIN`;
  }

  async add(row: WriteRow): Promise<void> {
    throwIfAborted(this.#signal, `Copying into ${this.#table.name}`);
    const placed = placeRow(this.#keyspace.keyspace, this.#table, row);
    const shard = this.#keyspace.topology.ownerOf(placed.slot);
    const chunk = this.#gathering.get(shard);
    if (chunk === undefined) this.#gathering.set(shard, [placed]);
    else chunk.push(placed);
    if ((chunk?.length ?? 1) >= this.#chunkRows) await this.#flush(shard);
  }

  async finish(): Promise<void> {
    await Promise.all([...this.#gathering.keys()].map((shard) => this.#flush(shard)));
    await Promise.all(this.#flushing.values());
  }

  /** Waits for what is under way, so that nothing runs on behind an error. */
  async settle(): Promise<void> {
    await Promise.allSettled(this.#flushing.values());
  }

  report(): CopyReport {
    const byShardName = Object.fromEntries(this.#copied);
    return {
      rows: Object.values(byShardName).reduce((sum, count) => sum + count, 0),
      byShard: byShardName,
    };
  }

  explain(cause: unknown): unknown {
    const { rows, byShard: copied } = this.report();
    if (rows === 0) return cause;
    return new ShardlineError(
      routerErrors.EVERYWHERE_INCOMPLETE,
      `Rows were copied in part (${rows} in all): ${(cause as Error)?.message ?? cause}`,
      { cause, details: { copied }, remedy: 'Mend the cause and copy the rows that are missing.' },
    );
  }

  /** Sends what a shard has gathered, once it has taken what it was sent before. */
  async #flush(shard: string): Promise<void> {
    await this.#flushing.get(shard);
    const chunk = this.#gathering.get(shard) ?? [];
    this.#gathering.delete(shard);
    if (chunk.length === 0) return;
    const flushing = this.#send(chunk).finally(() => this.#flushing.delete(shard));
    // Whoever adds the next row for this shard, or finishes, hears of a failure.
    flushing.catch(() => {});
    this.#flushing.set(shard, flushing);
  }

  async #send(chunk: readonly PlacedRow[]): Promise<void> {
    const call = { untilMs: this.#core.deadline(), signal: this.#signal };
    let pending: readonly PlacedRow[] = chunk;
    while (pending.length > 0) {
      const again: PlacedRow[] = [];
      for (const group of byShard(this.#keyspace, pending).values()) {
        const slots = [...new Set(group.map(({ slot }) => slot))];
        const outcome = await this.#core.onSlots(this.#keyspace, slots, call, async ({ shard }) => {
          await this.#copy(shard.pool, group);
          this.#copied.set(shard.name, (this.#copied.get(shard.name) ?? 0) + group.length);
          return done(undefined);
        });
        if (!outcome.done) again.push(...group);
      }
      pending = again;
    }
  }

  async #copy(pool: pg.Pool, rows: readonly PlacedRow[]): Promise<void> {
    const client = await pool.connect();
    let isBroken = true;
    try {
      // The first statement decides where the client is bound: COPY goes to the primary.
      const stream = client.query(copyInto(this.#sql));
      const lines = rows.map(({ row }) => copyLine(this.#columns.map((column) => row[column])));
      await pipeline(Readable.from(lines), stream, { signal: this.#signal as AbortSignal });
      isBroken = false;
    } catch (error) {
      // An error of the server's ends COPY in good order, and the connection is as before.
      isBroken =
        typeof (error as { code?: unknown }).code !== 'string' ||
        !('severity' in (error as object));
      throw error;
    } finally {
      client.release(isBroken);
    }
  }
}
