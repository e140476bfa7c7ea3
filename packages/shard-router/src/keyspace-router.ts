/**
 * The calls of one keyspace: by key, by keys, over all shards, and in bulk.
 */

import { ShardlineError } from '@shardline/core';
import { LRUCache } from 'lru-cache';
import type pg from 'pg';
import { routerErrors } from './errors.js';
import type { Keyspace, ShardedTable, ShardKey } from './keyspace.js';
import {
  decideForAll,
  decideForKey,
  decideForKeys,
  type KeyGroup,
  type RouteDecision,
} from './route/decide.js';
import { SlotGate } from './route/slot-gate.js';
import {
  type Attempt,
  type CallOptions,
  done,
  MOVED,
  type RouterCore,
  type StatementOptions,
} from './router-core.js';
import { fillScatterOptions, type ScatterOptions } from './scatter/options.js';
import { isRerunnable } from './scatter/rewrite.js';
import { ScatterRows } from './scatter/scatter.js';
import { ScatterPlanner } from './scatter/scatter-plan.js';
import { loadParser } from './sql/tree.js';
import type { KeyspaceTopology } from './topology/topology.js';
import {
  attemptTransaction,
  checkTransaction,
  type ShardTransaction,
  type TransactionOptions,
} from './transaction.js';
import { type CopyOptions, type CopyReport, copyRows } from './write/copy-from.js';
import { type InsertOptions, insertRows } from './write/insert-many.js';

/** What `byKeys` needs to know beside the statement. */
export interface ByKeysOptions extends StatementOptions {
  /** The column of the result that holds the key. */
  readonly keyColumn: string;
  /** Parameters from `$2` on; `$1` is the array of keys. */
  readonly params?: readonly unknown[];
}

/** Which statements may run again is asked rarely and of few texts. */
const RERUNNABLE_TEXTS = 500;

/** Routes the calls of one keyspace. */
export class KeyspaceRouter {
  readonly name: string;
  readonly keyspace: Keyspace;
  readonly tables: readonly ShardedTable[];
  /** @internal */
  readonly gate: SlotGate;
  readonly #core: RouterCore;
  readonly #planner: ScatterPlanner;
  readonly #rerunnable = new LRUCache<string, boolean>({ max: RERUNNABLE_TEXTS });
  #topology: KeyspaceTopology;

  /** @internal */
  constructor(core: RouterCore, name: string) {
    this.#core = core;
    this.name = name;
    this.#topology = core.topology.keyspace(name);
    this.keyspace = this.#topology.keyspace;
    this.tables = core.options.keyspaces.get(name)?.tables ?? [];
    this.gate = new SlotGate({
      keyspace: name,
      slots: this.keyspace.slots,
      queueLimit: core.options.holdQueueLimit,
      clock: core.clock,
    });
    this.#planner = new ScatterPlanner(core, this);
  }

  /** The map in force. */
  get topology(): KeyspaceTopology {
    return this.#topology;
  }

  /** @internal Brings the topology of the router's core into force here. */
  follow(): void {
    this.#topology = this.#core.topology.keyspace(this.name);
  }

  /**
   * The pool of the shard that owns a key: a `pg.Pool` for query builders. Writes through it are guarded by
   * the shard; reads are as fresh as the topology that this router knows.
   *
   * @throws ShardlineError `KEY_INVALID`, `SHARD_MISSING`, `WRONG_SHARD`.
   */
  shard(key: ShardKey): pg.Pool {
    const owner = this.#topology.ownerOf(this.keyspace.slotOf(key));
    checkTransaction(this.#core, owner, this.name);
    return this.#core.shard(owner).pool;
  }

  /** The slot of a key: what an id that shall live beside it is made for. @throws ShardlineError `KEY_INVALID`. */
  slotOf(key: ShardKey): number {
    return this.keyspace.slotOf(key);
  }

  /** The pool of the shard that owns a slot, such as the one that an id carries. */
  shardOfSlot(slot: number): pg.Pool {
    return this.#core.shard(this.#topology.ownerOf(slot)).pool;
  }

  /** Where a key, some keys or a statement without a key would go, and why. */
  explain(target?: ShardKey | readonly ShardKey[]): RouteDecision {
    if (target === undefined) return decideForAll(this.#topology);
    if (Array.isArray(target)) return decideForKeys(this.#topology, target);
    return decideForKey(this.#topology, target as ShardKey);
  }

  /**
   * Runs one statement on the shard that owns a key.
   *
   * While the slot is being switched the call waits; it fails only if the switch outlasts `holdTimeout`.
   *
   * @throws ShardlineError `KEY_INVALID`, `SLOT_HELD`, `WRONG_SHARD`; `OUTCOME_UNKNOWN` if the slot moved while a
   * statement ran that hides a write (in a WITH); else what PostgreSQL says.
   */
  async query<Row extends pg.QueryResultRow = Record<string, unknown>>(
    key: ShardKey,
    text: string,
    values: readonly unknown[] = [],
    options: StatementOptions = {},
  ): Promise<pg.QueryResult<Row>> {
    const slot = this.keyspace.slotOf(key);
    checkTransaction(this.#core, this.#topology.ownerOf(slot), this.name);
    const slots = [slot];
    const outcome = await this.#core.onSlots(this, slots, this.#call(options), async (route) => {
      const { name, signal } = options;
      const statement = { name, text, values: values as unknown[], signal };
      const result = await route.shard.pool.query<Row>(statement as pg.QueryConfig);
      if (isGuardedWrite(result) || (await this.#core.isVerified(this.name, route, slots))) {
        return done(result);
      }
      await this.#checkRerunnable(text, slot);
      return MOVED;
    });
    return settled(outcome);
  }

  /**
   * Runs work in a transaction on the shard that owns a key. If the slot moves meanwhile, the transaction is
   * rolled back and the work runs again.
   *
   * @throws ShardlineError `OUTCOME_UNKNOWN` if the connection is lost in COMMIT; `WRONG_SHARD`, `SLOT_HELD`.
   */
  async transaction<T>(
    key: ShardKey,
    work: (transaction: ShardTransaction) => Promise<T>,
    options: TransactionOptions = {},
  ): Promise<T> {
    const slot = this.keyspace.slotOf(key);
    checkTransaction(this.#core, this.#topology.ownerOf(slot), this.name);
    const outcome = await this.#core.onSlots(this, [slot], this.#call(options), (route) =>
      attemptTransaction(this.#core, this.keyspace, route, slot, work, options),
    );
    return settled(outcome);
  }

  /**
   * Reads rows of many keys, one statement per shard, and returns them in the order of the keys: an array of
   * rows for each.
   *
   * @param text a SELECT whose `$1` is the array of keys: `… WHERE user_id = ANY ($1)`.
   */
  async byKeys<Row extends pg.QueryResultRow = Record<string, unknown>>(
    keys: readonly ShardKey[],
    text: string,
    options: ByKeysOptions,
  ): Promise<Row[][]> {
    await this.#checkReads(text);
    const call = this.#call(options);
    const byKey = new Map<string, Row[]>();
    let pending: readonly ShardKey[] = this.#distinct(keys);
    while (pending.length > 0) {
      const { groups } = decideForKeys(this.#topology, pending);
      const outcomes = await Promise.all(
        groups.map((group) => this.#readGroup<Row>(group, text, options, call)),
      );
      for (const row of outcomes.flatMap((outcome) => (outcome.done ? outcome.value : []))) {
        this.#collect(byKey, row, options.keyColumn);
      }
      pending = groups.flatMap((group, at) => (outcomes[at]?.done === true ? [] : group.keys));
    }
    return keys.map((key) => byKey.get(this.keyspace.canonical(key)) ?? []);
  }

  /**
   * Runs a SELECT on all shards and merges the rows into one stream; memory stays flat however many there are.
   *
   * Exact while slots move: every row is counted once, at the shard that owns it.
   *
   * @throws ShardlineError `SCATTER_REFUSED` for what cannot be merged, `SCATTER_PARTIAL` if a shard fails.
   */
  scatter<Row extends object = Record<string, unknown>>(
    text: string,
    values: readonly unknown[] = [],
    options: ScatterOptions = {},
  ): ScatterRows<Row> {
    const filled = fillScatterOptions(options);
    this.#core.counts.scatters += 1;
    const call = { untilMs: this.#core.deadline(), signal: options.signal };
    let attempts = 0;
    return new ScatterRows<Row>({
      keyspace: this.name,
      values,
      options: filled,
      plan: () => this.#planner.plan(text, filled),
      refresh: async () => {
        await this.#core.news(this.name, this.#topology, [0], call, attempts);
        attempts += 1;
      },
    });
  }

  /**
   * Inserts rows, batched by shard; each batch is one statement.
   *
   * @param table a table of this keyspace.
   * @param rows objects whose members are columns; all have the same.
   * @returns how many rows were inserted.
   */
  insertMany(
    table: string,
    rows: readonly Readonly<Record<string, unknown>>[],
    options: InsertOptions = {},
  ): Promise<number> {
    return insertRows(this.#core, this, table, rows, options);
  }

  /**
   * Copies a stream of rows into a table, split by shard into COPY, no faster than the shards take them.
   *
   * Rows are committed in chunks. If it fails, `details.copied` of the error says how many rows each shard has.
   */
  copyFrom(
    table: string,
    rows:
      | AsyncIterable<Readonly<Record<string, unknown>>>
      | Iterable<Readonly<Record<string, unknown>>>,
    options: CopyOptions,
  ): Promise<CopyReport> {
    return copyRows(this.#core, this, table, rows, options);
  }

  /**
   * Holds slots back: calls for them wait from now on. Resolves when nothing is in flight on them.
   *
   * @param id names the hold for `release`.
   */
  hold(
    id: string,
    slots: Iterable<number>,
    options: CallOptions & { timeoutMs: number },
  ): Promise<void> {
    const wanted = [...slots];
    this.gate.hold(id, wanted);
    return this.gate.drained(wanted, options);
  }

  /** Lets held slots go; whoever waited is routed by the topology then in force. */
  release(id: string): void {
    this.gate.release(id);
  }

  /** @throws ShardlineError `TABLE_UNKNOWN`. */
  table(name: string): ShardedTable {
    const dot = name.indexOf('.');
    const schema = dot < 0 ? 'public' : name.slice(0, dot);
    const bare = name.slice(dot + 1);
    const found = this.tables.find((table) => table.schema === schema && table.name === bare);
    if (found !== undefined) return found;
    throw new ShardlineError(
      routerErrors.TABLE_UNKNOWN,
      `Keyspace '${this.name}' has no table '${name}'; it has: ${this.tables.map((table) => table.name).join(', ')}.`,
    );
  }

  #call(options: CallOptions) {
    return { untilMs: this.#core.deadline(), signal: options.signal };
  }

  async #readGroup<Row extends pg.QueryResultRow>(
    group: KeyGroup,
    text: string,
    options: ByKeysOptions,
    call: CallOptions & { untilMs: number },
  ): Promise<Attempt<Row[]>> {
    const slots = [...new Set(group.slots)];
    return this.#core.onSlots(this, slots, call, async (route) => {
      const keys = group.keys.map((key) => (typeof key === 'bigint' ? String(key) : key));
      const statement = {
        name: options.name,
        text,
        values: [keys, ...(options.params ?? [])],
        signal: options.signal,
      };
      const { rows } = await route.shard.pool.query<Row>(statement as pg.QueryConfig);
      return (await this.#core.isVerified(this.name, route, slots)) ? done(rows) : MOVED;
    });
  }

  #collect<Row extends pg.QueryResultRow>(
    byKey: Map<string, Row[]>,
    row: Row,
    keyColumn: string,
  ): void {
    const value = row[keyColumn] as ShardKey | null | undefined;
    if (value === undefined || value === null) {
      throw new ShardlineError(
        routerErrors.SCATTER_REFUSED,
        `The rows of byKeys have no key in column '${keyColumn}'; select it, or name another keyColumn.`,
      );
    }
    const key = this.keyspace.canonical(value);
    const rows = byKey.get(key);
    if (rows === undefined) byKey.set(key, [row]);
    else rows.push(row);
  }

  #distinct(keys: readonly ShardKey[]): ShardKey[] {
    const distinct = new Map<string, ShardKey>();
    for (const key of keys) {
      // Hashing refuses what is no key of this keyspace, before anything is sent.
      this.keyspace.slotOf(key);
      distinct.set(this.keyspace.canonical(key), key);
    }
    return [...distinct.values()];
  }

  async #checkReads(text: string): Promise<void> {
    await loadParser();
    if (/^\s*(select|with|values|table)\b/i.test(text) && (await this.#mayRerun(text))) return;
    throw new ShardlineError(
      routerErrors.SCATTER_REFUSED,
      'byKeys takes one statement that only reads.',
    );
  }

  async #checkRerunnable(text: string, slot: number): Promise<void> {
    if (await this.#mayRerun(text)) return;
    // A write within a WITH may have been let through and committed before the slot moved: not "nothing of it counts".
    throw new ShardlineError(
      routerErrors.OUTCOME_UNKNOWN,
      `Slot ${slot} of keyspace '${this.name}' moved while a statement ran that may have written and cannot be run again safely.`,
      { remedy: 'Look at what the statement has done before you repeat it.' },
    );
  }

  async #mayRerun(text: string): Promise<boolean> {
    let may = this.#rerunnable.get(text);
    if (may === undefined) {
      await loadParser();
      may = isRerunnable(text);
      this.#rerunnable.set(text, may);
    }
    return may;
  }
}

/** A write that met a row was let through by the guard, which knows better than any check afterwards. */
function isGuardedWrite(result: pg.QueryResult): boolean {
  return (
    (result.rowCount ?? 0) > 0 &&
    (result.command === 'INSERT' ||
      result.command === 'UPDATE' ||
      result.command === 'DELETE' ||
      result.command === 'MERGE')
  );
}

function settled<T>(outcome: Attempt<T>): T {
  // One slot has one owner, so the engine never gives such a call back undone.
  if (!outcome.done) throw new ShardlineError(routerErrors.SLOT_MOVED, 'A slot moved.');
  return outcome.value;
}
