/**
 * Whether both sides of a move hold the same rows.
 *
 * In chunks of slots, each in a short transaction, so that no snapshot is held for long; a chunk is one pass over each
 * table, since no index leads to a slot. What differs is narrowed down: slot, then a share of its keys, then
 * keys. While writers write, two servers can never be asked at one moment, and a row that is under way looks like a
 * difference. So a difference is believed only after a second look:
 *
 * 1. read the row at the source,
 * 2. wait until everything that was committed there has arrived (`settle`: a barrier, or the pause, when there is nothing
 *    to wait for),
 * 3. read the row at the destination, and once more at the source.
 *
 * If the source's two answers are equal and the destination's is another, the difference is real; if they are not, the
 * row is being written and is looked at again.
 */

import { quoteInteger, throwIfAborted } from '@shardline/core';
import type { Keyspace, ShardedTable } from '../keyspace.js';
import type { MoveContext, ShardEndpoint } from './move-context.js';
import type { VerifyReport } from './rebalancer.js';
import { digestOf, type RowDigest, readPinned } from './row-digest.js';
import { nextChunk, smallestChunk } from './verify-chunk.js';

/** A row that is not the same on both sides. */
export type RowDifference = VerifyReport['differences'][number];

/** Rows of slots that a shard does not own. */
export type ForeignRows = VerifyReport['foreignRows'][number];

/** How far a comparison is. `slotsCompared` of it resumes there. */
export interface VerifyProgress {
  /** Of the move's slots in ascending order, those that are done; pass it as `resumeFrom`. */
  readonly slotsCompared: number;
  readonly slots: number;
  readonly rowsCompared: number;
  readonly differences: number;
}

/** How rows are compared. */
export interface VerifyOptions {
  readonly signal?: AbortSignal | undefined;
  readonly onChunk?: ((progress: VerifyProgress) => void | Promise<void>) | undefined;
  /** How many of the move's slots, in ascending order, were compared before. @default 0 */
  readonly resumeFrom?: number;
  /**
   * Waits until everything that was committed at the source before the call has arrived at the destination. Without
   * it nothing may be under way: the slots are fenced and drained.
   */
  readonly settle?: () => Promise<void>;
  /** Slots per chunk. @default a sixteenth of the slots at first, then as many as take two seconds */
  readonly chunkSlots?: number;
}

/** What was found. */
export interface VerifyOutcome {
  readonly slotsCompared: number;
  readonly rowsCompared: number;
  /** At most a hundred. */
  readonly differences: readonly RowDifference[];
  /** Rows that were written at every look, so that nothing can be said of them: to be compared in the pause. */
  readonly undecided: readonly {
    readonly table: string;
    readonly slot: number;
    readonly key: string;
  }[];
}

const COMPARING = 'Comparing rows';
const MAX_DIFFERENCES = 100;
/** Keys of a share are fetched by name from this many rows down. */
const FETCHED_ROWS = 2000;
/** A share is split in 64 by the next six bits of a hash of the key. */
const SPLIT_BITS = 6;
/** Ten splits are 60 bits: keys that still stand together have one hash. */
const MAX_DEPTH = 10;
/** How often a row that is being written is looked at again before it is given up as undecided. */
const LOOKS = 20;

/** Compares the rows of the moving slots on both sides. */
export async function verifyMove(
  context: MoveContext,
  options: VerifyOptions = {},
): Promise<VerifyOutcome> {
  const slots = [...context.slots].sort((a, b) => a - b);
  let chunkSlots = options.chunkSlots ?? smallestChunk(slots.length);
  const digests = await Promise.all(
    context.tables.map((table) => digestOf(context.source, context.keyspace, table)),
  );
  const differences: RowDifference[] = [];
  const undecided: VerifyOutcome['undecided'][number][] = [];
  let rowsCompared = 0;
  let done = options.resumeFrom ?? 0;
  while (done < slots.length && differences.length < MAX_DIFFERENCES) {
    throwIfAborted(options.signal, COMPARING);
    const chunk = slots.slice(done, done + chunkSlots);
    let slowestMs = 0;
    for (const digest of digests) {
      throwIfAborted(options.signal, COMPARING);
      const startedMs = performance.now();
      const comparison = new TableComparison(context, digest, options);
      rowsCompared += await comparison.compare(chunk);
      differences.push(...comparison.differences);
      undecided.push(...comparison.undecided);
      slowestMs = Math.max(slowestMs, performance.now() - startedMs);
    }
    done += chunk.length;
    chunkSlots = options.chunkSlots ?? nextChunk(slots.length, { slots: chunk.length, slowestMs });
    await options.onChunk?.({
      slotsCompared: done,
      slots: slots.length,
      rowsCompared,
      differences: differences.length,
    });
  }
  return {
    slotsCompared: done,
    rowsCompared,
    differences: differences.slice(0, MAX_DIFFERENCES),
    undecided,
  };
}

/** Rows that a shard holds of slots that are not among those it should, by table and slot; -1 for rows without a key. */
export async function findForeignRows(
  endpoint: ShardEndpoint,
  keyspace: Keyspace,
  tables: readonly ShardedTable[],
  ownedSlots: Iterable<number>,
): Promise<ForeignRows[]> {
  const owned = [...ownedSlots];
  const found: ForeignRows[] = [];
  for (const table of tables) {
    const { target, slot, name } = await digestOf(endpoint, keyspace, table);
    const rows = await readPinned<{ slot: string; rows: string }>(
      endpoint,
      `SELECT coalesce(${slot}, -1)::text AS slot, count(*)::text AS rows FROM ${target}
       WHERE (${slot} = ANY($1::bigint[])) IS NOT TRUE GROUP BY 1 ORDER BY 1`,
      [owned],
    );
    for (const row of rows) {
      found.push({
        shard: endpoint.name,
        table: name,
        slot: Number(row.slot),
        rows: Number(row.rows),
      });
    }
  }
  return found;
}

interface Group {
  readonly rows: number;
  readonly sum: string;
}

type Groups = ReadonlyMap<string, Group>;

/** One table in one chunk of slots. */
class TableComparison {
  readonly differences: RowDifference[] = [];
  readonly undecided: { table: string; slot: number; key: string }[] = [];
  readonly #context: MoveContext;
  readonly #digest: RowDigest;
  readonly #options: VerifyOptions;

  constructor(context: MoveContext, digest: RowDigest, options: VerifyOptions) {
    this.#context = context;
    this.#digest = digest;
    this.#options = options;
  }

  /** @returns rows of the source that were looked at. */
  async compare(slots: readonly number[]): Promise<number> {
    const { slot } = this.#digest;
    const [source, destination] = await this.#bothSides(slot, `${slot} = ANY($1::bigint[])`, [
      slots,
    ]);
    for (const key of differing(source, destination)) {
      await this.#narrow(Number(key), 0, 0n, source.get(key), destination.get(key));
    }
    let rows = 0;
    for (const group of source.values()) rows += group.rows;
    return rows;
  }

  /** Looks closer at a share of a slot: those keys whose hash ends in `ending`, of `depth` times six bits. */
  async #narrow(
    slot: number,
    depth: number,
    ending: bigint,
    source: Group | undefined,
    destination: Group | undefined,
  ): Promise<void> {
    throwIfAborted(this.#options.signal, COMPARING);
    if (this.differences.length >= MAX_DIFFERENCES) return;
    const rows = Math.max(source?.rows ?? 0, destination?.rows ?? 0);
    const keyHash = `pg_catalog.hashtextextended(${this.#digest.key}, 0)`;
    const bits = depth * SPLIT_BITS;
    const mask = quoteInteger((1n << BigInt(bits)) - 1n);
    const where = `${this.#digest.slot} = $1::bigint AND (${keyHash} & ${mask}) = $2::bigint`;
    if (rows <= FETCHED_ROWS || depth >= MAX_DEPTH) {
      const [here, there] = await this.#bothSides(this.#digest.key, where, [slot, String(ending)]);
      await this.#lookAgain(slot, differing(here, there));
      return;
    }
    const next = `((${keyHash} >> ${quoteInteger(bits)}) & ${(1 << SPLIT_BITS) - 1})`;
    const [here, there] = await this.#bothSides(next, where, [slot, String(ending)]);
    for (const part of differing(here, there)) {
      await this.#narrow(
        slot,
        depth + 1,
        ending | (BigInt(part) << BigInt(bits)),
        here.get(part),
        there.get(part),
      );
    }
  }

  /** The second look at keys that seemed to differ. */
  async #lookAgain(slot: number, suspects: readonly string[]): Promise<void> {
    let open = suspects.slice(0, MAX_DIFFERENCES * 10);
    const { settle, signal } = this.#options;
    // Written all the time, and yet never there on one of the sides: that is no matter of timing.
    const oneSided = new Set(open);
    let before: Groups = new Map();
    let destination: Groups = new Map();
    for (let look = 0; open.length > 0 && look < LOOKS; look += 1) {
      throwIfAborted(signal, COMPARING);
      before = await this.#rowsOf(this.#context.source, slot, open);
      await settle?.();
      destination = await this.#rowsOf(this.#context.destination, slot, open);
      const after = await this.#rowsOf(this.#context.source, slot, open);
      const changing: string[] = [];
      for (const key of open) {
        if (before.has(key) === destination.has(key)) oneSided.delete(key);
        if (!isSame(before.get(key), after.get(key))) changing.push(key);
        else if (!isSame(after.get(key), destination.get(key))) {
          this.#report(slot, key, after.has(key), destination.has(key));
        }
      }
      open = changing;
    }
    for (const key of open) {
      if (oneSided.has(key)) this.#report(slot, key, before.has(key), destination.has(key));
      else this.undecided.push({ table: this.#digest.name, slot, key });
    }
  }

  #report(slot: number, key: string, isAtSource: boolean, isAtDestination: boolean): void {
    const on = isAtSource ? (isAtDestination ? 'both' : 'source') : 'destination';
    this.differences.push({ table: this.#digest.name, slot, key, on });
  }

  #rowsOf(endpoint: ShardEndpoint, slot: number, keys: readonly string[]): Promise<Groups> {
    const { key, slot: slotOf } = this.#digest;
    return this.#groups(endpoint, key, `${slotOf} = $1::bigint AND ${key} = ANY($2::text[])`, [
      slot,
      keys,
    ]);
  }

  async #bothSides(
    group: string,
    where: string,
    values: readonly unknown[],
  ): Promise<readonly [Groups, Groups]> {
    return Promise.all([
      this.#groups(this.#context.source, group, where, values),
      this.#groups(this.#context.destination, group, where, values),
    ]);
  }

  async #groups(
    endpoint: ShardEndpoint,
    group: string,
    where: string,
    values: readonly unknown[],
  ): Promise<Groups> {
    const { target, hash } = this.#digest;
    const rows = await readPinned<{ part: string; rows: string; sum: string }>(
      endpoint,
      `SELECT (${group})::text AS part, count(*)::text AS rows, sum(${hash})::text AS sum
       FROM ${target} WHERE ${where} GROUP BY 1`,
      values,
    );
    return new Map(rows.map(({ part, rows: count, sum }) => [part, { rows: Number(count), sum }]));
  }
}

/** What is not the same in two sets of groups, in a stable order. */
function differing(a: Groups, b: Groups): string[] {
  return [...new Set([...a.keys(), ...b.keys()])]
    .filter((part) => !isSame(a.get(part), b.get(part)))
    .sort();
}

function isSame(a: Group | undefined, b: Group | undefined): boolean {
  return a?.rows === b?.rows && a?.sum === b?.sum;
}
