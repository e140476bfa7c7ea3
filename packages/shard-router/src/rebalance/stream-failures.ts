/**
 * How often a stream has failed with nothing gained.
 *
 * PostgreSQL begins a stream that has failed anew, for ever, and says why only in the log of the destination. To a mover
 * such a stream looks like one that takes long; so it counts. Some failures pass: a source that restarts, a lock that was
 * waited for in vain. Those behind which more is copied than before are forgotten.
 */

import type { MoveWork } from './move-work.js';
import streamFailuresSql from './sql/stream-failures.sql';
import { streamName } from './stream-names.js';

/** At PostgreSQL's default pace, five seconds between two tries, nearly a minute. */
const MOST_FAILURES = 10;

/** What the destination has counted of one stream. */
export interface StreamCounts {
  readonly failures: number;
  /** Of its tables, those that are copied. */
  readonly copiedTables: number;
}

/** Failures of the stream to a move's destination. */
export class StreamFailures {
  #before: StreamCounts | undefined;
  #inARow = 0;

  /** Since more was copied, or since they were forgotten. */
  get inARow(): number {
    return this.#inARow;
  }

  get areTooMany(): boolean {
    return this.#inARow >= MOST_FAILURES;
  }

  async look({ destination, row }: MoveWork): Promise<void> {
    const { rows } = await destination.session.query<StreamCounts>(streamFailuresSql, [
      streamName(row.id, 'destination'),
    ]);
    if (rows[0] === undefined) this.forget();
    else this.count(rows[0]);
  }

  count(now: StreamCounts): void {
    const { failures, copiedTables } = this.#before ?? now;
    const hasGained = now.copiedTables > copiedTables || now.failures < failures;
    this.#inARow = hasGained ? 0 : this.#inARow + now.failures - failures;
    this.#before = now;
  }

  /** What has failed before was of other servers, or of another time. */
  forget(): void {
    this.#before = undefined;
    this.#inARow = 0;
  }
}
