/**
 * Tables that are the same on every shard: small, read often, written seldom.
 *
 * A write runs in a transaction on every shard, and none commits before all have succeeded. Two commits are still two:
 * if a shard is lost between the first commit and the last, the error says which shards have it, and the write is to be
 * repeated, for which it should be one that may be (an upsert, say).
 *
 * No shard is passed over. A router that was frozen, or cannot reach the catalog, may not know a shard that has joined;
 * no lease guards these writes, the shards do: each says which epoch a writer must know (`reference-seed.ts`). It is
 * asked behind the statement, when the table's lock is held: asked before it, a shard could join in between. And it is asked
 * at READ COMMITTED, whatever the default: a snapshot from before the wait for the lock would not show it.
 */

import { ShardlineError, throwIfAborted } from '@shardline/core';
import type pg from 'pg';
import { routerErrors } from '../errors.js';
import { type Attempt, type CallOptions, done, MOVED, type RouterCore } from '../router-core.js';
import type { Shard } from '../shard/shard.js';
import type { Topology } from '../topology/topology.js';
import { isEpochKnown, newsOfTopology } from './joined-shards.js';
import referenceEpochSql from './reference-epoch.sql';

/** A transaction of a write that is under way on one shard. */
interface OpenWrite {
  readonly shard: string;
  readonly client: pg.PoolClient;
}

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
   * Writes to every shard, one that has joined behind this router's back included.
   *
   * @throws ShardlineError `EVERYWHERE_INCOMPLETE` with `details.committed` if some have it and some do not;
   * `TOPOLOGY_OUTDATED` if a shard has joined and the catalog cannot be asked which, with nothing written.
   */
  async write(
    text: string,
    values: readonly unknown[] = [],
    options: CallOptions = {},
  ): Promise<pg.QueryResult> {
    const untilMs = this.#core.deadline();
    for (;;) {
      throwIfAborted(options.signal, 'Writing to reference tables');
      const { topology } = this.#core;
      // In a fixed order: two writers then wait for each other instead of for ever.
      const shards = this.#core.members().sort((a, b) => (a.name < b.name ? -1 : 1));
      const outcome = await this.#attempt(shards, topology, text, values);
      if (outcome.done) return outcome.value;
      this.#core.counts.reruns += 1;
      await newsOfTopology(this.#core, topology, { ...options, untilMs });
    }
  }

  async #attempt(
    shards: readonly Shard[],
    topology: Topology,
    text: string,
    values: readonly unknown[],
  ): Promise<Attempt<pg.QueryResult>> {
    const open: OpenWrite[] = [];
    let isBroken = true;
    try {
      let result: pg.QueryResult | undefined;
      for (const shard of shards) {
        await shard.ensureChecked();
        const client = await shard.pool.connect();
        open.push({ shard: shard.name, client });
        const begin = 'BEGIN ISOLATION LEVEL READ COMMITTED';
        await client.query({ text: begin, target: 'primary' } as pg.QueryConfig);
        result = await client.query(text, [...values]);
        if (await this.#isKnownHere(client, topology)) continue;
        for (const each of open) await each.client.query('ROLLBACK');
        isBroken = false;
        return MOVED;
      }
      await commitAll(open);
      isBroken = false;
      return done(result as pg.QueryResult);
    } finally {
      // A connection whose transaction did not end is destroyed, and the transaction with it.
      for (const { client } of open) client.release(isBroken);
    }
  }

  /** Whether no shard has joined since, as far as this one can tell. With a fixed topology none ever does. */
  async #isKnownHere(client: pg.PoolClient, topology: Topology): Promise<boolean> {
    if (this.#core.watcher === undefined) return true;
    const { rows } = await client.query<{ epoch: string }>(referenceEpochSql);
    return isEpochKnown(rows, topology);
  }
}

/** All transactions have done their part; each that ends now makes it harder to go back. */
async function commitAll(open: readonly OpenWrite[]): Promise<void> {
  const committed: string[] = [];
  try {
    for (const { shard, client } of open) {
      await client.query('COMMIT');
      committed.push(shard);
    }
  } catch (error) {
    if (committed.length === 0) throw error;
    const all = open.map(({ shard }) => shard);
    throw partlyWritten(committed, all, error);
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
