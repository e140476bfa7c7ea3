/**
 * The public router: opens shards and catalog, follows the topology, hands out keyspaces.
 */

import { randomUUID } from 'node:crypto';
import {
  type Clock,
  coreErrors,
  type Duration,
  durationMs,
  ShardlineError,
  systemClock,
  withDeadline,
} from '@shardline/core';
import { ReplicaPool } from '@shardline/pool';
import type pg from 'pg';
import { compareSchemas, type SchemaDifference } from './doctor/compare-schemas.js';
import { routerErrors } from './errors.js';
import type { ShardKey } from './keyspace.js';
import { type ByKeysOptions, KeyspaceRouter } from './keyspace-router.js';
import type { RouteDecision } from './route/decide.js';
import { type CallOptions, RouterCore } from './router-core.js';
import {
  type FilledRouterOptions,
  fillRouterOptions,
  isPool,
  type RouterOptions,
  type ShardLocation,
  toTableName,
} from './router-options.js';
import { routerTelemetry } from './router-telemetry.js';
import type { ScatterOptions } from './scatter/options.js';
import type { ScatterRows } from './scatter/scatter.js';
import { Shard } from './shard/shard.js';
import { type CatalogState, checkCatalog, loadCatalog } from './topology/catalog.js';
import type { Topology } from './topology/topology.js';
import { type CatalogPool, CatalogWatcher } from './topology/watcher.js';
import type { ShardTransaction, TransactionOptions } from './transaction.js';
import { VERSION } from './version.js';
import type { CopyOptions, CopyReport } from './write/copy-from.js';
import { type EverywhereOptions, runEverywhere, type ShardOutcome } from './write/everywhere.js';
import type { InsertOptions } from './write/insert-many.js';
import { ReferenceTables } from './write/reference-tables.js';

/** Where a table is. */
export type TablePlacement =
  | { readonly kind: 'sharded'; readonly keyspace: string; readonly key: string }
  | { readonly kind: 'reference' }
  | { readonly kind: 'unsharded'; readonly shard: string };

/** How a router is. */
export interface RouterHealth {
  /** Whether every shard that owns slots has settings and has been found to be right. */
  readonly ready: boolean;
  readonly epoch: number;
  readonly shards: readonly { readonly name: string; readonly checked: boolean }[];
  /** Undefined with a fixed topology. */
  readonly catalog:
    | {
        readonly lastSeenMsAgo: number;
        /** Whether calls may skip verification at the moment. */
        readonly leased: boolean;
        readonly revision: number;
        /** What went wrong the last time that something did; it may be long over. */
        readonly lastError: unknown;
      }
    | undefined;
  readonly holds: readonly {
    readonly keyspace: string;
    readonly holds: readonly string[];
    readonly waiting: number;
  }[];
}

/**
 * Routes by key over shards. Made by `createRouter`.
 *
 * Calls without a keyspace go to the first one; `router.keyspace(name)` has the same calls for any.
 */
export class Router implements AsyncDisposable {
  readonly #core: RouterCore;
  readonly #keyspaces = new Map<string, KeyspaceRouter>();
  readonly #default: KeyspaceRouter;
  readonly #catalogPool: { pool: pg.Pool; isOwned: boolean } | undefined;
  readonly #telemetry: ReturnType<typeof routerTelemetry>;
  readonly #drainMs: number;
  #closing: Promise<void> | undefined;
  /** Why the catalog could not be followed the last time that it could not. */
  #catalogError: unknown;
  /** Writes and reads of the tables that are the same on every shard. */
  readonly reference: ReferenceTables;

  /** @internal Use `createRouter`. */
  constructor(core: RouterCore, catalogPool: { pool: pg.Pool; isOwned: boolean } | undefined) {
    this.#core = core;
    this.#catalogPool = catalogPool;
    this.#drainMs = core.options.holdTimeoutMs;
    for (const name of core.options.keyspaces.keys()) {
      this.#keyspaces.set(name, new KeyspaceRouter(core, name));
    }
    this.#default = this.#keyspaces.values().next().value as KeyspaceRouter;
    this.reference = new ReferenceTables(core);
    this.#telemetry = routerTelemetry(core, this.#keyspaces);
  }

  /** @internal Begins to follow the catalog. */
  async follow(state: CatalogState, clock: Clock): Promise<void> {
    const { pollMs, leaseMs, listen, name } = this.#core.options;
    const watcher = new CatalogWatcher({
      pool: this.#catalogPool?.pool as unknown as CatalogPool,
      routerId: randomUUID(),
      routerName: name,
      version: VERSION,
      pollMs,
      leaseMs,
      listen,
      clock,
      apply: (news) => this.#apply(news),
      onError: (error) => {
        this.#catalogError = error;
      },
    });
    this.#core.watcher = watcher;
    await watcher.start(state);
  }

  /** The topology in force. */
  get topology(): Topology {
    return this.#core.topology;
  }

  /** @throws ShardlineError `KEYSPACE_UNKNOWN`. */
  keyspace(name: string): KeyspaceRouter {
    const found = this.#keyspaces.get(name);
    if (found !== undefined) return found;
    throw new ShardlineError(
      routerErrors.KEYSPACE_UNKNOWN,
      `This router has no keyspace '${name}'; it has: ${[...this.#keyspaces.keys()].join(', ')}.`,
    );
  }

  /** The pool of the shard that owns a key. See `KeyspaceRouter.shard`. */
  shard(key: ShardKey): pg.Pool {
    return this.#default.shard(key);
  }

  /** Where a call would go, and why. */
  explain(target?: ShardKey | readonly ShardKey[]): RouteDecision {
    return this.#default.explain(target);
  }

  /** Runs one statement on the shard that owns a key. See `KeyspaceRouter.query`. */
  query<Row extends pg.QueryResultRow = Record<string, unknown>>(
    key: ShardKey,
    text: string,
    values?: readonly unknown[],
    options?: CallOptions,
  ): Promise<pg.QueryResult<Row>> {
    return this.#default.query<Row>(key, text, values, options);
  }

  /** Runs work in a transaction on the shard that owns a key. See `KeyspaceRouter.transaction`. */
  transaction<T>(
    key: ShardKey,
    work: (transaction: ShardTransaction) => Promise<T>,
    options?: TransactionOptions,
  ): Promise<T> {
    return this.#default.transaction(key, work, options);
  }

  /** Reads rows of many keys, in the order of the keys. See `KeyspaceRouter.byKeys`. */
  byKeys<Row extends pg.QueryResultRow = Record<string, unknown>>(
    keys: readonly ShardKey[],
    text: string,
    options: ByKeysOptions,
  ): Promise<Row[][]> {
    return this.#default.byKeys<Row>(keys, text, options);
  }

  /** Runs a SELECT on all shards and merges the rows. See `KeyspaceRouter.scatter`. */
  scatter<Row extends object = Record<string, unknown>>(
    text: string,
    values?: readonly unknown[],
    options?: ScatterOptions,
  ): ScatterRows<Row> {
    return this.#default.scatter<Row>(text, values, options);
  }

  /** Inserts rows into a sharded table of any keyspace. See `KeyspaceRouter.insertMany`. */
  async insertMany(
    table: string,
    rows: readonly Readonly<Record<string, unknown>>[],
    options?: InsertOptions,
  ): Promise<number> {
    return this.#keyspaceOf(table).insertMany(table, rows, options);
  }

  /** Copies a stream of rows into a sharded table. See `KeyspaceRouter.copyFrom`. */
  async copyFrom(
    table: string,
    rows:
      | AsyncIterable<Readonly<Record<string, unknown>>>
      | Iterable<Readonly<Record<string, unknown>>>,
    options: CopyOptions,
  ): Promise<CopyReport> {
    return this.#keyspaceOf(table).copyFrom(table, rows, options);
  }

  /**
   * Runs a statement, such as DDL, on every shard and waits for all. Declared tables that it makes come under
   * guard in the same transaction.
   *
   * @throws ShardlineError `EVERYWHERE_INCOMPLETE` naming the shards that failed; repeat it with the same `id`.
   */
  everywhere(
    sql: string,
    values: readonly unknown[] = [],
    options: EverywhereOptions = {},
  ): Promise<ShardOutcome[]> {
    return runEverywhere(this.#core, sql, values, options);
  }

  /** The pool of the tables that are on one shard. @throws ShardlineError `TABLE_UNKNOWN`. */
  unsharded(): pg.Pool {
    const { unsharded } = this.#core.options;
    if (unsharded !== undefined) return this.#core.shard(unsharded.shard).pool;
    throw new ShardlineError(routerErrors.TABLE_UNKNOWN, 'This router has no unsharded tables.');
  }

  /** Where a table is. @throws ShardlineError `TABLE_UNKNOWN`. */
  table(name: string): TablePlacement {
    const wanted = toTableName(name);
    const isWanted = (table: { schema: string; name: string }) =>
      table.schema === wanted.schema && table.name === wanted.name;
    for (const keyspace of this.#keyspaces.values()) {
      const table = keyspace.tables.find(isWanted);
      if (table !== undefined) return { kind: 'sharded', keyspace: keyspace.name, key: table.key };
    }
    const { referenceTables, unsharded } = this.#core.options;
    if (referenceTables.some(isWanted)) return { kind: 'reference' };
    if (unsharded?.tables.some(isWanted)) return { kind: 'unsharded', shard: unsharded.shard };
    throw new ShardlineError(
      routerErrors.TABLE_UNKNOWN,
      `The table '${name}' is in no keyspace, no reference table and not unsharded.`,
    );
  }

  /** How the declared tables differ between shards; empty if they do not. */
  async doctor(): Promise<SchemaDifference[]> {
    return compareSchemas(this.#core);
  }

  /** Asks the catalog now; resolves when what it says is in force. */
  async refresh(options: CallOptions = {}): Promise<void> {
    await this.#core.watcher?.refresh(options.signal);
  }

  health(): RouterHealth {
    const { watcher, topology, shards } = this.#core;
    const nowMs = this.#core.clock.monotonicMs();
    const owning = new Set([...topology.keyspaces.values()].flatMap((one) => one.owningShards()));
    return {
      ready: [...owning].every((name) => shards.get(name)?.isChecked === true),
      epoch: topology.epoch,
      shards: [...shards.values()].map(({ name, isChecked }) => ({ name, checked: isChecked })),
      catalog:
        watcher === undefined
          ? undefined
          : {
              lastSeenMsAgo: nowMs - watcher.lastSeenAtMs,
              leased: this.#core.isCovered(nowMs),
              revision: watcher.appliedRevision,
              lastError: this.#catalogError,
            },
      holds: [...this.#keyspaces.values()].map(({ name, gate }) => ({
        keyspace: name,
        holds: gate.holds,
        waiting: gate.waiting,
      })),
    };
  }

  /**
   * Ends everything: waiting calls fail with `CLOSED`, pools that the router has made are ended.
   *
   * @throws ShardlineError `DEADLINE_EXCEEDED` if calls under way outlast the deadline.
   */
  close(options: { readonly deadline?: Duration } = {}): Promise<void> {
    this.#closing ??= withDeadline(
      { timeoutMs: durationMs(options.deadline ?? '30s'), doing: 'Closing the router' },
      () => this.#close(),
    );
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close(): Promise<void> {
    const closed = new ShardlineError(coreErrors.CLOSED, 'The router was closed.');
    for (const { gate } of this.#keyspaces.values()) gate.rejectAll(closed);
    this.#telemetry.close();
    await this.#core.watcher?.close();
    const owned = [...this.#core.shards.values()].filter(({ ownsPool }) => ownsPool);
    await Promise.all(owned.map(({ pool }) => pool.end()));
    if (this.#catalogPool?.isOwned) await this.#catalogPool.pool.end();
  }

  /** New holds first, then the new map, then old holds go: whoever waited is routed by the new map. */
  async #apply({ topology, holds }: CatalogState): Promise<void> {
    const wanted = new Map(holds.map((hold) => [`catalog:${hold.id}`, hold]));
    const draining: Promise<void>[] = [];
    for (const [id, { keyspace, slots }] of wanted) {
      const router = this.#keyspaces.get(keyspace);
      if (router === undefined) continue;
      // Asked again of a hold that stands, since it may have stood without having drained.
      draining.push(router.hold(id, slots, { timeoutMs: this.#drainMs }));
    }
    this.#core.topology = topology;
    for (const router of this.#keyspaces.values()) {
      router.follow();
      for (const id of router.gate.holds) {
        if (id.startsWith('catalog:') && !wanted.has(id)) router.release(id);
      }
    }
    await Promise.all(draining);
  }

  #keyspaceOf(table: string): KeyspaceRouter {
    const placement = this.table(table);
    if (placement.kind === 'sharded') return this.keyspace(placement.keyspace);
    throw new ShardlineError(
      routerErrors.TABLE_UNKNOWN,
      `The table '${table}' is not sharded (${placement.kind}); write it through \`router.${placement.kind}\`.`,
    );
  }
}

/**
 * Opens a router.
 *
 * @throws ShardlineError `CONFIG_INVALID` with every fault; `CATALOG_MISSING`, `CATALOG_TOO_NEW`;
 * `SHARD_MISSING`, `TOPOLOGY_INVALID`; `HASH_MISMATCH` and `SHARD_MISMATCH` naming the shard.
 *
 * @example
 * ```ts
 * import { createRouter } from '@shardline/shard-router';
 *
 * await using router = await createRouter({
 *   catalog: { primary: 'postgres://app@catalog/shardline' },
 *   shards: {
 *     a: { primary: 'postgres://app@db-1/betting', replicas: ['postgres://app@db-2/betting'] },
 *     b: { primary: 'postgres://app@db-3/betting' },
 *   },
 *   keyspaces: {
 *     users: { keyType: 'bigint', tables: { users: 'user_id', bets: 'creator_id' } },
 *   },
 * });
 * const { rows } = await router.query(42n, 'SELECT * FROM users WHERE user_id = $1', [42n]);
 * ```
 */
export async function createRouter(
  options: RouterOptions,
  clock: Clock = systemClock,
): Promise<Router> {
  const filled = fillRouterOptions(options);
  const catalogPool = filled.catalog === undefined ? undefined : openPool(filled.catalog);
  const shards = new Map(
    Object.entries(filled.shards).map(([name, where]) => {
      const { pool, isOwned } = openPool(where);
      return [
        name,
        new Shard({ name, pool, ownsPool: isOwned, hasRecord: filled.catalog !== undefined }),
      ];
    }),
  );
  let router: Router | undefined;
  try {
    const state = await firstState(filled, catalogPool?.pool);
    checkKeyspaces(filled, state.topology);
    checkShards(filled, state.topology);
    const core = new RouterCore(filled, shards, state.topology, clock);
    router = new Router(core, catalogPool);
    await checkReachable(core);
    if (catalogPool !== undefined) await router.follow(state, clock);
    return router;
  } catch (error) {
    if (router === undefined) {
      const owned = [...shards.values()].filter(({ ownsPool }) => ownsPool);
      await Promise.allSettled(owned.map(({ pool }) => pool.end()));
      if (catalogPool?.isOwned) await catalogPool.pool.end();
    } else await router.close();
    throw error;
  }
}

/** A pool for a place: the one that is given, or one that is made and is to be ended with its maker. */
export function openPool(where: ShardLocation): { pool: pg.Pool; isOwned: boolean } {
  if (isPool(where)) return { pool: where, isOwned: false };
  const pool = new ReplicaPool(where) as unknown as pg.Pool;
  // A connection that dies while idle is replaced by the pool; nobody waits for it.
  pool.on('error', () => {});
  return { pool, isOwned: true };
}

async function firstState(
  options: FilledRouterOptions,
  catalog: pg.Pool | undefined,
): Promise<CatalogState> {
  if (catalog === undefined) {
    return { topology: options.topology as Topology, revision: 0, holds: [] };
  }
  const client = await catalog.connect();
  let isBroken = true;
  try {
    await checkCatalog(client as never);
    const state = await loadCatalog(client as never);
    isBroken = false;
    if (state !== undefined) return state;
  } finally {
    client.release(isBroken);
  }
  throw new ShardlineError(routerErrors.CATALOG_MISSING, 'The catalog holds no topology yet.', {
    remedy: 'Publish the first one with `bootstrap`.',
  });
}

function checkKeyspaces(options: FilledRouterOptions, topology: Topology): void {
  const faults: string[] = [];
  for (const [name, wanted] of options.keyspaces) {
    const found = topology.keyspaces.get(name)?.keyspace;
    if (found === undefined) {
      faults.push(`keyspace '${name}' is not in the topology`);
      continue;
    }
    for (const member of ['keyType', 'hash', 'slots'] as const) {
      if (found[member] !== wanted[member]) {
        faults.push(`keyspace '${name}' has ${member} ${found[member]}, not ${wanted[member]}`);
      }
    }
  }
  if (faults.length === 0) return;
  throw new ShardlineError(
    routerErrors.TOPOLOGY_INVALID,
    `The options of the router do not fit the topology of epoch ${topology.epoch}: ${faults.join('; ')}.`,
    { details: { faults } },
  );
}

function checkShards(options: FilledRouterOptions, topology: Topology): void {
  const owning = [...topology.keyspaces.values()].flatMap((keyspace) => keyspace.owningShards());
  const missing = [...new Set(owning)].filter((name) => !(name in options.shards));
  if (missing.length === 0) return;
  throw new ShardlineError(
    routerErrors.SHARD_MISSING,
    `The topology of epoch ${topology.epoch} gives slots to ${missing.map((name) => `'${name}'`).join(', ')}, for which the router has no settings.`,
    { details: { missing } },
  );
}

/** Refuses shards that answer and are wrong; those that do not answer are checked when they are needed. */
async function checkReachable(core: RouterCore): Promise<void> {
  const outcomes = await Promise.allSettled(
    [...core.shards.values()].map((shard) => shard.ensureChecked()),
  );
  const refused = outcomes.find(
    (outcome) => outcome.status === 'rejected' && isRefusal(outcome.reason),
  );
  if (refused !== undefined) throw (refused as PromiseRejectedResult).reason;
}

const REFUSALS = new Set(['HASH_MISMATCH', 'SHARD_MISMATCH', 'CATALOG_MISSING', 'CATALOG_TOO_NEW']);

function isRefusal(error: unknown): boolean {
  return REFUSALS.has((error as { code?: string })?.code ?? '');
}
