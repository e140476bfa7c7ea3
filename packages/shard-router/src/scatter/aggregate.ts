/**
 * Totals over shards: each shard computes its part, the parts are merged exactly (pure).
 *
 * `avg` cannot be merged from averages, so the shards send sum and count and the division is made here. Groups
 * are kept in memory, one entry each, and their number is bounded.
 */

import { quoteIdentifier, ShardlineError } from '@shardline/core';
import { routerErrors } from '../errors.js';
import { comparatorFor, isExactNumber, isFloat } from './compare.js';
import { addDecimals, divideDecimal } from './decimal.js';
import type { Column, RawRow } from './merge.js';
import type { Aggregate } from './options.js';

/** Most groups of one scatter: beyond it, the groups belong in a table. */
const MAX_GROUPS = 1_000_000;

/** One total as it is asked of a shard and merged. */
interface Total {
  readonly name: string;
  readonly kind: 'count' | 'sum' | 'avg' | 'min' | 'max';
  readonly column: string | undefined;
  readonly collation: 'C' | undefined;
}

/** What a shard is asked for, and how its answers come together. */
export class AggregatePlan {
  readonly #groupBy: readonly string[];
  readonly #totals: readonly Total[];

  constructor(groupBy: readonly string[], aggregate: Readonly<Record<string, Aggregate>>) {
    this.#groupBy = groupBy;
    this.#totals = Object.entries(aggregate).map(([name, wanted]) => totalOf(name, wanted));
  }

  /** The select list over the statement's rows, and the GROUP BY. */
  shardSql(inner: string): string {
    const groups = this.#groupBy.map(quoteIdentifier);
    const parts = this.#totals.flatMap(({ kind, column, collation }) => {
      const argument = column === undefined ? '*' : quoteIdentifier(column);
      switch (kind) {
        case 'avg':
          return [`sum(${argument})`, `count(${argument})`];
        case 'min':
        case 'max':
          return [
            `${kind}(${argument}${collation === undefined ? '' : ' COLLATE pg_catalog."C"'})`,
          ];
        default:
          return [`${kind}(${argument})`];
      }
    });
    const list = [...groups, ...parts].map((part, at) => `${part} AS "c${at}"`);
    const grouping =
      groups.length === 0 ? '' : ` GROUP BY ${groups.map((_, at) => at + 1).join(', ')}`;
    return `SELECT ${list.join(', ')} FROM (${inner}\n) AS "scattered"${grouping}`;
  }

  /** A place that takes the shards' rows in. */
  accumulator(): AggregateAccumulator {
    return new AggregateAccumulator(this.#groupBy, this.#totals);
  }
}

function totalOf(name: string, wanted: Aggregate): Total {
  if (wanted === 'count') return { name, kind: 'count', column: undefined, collation: undefined };
  const [kind, column] = Object.entries(wanted).find(([key]) => key !== 'collation') as [
    Total['kind'],
    string,
  ];
  return { name, kind, column, collation: 'collation' in wanted ? wanted.collation : undefined };
}

type Merge = (a: string, b: string) => string;

/** Merges rows of totals, whichever shard they come from, in whatever order. */
export class AggregateAccumulator {
  readonly #groupBy: readonly string[];
  readonly #totals: readonly Total[];
  readonly #groups = new Map<string, (string | null)[]>();
  #columns: readonly Column[] = [];
  #merges: readonly Merge[] = [];

  constructor(groupBy: readonly string[], totals: readonly Total[]) {
    this.#groupBy = groupBy;
    this.#totals = totals;
  }

  /** @throws ShardlineError `SCATTER_REFUSED` for a type that cannot be merged. */
  describe(columns: readonly Column[]): void {
    if (this.#columns.length > 0) return;
    this.#columns = columns;
    this.#merges = this.#mergesFor(columns);
  }

  add(row: RawRow): void {
    const width = this.#groupBy.length;
    const key = JSON.stringify(row.slice(0, width));
    const known = this.#groups.get(key);
    if (known === undefined) {
      if (this.#groups.size >= MAX_GROUPS) {
        throw new ShardlineError(
          routerErrors.SCATTER_REFUSED,
          `The scatter has more than ${MAX_GROUPS} groups.`,
        );
      }
      this.#groups.set(key, [...row]);
      return;
    }
    for (let at = width; at < row.length; at += 1) {
      const next = row[at] as string | null;
      const before = known[at] as string | null;
      if (next === null) continue;
      known[at] = before === null ? next : (this.#merges[at - width] as Merge)(before, next);
    }
  }

  /** The columns of the merged rows. */
  get columns(): readonly Column[] {
    const groups = this.#groupBy.map((name, at) => ({ name, typeId: this.#typeOf(at) }));
    let at = groups.length;
    const totals = this.#totals.map(({ name, kind }) => {
      const typeId = this.#typeOf(at);
      at += kind === 'avg' ? 2 : 1;
      return { name, typeId: kind === 'avg' && !isFloat(typeId) ? NUMERIC : typeId };
    });
    return [...groups, ...totals];
  }

  /** The merged rows, in no order. */
  *rows(): Generator<RawRow> {
    const width = this.#groupBy.length;
    for (const row of this.#groups.values()) {
      const merged = row.slice(0, width);
      let at = width;
      for (const { kind } of this.#totals) {
        if (kind === 'avg') {
          merged.push(this.#average(at, row[at] as string | null, row[at + 1] as string));
          at += 2;
        } else {
          merged.push(row[at] as string | null);
          at += 1;
        }
      }
      yield merged;
    }
  }

  #average(at: number, sum: string | null, count: string): string | null {
    if (sum === null) return null;
    return isFloat(this.#typeOf(at))
      ? String(Number(sum) / Number(count))
      : divideDecimal(sum, BigInt(count));
  }

  #typeOf(at: number): number {
    return this.#columns[at]?.typeId ?? 0;
  }

  #mergesFor(columns: readonly Column[]): Merge[] {
    let at = this.#groupBy.length;
    return this.#totals.flatMap(({ name, kind, collation }) => {
      const { typeId } = columns[at] as Column;
      at += kind === 'avg' ? 2 : 1;
      switch (kind) {
        case 'count':
          return [addDecimals];
        case 'sum':
          return [sumOf(name, typeId)];
        case 'avg':
          return [sumOf(name, typeId), addDecimals];
        default: {
          const compare = comparatorFor(typeId, name, collation);
          const sign = kind === 'min' ? 1 : -1;
          return [(a: string, b: string) => (compare(a, b) * sign <= 0 ? a : b)];
        }
      }
    });
  }
}

const NUMERIC = 1700;

function sumOf(name: string, typeId: number): Merge {
  if (isExactNumber(typeId)) return addDecimals;
  if (isFloat(typeId)) return (a, b) => String(Number(a) + Number(b));
  throw new ShardlineError(
    routerErrors.SCATTER_REFUSED,
    `The total '${name}' cannot be merged: sums of type oid ${typeId} are not numbers.`,
  );
}
