/**
 * Rows of one shard, in batches, from one snapshot whose ownership has been checked.
 *
 * The snapshot and the shard's own epoch are read in one round trip. If the epoch is the one that the scatter was
 * planned by, the snapshot holds exactly the rows that the plan counts on this shard, and goes on doing so however
 * the slots move meanwhile: that is why a scatter needs no lease and stops no switch.
 */

import { quoteLiteral, withDeadline } from '@shardline/core';
import Cursor from 'pg-cursor';
import { releaseLate } from '../shard/release-late.js';
import type { Column, RawRow, RowSource } from './merge.js';
import { rawTypes, type ScatterClient, type ShardReadOptions } from './shard-read.js';

/** What a cursor needs to know. */
export interface ShardCursorOptions extends ShardReadOptions {
  readonly batchRows: number;
}

/** A stream of rows of one shard. */
export class ShardCursor implements RowSource {
  readonly shard: string;
  readonly #options: ShardCursorOptions;
  #client: ScatterClient | undefined;
  #cursor: Cursor<(string | null)[]> | undefined;
  #batch: RawRow[] = [];
  #at = 0;
  #coming: Promise<RawRow[]> | undefined;
  #columns: readonly Column[] = [];
  #isAtEnd = false;
  #isBroken = false;

  constructor(options: ShardCursorOptions) {
    this.#options = options;
    this.shard = options.shard;
  }

  get columns(): readonly Column[] {
    return this.#columns;
  }

  /** Opens the snapshot. Resolves to the epoch of the shard's record in it, zero if there is none. */
  async open(): Promise<number> {
    const { keyspace, epoch } = this.#options;
    this.#client = await this.#inTime(this.#options.connect(), 'connecting to');
    const begin = 'BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY';
    if (epoch === undefined) {
      await this.#inTime(this.#client.query({ text: begin, target: 'primary' }), 'beginning on');
      return 0;
    }
    const text = `${begin}; SELECT epoch::text AS epoch FROM shardline.ownership WHERE keyspace = ${quoteLiteral(keyspace)}`;
    const answers = (await this.#inTime(
      this.#client.query({ text, target: 'primary' }) as Promise<{ rows: { epoch: string }[] }[]>,
      'beginning on',
    )) as { rows: { epoch: string }[] }[];
    return Number(answers.at(-1)?.rows[0]?.epoch ?? 0);
  }

  /** Runs the statement and fetches the first batch, so that the columns are known. */
  async start(): Promise<void> {
    const { sql, values } = this.#options;
    const cursor = new Cursor<(string | null)[]>(sql, [...values], {
      rowMode: 'array',
      types: rawTypes,
    } as never);
    this.#cursor = (this.#client as ScatterClient).query(cursor) as Cursor<(string | null)[]>;
    this.#accept(await this.#read());
  }

  take(): RawRow | undefined {
    if (this.#at >= this.#batch.length) return undefined;
    const row = this.#batch[this.#at] as RawRow;
    this.#at += 1;
    // The next batch is on its way while this one is handed out.
    if (this.#at === 1 && !this.#isAtEnd) this.#prefetch();
    return row;
  }

  async more(): Promise<boolean> {
    if (this.#at < this.#batch.length) return true;
    if (this.#isAtEnd) return false;
    this.#accept(await (this.#coming ?? this.#read()));
    return this.#batch.length > 0;
  }

  /** Ends the snapshot and gives the connection back, or destroys it if its state is not known. */
  async close(): Promise<void> {
    const client = this.#client;
    this.#client = undefined;
    if (client === undefined) return;
    try {
      if (this.#isBroken) throw new Error('the stream broke');
      const { timeoutMs } = this.#options;
      await withDeadline(
        { timeoutMs, doing: `Closing the scatter on '${this.shard}'` },
        async () => {
          await this.#coming;
          await this.#cursor?.close();
          await client.query('ROLLBACK');
        },
      );
      client.release();
    } catch {
      // Whatever state the connection is in, nobody else may have it; the caller has its answer or its error.
      client.release(true);
    }
  }

  #prefetch(): void {
    this.#coming = this.#read();
    this.#coming.catch(() => {
      // Told to whoever asks for more; until then nobody needs to know.
    });
  }

  #accept(rows: RawRow[]): void {
    this.#coming = undefined;
    this.#batch = rows;
    this.#at = 0;
    if (rows.length < this.#options.batchRows) this.#isAtEnd = true;
  }

  async #read(): Promise<RawRow[]> {
    const { running, batchRows } = this.#options;
    await running.acquire();
    try {
      return await this.#inTime(
        new Promise<RawRow[]>((resolve, reject) => {
          const cursor = this.#cursor as Cursor<(string | null)[]>;
          cursor.read(batchRows, (error, rows, result) => {
            if (error) return reject(error);
            if (this.#columns.length === 0 && result?.fields !== undefined) {
              this.#columns = result.fields.map((field) => ({
                name: field.name,
                typeId: field.dataTypeID,
              }));
            }
            resolve(rows);
          });
        }),
        'reading from',
      );
    } finally {
      running.release();
    }
  }

  async #inTime<T>(work: Promise<T>, doing: string): Promise<T> {
    const { timeoutMs, signal } = this.#options;
    try {
      return await withDeadline(
        { timeoutMs, signal, doing: `Scattering: ${doing} shard '${this.shard}'` },
        () => work,
      );
    } catch (error) {
      this.#isBroken = true;
      if (doing === 'connecting to')
        releaseLate(work as Promise<unknown> as Promise<ScatterClient>);
      throw error;
    }
  }
}
