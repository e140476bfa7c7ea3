/**
 * The public router: follows the topology, hands out keyspaces, ends in good order.
 */

import { randomUUID } from 'node:crypto';
import {
  type Clock,
  coreErrors,
  type Duration,
  durationMs,
  ShardlineError,
  withDeadline,
} from '@shardline/core';
import type pg from 'pg';
import { compareSchemas, type SchemaDifference } from './doctor/compare-schemas.js';
import { routerErrors } from './errors.js';
import type { ShardKey } from './keyspace.js';
import { type ByKeysOptions, KeyspaceRouter } from './keyspace-router.js';
import type { RouteDecision } from './route/decide.js';
import {
  type ExplainOptions,
  explainStatement,
  type StatementExplanation,
} from './route/explain-statement.js';
import type { CallOptions, RouterCore } from './router-core.js';
import { toTableName } from './router-options.js';
import { routerTelemetry } from './router-telemetry.js';
import type { ScatterOptions } from './scatter/options.js';
import type { ScatterRows } from './scatter/scatter.js';
import { WarmUp } from './shard/warm-up.js';
import type { CatalogState } from './topology/catalog.js';
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
  readonly #warmUp: WarmUp;
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
    const { shards, clock } = core;
    this.#warmUp = new WarmUp({ shards, clock, topology: () => core.topology });
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

  /**
   * Where a statement would go, and why: the shards, the servers of each, the rule, and the call that runs it so.
   * Nothing is sent.
   *
   * @param values the parameters; a key that the statement names by `$n` is looked up in them.
   * @throws ShardlineError `STATEMENT_INVALID`, `KEYSPACE_UNKNOWN`, `KEY_INVALID`, `ABORTED`.
   * @example
   * ```ts
   * import type { Router } from '@shardline/shard-router';
   *
   * declare const router: Router;
   * const { rule, shards } = await router.explainStatement(
   *   'SELECT * FROM bets WHERE user_id = $1',
   *   [42],
   * );
   * // rule: 'key-in-statement'; shards: [{ shard: 'b', slots: [517], role: 'replica', nodes: ['db-4:5432'], … }]
   * ```
   */
  explainStatement(
    sql: string,
    values: readonly unknown[] = [],
    options: ExplainOptions = {},
  ): Promise<StatementExplanation> {
    return explainStatement(this.#core, sql, values, options);
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
    this.#warmUp.close();
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
    this.#warmUp.look();
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
