/**
 * One statement on all shards, its rows as one stream.
 *
 * Exact while slots move: the plan is made by one topology; on each shard a snapshot is opened and its record's
 * epoch compared with the plan's; only if all agree does the first row leave. So every row is counted by the shard
 * that owned it at that epoch, and by no other. If one disagrees, the snapshots are let go, the topology is
 * read again, and the scatter begins anew, until its time is up.
 */

import { isShardlineError, quoteIdentifier, ShardlineError } from '@shardline/core';
import pg from 'pg';
import { routerErrors } from '../errors.js';
import { type AggregateAccumulator, AggregatePlan } from './aggregate.js';
import {
  type Column,
  concatenate,
  mergeSorted,
  type RawRow,
  type RowComparator,
  rowComparator,
} from './merge.js';
import type { FilledScatterOptions, OrderTerm } from './options.js';
import { Semaphore } from './semaphore.js';
import { ShardCursor } from './shard-cursor.js';
import { ShardPage } from './shard-page.js';
import type { ScatterClient } from './shard-read.js';

/** The part of a scatter that runs on one shard. */
export interface ScatterTarget {
  readonly shard: string;
  readonly connect: () => Promise<ScatterClient>;
  /** The statement, with what this shard must not count left out. */
  readonly sql: string;
  readonly epoch: number | undefined;
}

/** The rows of one shard: one page, or a cursor. */
type ShardRows = ShardPage | ShardCursor;

/** A shard that did not answer. */
export interface ShardFailure {
  readonly shard: string;
  readonly error: unknown;
}

/** What a scatter needs from its router. */
export interface ScatterRequest {
  readonly keyspace: string;
  readonly values: readonly unknown[];
  readonly options: FilledScatterOptions;
  /** The targets by the newest topology; asked again when it has changed. */
  readonly plan: () => Promise<readonly ScatterTarget[]>;
  /** Brings the topology up to date after a disagreement; rejects when there is no time left. */
  readonly refresh: () => Promise<void>;
}

/** Rows of all shards. Iterate it, or take `all()`. */
export class ScatterRows<Row extends object = Record<string, unknown>>
  implements AsyncIterable<Row>
{
  readonly #request: ScatterRequest;
  readonly #failures: ShardFailure[] = [];

  constructor(request: ScatterRequest) {
    this.#request = request;
  }

  /** Shards that did not answer, with `partial: 'report'`; complete when the rows have ended. */
  get failures(): readonly ShardFailure[] {
    return this.#failures;
  }

  /** All rows at once, for results that are known to be small. */
  async all(): Promise<Row[]> {
    const rows: Row[] = [];
    for await (const row of this) rows.push(row);
    return rows;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Row> {
    const { options } = this.#request;
    let cursors: readonly ShardRows[] = [];
    try {
      cursors = await this.#open();
      const { columns, rows } = this.#rows(cursors);
      const parse = rowParser<Row>(columns);
      let skip = options.offset;
      let left = options.limit ?? Number.POSITIVE_INFINITY;
      if (left === 0) return;
      for await (const row of rows) {
        if (skip > 0) {
          skip -= 1;
          continue;
        }
        yield parse(row);
        left -= 1;
        if (left <= 0) return;
      }
    } finally {
      await Promise.all(cursors.map((cursor) => cursor.close()));
    }
  }

  #rows(cursors: readonly ShardRows[]): {
    columns: readonly Column[];
    rows: AsyncIterable<RawRow>;
  } {
    const { aggregate, groupBy, orderBy } = this.#request.options;
    const columns = cursors.find((cursor) => cursor.columns.length > 0)?.columns ?? [];
    const sources = cursors.map((cursor) => this.#tolerant(cursor));
    if (aggregate !== undefined) {
      const totals = new AggregatePlan(groupBy, aggregate).accumulator();
      totals.describe(columns);
      return { columns: totals.columns, rows: accumulate(totals, sources, orderBy) };
    }
    if (orderBy.length === 0) return { columns, rows: concatenate(sources) };
    return { columns, rows: mergeSorted(sources, orderOf(columns, orderBy)) };
  }

  /** With `partial: 'report'` a shard that breaks ends early and is reported; else its error is everyone's. */
  #tolerant(cursor: ShardRows) {
    return {
      take: () => cursor.take(),
      more: async () => {
        try {
          return await cursor.more();
        } catch (error) {
          this.#fail(cursor.shard, error);
          return false;
        }
      },
    };
  }

  async #open(): Promise<ShardRows[]> {
    for (;;) {
      const targets = await this.#request.plan();
      const cursors = await this.#openAll(targets);
      if (cursors !== undefined) return cursors;
      this.#failures.length = 0;
      await this.#request.refresh();
    }
  }

  /** Opens and starts all shards; undefined, with everything closed, if one was not at the plan's epoch. */
  async #openAll(targets: readonly ScatterTarget[]): Promise<ShardRows[] | undefined> {
    const { values, keyspace, options } = this.#request;
    const running = new Semaphore(options.concurrency);
    const { batchRows, orderBy, aggregate, shardTimeoutMs: timeoutMs, signal } = options;
    const isPage = isFew(options);
    // Totals need no order from the shards, and cannot be ordered by what only the merge will name.
    const order = (columns: readonly Column[]) =>
      orderBy.length === 0 || aggregate !== undefined ? undefined : orderOf(columns, orderBy);
    const cursors: ShardRows[] = targets.map((target) => {
      const read = { ...target, values, keyspace, running, timeoutMs, signal };
      return isPage ? new ShardPage({ ...read, order }) : new ShardCursor({ ...read, batchRows });
    });
    try {
      const opened = await this.#each(cursors, (cursor) => cursor.open());
      const agrees = cursors.every(
        (_, at) =>
          opened[at] === undefined ||
          targets[at]?.epoch === undefined ||
          opened[at] === targets[at]?.epoch,
      );
      if (!agrees) {
        await Promise.all(cursors.map((cursor) => cursor.close()));
        return undefined;
      }
      const alive = cursors.filter((_, at) => opened[at] !== undefined);
      await this.#each(alive, (cursor) => cursor.start());
      return await this.#alive(alive, cursors);
    } catch (error) {
      await Promise.all(cursors.map((cursor) => cursor.close()));
      throw error;
    }
  }

  async #alive(started: ShardRows[], all: readonly ShardRows[]): Promise<ShardRows[]> {
    const failed = new Set(this.#failures.map(({ shard }) => shard));
    const dead = all.filter(({ shard }) => failed.has(shard));
    await Promise.all(dead.map((cursor) => cursor.close()));
    const alive = started.filter(({ shard }) => !failed.has(shard));
    if (alive.length === 0 && failed.size > 0) throw this.#failures[0]?.error;
    return alive;
  }

  /** Runs a step on all shards and waits for every one, so that none is left behind half done. */
  async #each<T>(
    cursors: readonly ShardRows[],
    step: (cursor: ShardRows) => Promise<T>,
  ): Promise<(T | undefined)[]> {
    const outcomes = await Promise.allSettled(cursors.map(step));
    return outcomes.map((outcome, at) => {
      if (outcome.status === 'fulfilled') return outcome.value;
      this.#fail((cursors[at] as ShardRows).shard, outcome.reason);
      return undefined;
    });
  }

  #fail(shard: string, error: unknown): void {
    // The statement itself is at fault, on this shard as on every other.
    if (isShardlineError(error, 'SCATTER_REFUSED')) throw error;
    if (this.#request.options.partial === 'report') {
      this.#failures.push({ shard, error });
      return;
    }
    throw new ShardlineError(
      routerErrors.SCATTER_PARTIAL,
      `Shard '${shard}' failed during a scatter: ${(error as Error)?.message ?? error}`,
      { cause: error, details: { shard } },
    );
  }
}

/** The statement as each shard gets it: totals, order and limit pushed down. */
export function pushDown(inner: string, options: FilledScatterOptions): string {
  if (options.aggregate !== undefined) {
    return new AggregatePlan(options.groupBy, options.aggregate).shardSql(inner);
  }
  if (options.orderBy.length === 0 && options.limit === undefined) return inner;
  const terms = options.orderBy.map(orderTermSql).join(', ');
  const order = terms === '' ? '' : ` ORDER BY ${terms}`;
  const limit = options.limit === undefined ? '' : ` LIMIT ${options.limit + options.offset}`;
  return `SELECT * FROM (${inner}\n) AS "scattered"${order}${limit}`;
}

function orderTermSql({ column, direction = 'asc', nulls, collation }: OrderTerm): string {
  const where = nulls ?? (direction === 'desc' ? 'first' : 'last');
  const order = collation === undefined ? '' : ' COLLATE pg_catalog."C"';
  return `${quoteIdentifier(column)}${order} ${direction.toUpperCase()} NULLS ${where.toUpperCase()}`;
}

/** Whether a shard's part fits one batch whatever is there, so that a cursor would only cost round trips. */
function isFew({ aggregate, groupBy, limit, offset, batchRows }: FilledScatterOptions): boolean {
  if (aggregate !== undefined) return groupBy.length === 0;
  return limit !== undefined && limit + offset <= batchRows;
}

function orderOf(columns: readonly Column[], terms: readonly OrderTerm[]): RowComparator {
  checkOrder(columns, terms);
  return rowComparator(columns, terms);
}

function checkOrder(columns: readonly Column[], terms: readonly OrderTerm[]): void {
  const missing = terms.find(({ column }) => !columns.some(({ name }) => name === column));
  if (missing === undefined || columns.length === 0) return;
  throw new ShardlineError(
    routerErrors.SCATTER_REFUSED,
    `There is no column '${missing.column}' in the result to order by.`,
  );
}

async function* accumulate(
  totals: AggregateAccumulator,
  sources: readonly Parameters<typeof concatenate>[0][number][],
  orderBy: readonly OrderTerm[],
): AsyncGenerator<RawRow> {
  for await (const row of concatenate(sources)) totals.add(row);
  const rows = [...totals.rows()];
  if (orderBy.length > 0) {
    checkOrder(totals.columns, orderBy);
    const compare: RowComparator = rowComparator(totals.columns, orderBy);
    rows.sort(compare);
  }
  yield* rows;
}

function rowParser<Row>(columns: readonly Column[]): (row: RawRow) => Row {
  const parsers = columns.map(({ typeId }) => pg.types.getTypeParser(typeId, 'text'));
  return (raw) => {
    const row: Record<string, unknown> = {};
    for (let at = 0; at < columns.length; at += 1) {
      const text = raw[at] as string | null;
      row[(columns[at] as Column).name] = text === null ? null : parsers[at]?.(text);
    }
    return row as Row;
  };
}
