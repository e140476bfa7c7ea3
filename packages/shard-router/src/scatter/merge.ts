/**
 * The k-way merge: rows of many sorted streams as one sorted stream (pure, but for the pace of its sources).
 *
 * A binary heap holds the first row of every stream; memory is what the streams buffer, whatever their length.
 */

import { comparatorFor } from './compare.js';
import type { OrderTerm } from './options.js';

/** A row as texts, by column. */
export type RawRow = readonly (string | null)[];

/** What is known of a result's columns. */
export interface Column {
  readonly name: string;
  readonly typeId: number;
}

/** Rows of one shard: those at hand at once, others when they arrive. */
export interface RowSource {
  /** The next row that is at hand, or undefined when `more` has to be asked. */
  take(): RawRow | undefined;
  /** Resolves to whether there are rows at hand again; false at the end. */
  more(): Promise<boolean>;
}

export type RowComparator = (a: RawRow, b: RawRow) => number;

/**
 * The order of rows that ORDER BY asks for.
 *
 * @throws ShardlineError `SCATTER_REFUSED` for a type without a mergeable order.
 */
export function rowComparator(
  columns: readonly Column[],
  terms: readonly OrderTerm[],
): RowComparator {
  const parts = terms.map(({ column, direction = 'asc', nulls, collation }) => {
    const index = columns.findIndex(({ name }) => name === column);
    const { typeId } = columns[index] as Column;
    const isDescending = direction === 'desc';
    return {
      index,
      compare: comparatorFor(typeId, column, collation),
      sign: isDescending ? -1 : 1,
      nullsFirst: nulls === undefined ? isDescending : nulls === 'first',
    };
  });
  return (a, b) => {
    for (const { index, compare, sign, nullsFirst } of parts) {
      const x = a[index] as string | null;
      const y = b[index] as string | null;
      if (x === null || y === null) {
        if (x === y) continue;
        return (x === null) === nullsFirst ? -1 : 1;
      }
      const order = compare(x, y);
      if (order !== 0) return order * sign;
    }
    return 0;
  };
}

/** Merges sorted sources. Equal rows come in the order of their sources, so that two runs agree. */
export async function* mergeSorted(
  sources: readonly RowSource[],
  compare: RowComparator,
): AsyncGenerator<RawRow> {
  const heap = new RowHeap(compare);
  await Promise.all(sources.map((source) => source.more()));
  for (const [rank, source] of sources.entries()) {
    const row = source.take();
    if (row !== undefined) heap.push({ row, rank, source });
  }
  for (let first = heap.first; first !== undefined; first = heap.first) {
    yield first.row;
    let next = first.source.take();
    if (next === undefined && (await first.source.more())) next = first.source.take();
    if (next === undefined) heap.shift();
    else heap.replaceFirst({ row: next, rank: first.rank, source: first.source });
  }
}

/** Rows of all sources, one source after the other as they are ready, in no order. */
export async function* concatenate(sources: readonly RowSource[]): AsyncGenerator<RawRow> {
  const pending = new Map<RowSource, Promise<{ source: RowSource; hasMore: boolean }>>();
  const ask = (source: RowSource) =>
    pending.set(
      source,
      source.more().then((hasMore) => ({ source, hasMore })),
    );
  for (const source of sources) ask(source);
  while (pending.size > 0) {
    const { source, hasMore } = await Promise.race(pending.values());
    pending.delete(source);
    if (!hasMore) continue;
    for (let row = source.take(); row !== undefined; row = source.take()) yield row;
    ask(source);
  }
}

interface HeapEntry {
  readonly row: RawRow;
  readonly rank: number;
  readonly source: RowSource;
}

class RowHeap {
  readonly #compare: RowComparator;
  readonly #entries: HeapEntry[] = [];

  constructor(compare: RowComparator) {
    this.#compare = compare;
  }

  get first(): HeapEntry | undefined {
    return this.#entries[0];
  }

  push(entry: HeapEntry): void {
    let at = this.#entries.push(entry) - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!this.#isBefore(at, parent)) break;
      this.#swap(at, parent);
      at = parent;
    }
  }

  replaceFirst(entry: HeapEntry): void {
    this.#entries[0] = entry;
    this.#sink();
  }

  shift(): void {
    const last = this.#entries.pop();
    if (last !== undefined && this.#entries.length > 0) this.replaceFirst(last);
  }

  #sink(): void {
    for (let at = 0; ; ) {
      const left = 2 * at + 1;
      const right = left + 1;
      let least = at;
      if (left < this.#entries.length && this.#isBefore(left, least)) least = left;
      if (right < this.#entries.length && this.#isBefore(right, least)) least = right;
      if (least === at) return;
      this.#swap(at, least);
      at = least;
    }
  }

  #isBefore(a: number, b: number): boolean {
    const x = this.#entries[a] as HeapEntry;
    const y = this.#entries[b] as HeapEntry;
    const order = this.#compare(x.row, y.row);
    return order < 0 || (order === 0 && x.rank < y.rank);
  }

  #swap(a: number, b: number): void {
    const entry = this.#entries[a] as HeapEntry;
    this.#entries[a] = this.#entries[b] as HeapEntry;
    this.#entries[b] = entry;
  }
}
