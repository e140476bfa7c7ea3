/**
 * Tables that are the same on every shard: small, read often, written seldom.
 *
 * A write runs in a transaction on every shard, and none commits before all have succeeded. Two commits are still two:
 * if a shard is lost between the first commit and the last, the error says which shards have it, and the write is to be
 * repeated, for which it should be one that may be (an upsert, say).
 */

import { ShardlineError } from '@shardline/core';
import type pg from 'pg';
import { routerErrors } from '../errors.js';
import type { CallOptions, RouterCore } from '../router-core.js';

/** Reads and writes tables that are the same on every shard. */
export class ReferenceTables {
  readonly #core: RouterCore;
  #turn = 0;

  /** @internal */
  constructor(core: RouterCore) {
    this.#core = core;
  }

  /** Reads from one shard, each in turn. */
  async query<Row extends pg.QueryResultRow = Record<string, unknown>>(
    text: string,
    values: readonly unknown[] = [],
    options: CallOptions = {},
  ): Promise<pg.QueryResult<Row>> {
    const shards = this.#core.members();
    this.#turn = (this.#turn + 1) % shards.length;
    const shard = shards[this.#turn];
    if (shard === undefined)
      throw new ShardlineError(routerErrors.SHARD_MISSING, 'There is no shard.');
    await shard.ensureChecked();
    return shard.pool.query<Row>({
      text,
      values: values as unknown[],
      signal: options.signal,
    } as pg.QueryConfig);
  }

  /**
   * Writes to every shard.
   *
   * @throws ShardlineError `EVERYWHERE_INCOMPLETE` with `details.committed` if some have it and some do not.
   */
  async write(text: string, values: readonly unknown[] = []): Promise<pg.QueryResult> {
    // In a fixed order: two writers then wait for each other instead of for ever.
    const shards = this.#core.members().sort((a, b) => (a.name < b.name ? -1 : 1));
    const open: { shard: string; client: pg.PoolClient }[] = [];
    const committed: string[] = [];
    let isBroken = true;
    try {
      let result: pg.QueryResult | undefined;
      for (const shard of shards) {
        await shard.ensureChecked();
        const client = await shard.pool.connect();
        open.push({ shard: shard.name, client });
        await client.query({ text: 'BEGIN', target: 'primary' } as pg.QueryConfig);
        result = await client.query(text, [...values]);
      }
      for (const { shard, client } of open) {
        await client.query('COMMIT');
        committed.push(shard);
      }
      isBroken = false;
      return result as pg.QueryResult;
    } catch (error) {
      if (committed.length === 0) throw error;
      throw partlyWritten(
        committed,
        shards.map(({ name }) => name),
        error,
      );
    } finally {
      // A connection whose transaction did not end is destroyed, and the transaction with it.
      for (const { client } of open) client.release(isBroken);
    }
  }
}

function partlyWritten(
  committed: readonly string[],
  all: readonly string[],
  cause: unknown,
): ShardlineError {
  const missing = all.filter((name) => !committed.includes(name));
  return new ShardlineError(
    routerErrors.EVERYWHERE_INCOMPLETE,
    `A reference table was written on ${committed.join(', ')} and perhaps not on ${missing.join(', ')}.`,
    {
      cause,
      details: { committed, missing },
      remedy: 'Repeat the write, as one that may be repeated.',
    },
  );
}
