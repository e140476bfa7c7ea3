/**
 * One statement on every shard: DDL above all.
 *
 * Each shard runs it in a transaction of its own, together with the guards of declared tables that have just been made
 * and a note that it was done, if it has an `id`. So a run that failed on some shards can be repeated as it is: those
 * that have the note are passed over.
 *
 * No shard is passed over without a word. A router that was frozen, or cannot reach the catalog, may not know a shard that has
 * joined; the shards it does know say which epoch it must know (`join-shard.ts`). They are asked before anything is done,
 * and each once more behind the statement, under a lock that whoever lets a shard join takes alone.
 */

import { ShardlineError, throwIfAborted } from '@shardline/core';
import type pg from 'pg';
import { routerErrors } from '../errors.js';
import type { CallOptions, RouterCore } from '../router-core.js';
import { Semaphore } from '../scatter/semaphore.js';
import { installGuards } from '../shard/install.js';
import type { Shard } from '../shard/shard.js';
import type { Topology } from '../topology/topology.js';
import { isEpochKnown, newsOfTopology, outdated } from './joined-shards.js';
import referenceEpochSql from './reference-epoch.sql';
import shareDdlSql from './share-ddl.sql';

/** How a statement is run everywhere. */
export interface EverywhereOptions extends CallOptions {
  /** A name under which each shard notes that it was done, so that it is not done twice. */
  readonly id?: string;
  /** Only these shards. @default all */
  readonly only?: readonly string[];
  /** Off for what PostgreSQL refuses in a transaction, such as CREATE INDEX CONCURRENTLY. @default true */
  readonly transaction?: boolean;
  /** Shards at a time. @default 4 */
  readonly concurrency?: number;
}

/** What became of it on one shard. */
export type ShardOutcome =
  | { readonly shard: string; readonly status: 'done'; readonly result: pg.QueryResult }
  | { readonly shard: string; readonly status: 'skipped' }
  | { readonly shard: string; readonly status: 'failed'; readonly error: unknown };

const DEFAULT_CONCURRENCY = 4;

/**
 * Runs a statement on every shard and waits for all.
 *
 * @throws ShardlineError `EVERYWHERE_INCOMPLETE` if some failed, with all outcomes in `details.outcomes`;
 * `TOPOLOGY_OUTDATED`, with nothing done, if a shard has joined and the catalog cannot be asked which.
 */
export async function runEverywhere(
  core: RouterCore,
  sql: string,
  values: readonly unknown[],
  options: EverywhereOptions,
): Promise<ShardOutcome[]> {
  await awaitTopology(core, options);
  const names = options.only ?? core.members().map(({ name }) => name);
  const running = new Semaphore(options.concurrency ?? DEFAULT_CONCURRENCY);
  const outcomes = await Promise.all(
    names.map(async (name): Promise<ShardOutcome> => {
      await running.acquire();
      try {
        throwIfAborted(options.signal, `Running a statement on '${name}'`);
        return await runOn(core, core.shard(name), sql, values, options);
      } catch (error) {
        return { shard: name, status: 'failed', error };
      } finally {
        running.release();
      }
    }),
  );
  const failed = outcomes.filter((outcome) => outcome.status === 'failed');
  if (failed.length === 0) return outcomes;
  throw new ShardlineError(
    routerErrors.EVERYWHERE_INCOMPLETE,
    `The statement failed on ${failed.length} of ${outcomes.length} shards: ${failed
      .map(({ shard, error }) => `'${shard}': ${(error as Error)?.message ?? error}`)
      .join('; ')}.`,
    { cause: failed[0]?.error, details: { outcomes, failed: failed.map(({ shard }) => shard) } },
  );
}

/** Waits until this router knows the newest topology that any of its shards wants known. */
async function awaitTopology(core: RouterCore, options: EverywhereOptions): Promise<void> {
  if (core.watcher === undefined) return;
  const untilMs = core.deadline();
  for (;;) {
    const known = core.topology;
    const isKnown = await Promise.all(
      // One that does not answer says so again when the statement is to run there.
      core.members().map((shard) => isKnownOn(shard, known).catch(() => true)),
    );
    if (isKnown.every(Boolean)) return;
    await newsOfTopology(core, known, { signal: options.signal, untilMs });
  }
}

async function isKnownOn(shard: Shard, topology: Topology): Promise<boolean> {
  await shard.ensureChecked();
  const statement = { text: referenceEpochSql, target: 'primary' } as pg.QueryConfig;
  const { rows } = await shard.pool.query<{ epoch: string }>(statement);
  return isEpochKnown(rows, topology);
}

async function runOn(
  core: RouterCore,
  shard: Shard,
  sql: string,
  values: readonly unknown[],
  options: EverywhereOptions,
): Promise<ShardOutcome> {
  await shard.ensureChecked();
  const client = await shard.pool.connect();
  let isBroken = true;
  try {
    const outcome = await (options.transaction === false
      ? runPlain(client, shard.name, sql, values)
      : runInTransaction(core, client, shard.name, sql, values, options.id));
    isBroken = false;
    return outcome;
  } catch (error) {
    isBroken = !(await client.query('ROLLBACK').then(
      () => true,
      () => false,
    ));
    throw error;
  } finally {
    client.release(isBroken);
  }
}

async function runPlain(
  client: pg.PoolClient,
  shard: string,
  sql: string,
  values: readonly unknown[],
): Promise<ShardOutcome> {
  const config = { text: sql, values: [...values], target: 'primary' } as pg.QueryConfig;
  return { shard, status: 'done', result: await client.query(config) };
}

async function runInTransaction(
  core: RouterCore,
  client: pg.PoolClient,
  shard: string,
  sql: string,
  values: readonly unknown[],
  id: string | undefined,
): Promise<ShardOutcome> {
  const begin = 'BEGIN ISOLATION LEVEL READ COMMITTED';
  await client.query({ text: begin, target: 'primary' } as pg.QueryConfig);
  const hasRecord = core.watcher !== undefined;
  if (id !== undefined && hasRecord && !(await note(client, id))) {
    await client.query('ROLLBACK');
    return { shard, status: 'skipped' };
  }
  const { topology } = core;
  if (hasRecord) await client.query(shareDdlSql);
  const result = await client.query(sql, [...values]);
  if (hasRecord) {
    const { rows } = await client.query<{ epoch: string }>(referenceEpochSql);
    if (!isEpochKnown(rows, topology)) throw outdated(topology, undefined);
    await installGuards(client as never, core.options.keyspaces, topology);
  }
  await client.query('COMMIT');
  return { shard, status: 'done', result };
}

/** False if it was noted before: a second runner waits here for the first and then sees its note. */
async function note(client: pg.PoolClient, id: string): Promise<boolean> {
  const { rowCount } = await client.query(
    'INSERT INTO shardline.applied_statement (id) VALUES ($1) ON CONFLICT DO NOTHING',
    [id],
  );
  return rowCount === 1;
}
