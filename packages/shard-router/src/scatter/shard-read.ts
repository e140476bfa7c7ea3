import type { Semaphore } from './semaphore.js';

/** A connection as the scatter uses it. */
export interface ScatterClient {
  // biome-ignore lint/suspicious/noExplicitAny: `pg` takes texts, configurations and cursors by one name
  query(query: any): any;
  release(destroy?: boolean | Error): void;
}

/** What reading from one shard needs to know, by whichever way. */
export interface ShardReadOptions {
  readonly shard: string;
  readonly connect: () => Promise<ScatterClient>;
  readonly sql: string;
  readonly values: readonly unknown[];
  readonly keyspace: string;
  /** Epoch that the shard's record must be at; undefined where there are no records. */
  readonly epoch: number | undefined;
  readonly timeoutMs: number;
  readonly signal: AbortSignal | undefined;
  readonly running: Semaphore;
}

/** Rows as the server's texts, to be compared and merged before they are parsed. */
export const rawTypes = { getTypeParser: () => (text: string) => text };
