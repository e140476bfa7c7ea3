/**
 * The rows of one shard where there can only be few: one statement, one round trip.
 *
 * The statement reads the shard's own epoch beside its rows, and a statement has one snapshot: if the epoch is the one
 * that the scatter was planned by, the rows are exactly those that the plan counts on this shard. So no transaction has to
 * be opened for it, no cursor, and the connection goes back before the other shards have answered.
 *
 * A page without rows still has to show its epoch, hence the outer join from the epoch to the rows, and a mark in each of
 * them. A join promises no order, so the page is put in order here; it nearly always is already.
 */

import { quoteLiteral, withDeadline } from '@shardline/core';
import { releaseLate } from '../shard/release-late.js';
import type { Column, RawRow, RowComparator, RowSource } from './merge.js';
import { rawTypes, type ScatterClient, type ShardReadOptions } from './shard-read.js';

/** What is known of a page beside what every read knows. */
export interface ShardPageOptions extends ShardReadOptions {
  /** The order in which the rows are wanted; undefined for none. */
  readonly order: (columns: readonly Column[]) => RowComparator | undefined;
}

/** Epoch and mark stand before the columns of the statement. */
const OWN_COLUMNS = 2;

/** All rows of one shard at once. */
export class ShardPage implements RowSource {
  readonly shard: string;
  readonly #options: ShardPageOptions;
  #rows: RawRow[] = [];
  #at = 0;
  #columns: readonly Column[] = [];

  constructor(options: ShardPageOptions) {
    this.#options = options;
    this.shard = options.shard;
  }

  get columns(): readonly Column[] {
    return this.#columns;
  }

  /** Reads the page. Resolves to the epoch of the shard's record in the same snapshot, zero if there is none. */
  async open(): Promise<number> {
    const { running, order, epoch } = this.#options;
    await running.acquire();
    try {
      const { rows, fields } = await this.#read();
      const columns = fields.map(({ name, dataTypeID }) => ({ name, typeId: dataTypeID }));
      if (epoch === undefined) {
        this.#columns = columns;
        this.#rows = rows;
        return 0;
      }
      this.#columns = columns.slice(OWN_COLUMNS);
      this.#rows = rows.filter(([, mark]) => mark !== null).map((row) => row.slice(OWN_COLUMNS));
      const compare = order(this.#columns);
      if (compare !== undefined) this.#rows.sort(compare);
      return Number(rows[0]?.[0] ?? 0);
    } finally {
      running.release();
    }
  }

  /** Nothing is left to be begun. */
  async start(): Promise<void> {}

  take(): RawRow | undefined {
    const row = this.#rows[this.#at];
    this.#at += 1;
    return row;
  }

  async more(): Promise<boolean> {
    return this.#at < this.#rows.length;
  }

  /** Nothing is held. */
  async close(): Promise<void> {}

  async #read(): Promise<Answer> {
    const { connect, shard, timeoutMs, signal, values } = this.#options;
    const query = {
      text: this.#text(),
      values: [...values],
      rowMode: 'array',
      types: rawTypes,
      target: 'primary',
    };
    return await withDeadline(
      { timeoutMs, signal, doing: `Scattering: reading from shard '${shard}'` },
      async (ended) => {
        const connecting = connect();
        let client: ScatterClient | undefined;
        const onEnded = () => {
          // Whatever is under way on it, nobody else may have it; and nobody waits for one that comes too late.
          if (client === undefined) releaseLate(connecting);
          else client.release(true);
          client = undefined;
        };
        ended.addEventListener('abort', onEnded, { once: true });
        try {
          const lent = await connecting;
          if (ended.aborted) throw ended.reason;
          client = lent;
          const answer = (await lent.query(query)) as Answer;
          if (client !== undefined) lent.release();
          client = undefined;
          return answer;
        } catch (error) {
          client?.release(isFatal(error));
          client = undefined;
          throw error;
        } finally {
          ended.removeEventListener('abort', onEnded);
        }
      },
    );
  }

  #text(): string {
    const { sql, epoch, keyspace } = this.#options;
    if (epoch === undefined) return sql;
    return (
      `SELECT "own"."epoch"::text, "page".* FROM (SELECT (SELECT epoch FROM shardline.ownership ` +
      `WHERE keyspace = ${quoteLiteral(keyspace)}) AS "epoch") AS "own" LEFT JOIN ` +
      `(SELECT true AS "mark", "rows".* FROM (${sql}\n) AS "rows") AS "page" ON true`
    );
  }
}

interface Answer {
  readonly rows: RawRow[];
  readonly fields: readonly { readonly name: string; readonly dataTypeID: number }[];
}

/** After an error that PostgreSQL itself has sent, the connection is as good as before. */
function isFatal(error: unknown): boolean {
  return !/^[0-9A-Z]{5}$/.test((error as { code?: string })?.code ?? '');
}
