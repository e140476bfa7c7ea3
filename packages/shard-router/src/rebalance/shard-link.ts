/**
 * A server as the mover reaches it: its primary, through a pool, and connections of its own for sessions.
 */

import { withDeadline } from '@shardline/core';
import type pg from 'pg';
import { openPool } from '../create-router.js';
import type { ShardLocation } from '../router-options.js';
import type { QueryAnswer, Queryable } from '../shard/queryable.js';
import type { ShardEndpoint } from './move-context.js';

/** Longest wait for a connection. */
const CONNECT_MS = 15_000;
/** Longest wait for the answer to a statement of which nobody said that it takes longer. */
const ANSWER_MS = 60_000;

/** One server: a shard or the catalog. */
export class ShardLink implements ShardEndpoint {
  readonly name: string;
  readonly #pool: pg.Pool;
  readonly #isOwned: boolean;

  constructor(name: string, location: ShardLocation) {
    this.name = name;
    const { pool, isOwned } = openPool(location);
    this.#pool = pool;
    this.#isOwned = isOwned;
  }

  readonly primary: Queryable = {
    query: <Row extends object>(text: string, values: readonly unknown[] = []) =>
      this.withConnection((client) => client.query<Row>(text, values)),
  };

  async query<Row extends object = Record<string, unknown>>(
    text: string,
    values: readonly unknown[] = [],
  ): Promise<QueryAnswer<Row>> {
    return this.primary.query<Row>(text, values);
  }

  /** A connection for some work; destroyed if the work throws, since nobody knows what it is in the middle of. */
  async withConnection<T>(work: (client: Queryable) => Promise<T>): Promise<T> {
    const connection = await this.connect();
    let isBroken = true;
    try {
      const result = await work(connection);
      isBroken = false;
      return result;
    } finally {
      connection.release(isBroken);
    }
  }

  /** A connection to the primary that the caller gives back. */
  async connect(): Promise<LinkConnection> {
    const client = await withDeadline(
      { timeoutMs: CONNECT_MS, doing: `Connecting to ${this.name}` },
      () => this.#pool.connect(),
    );
    return new LinkConnection(this.name, client);
  }

  async close(): Promise<void> {
    if (this.#isOwned) await this.#pool.end();
  }
}

/** A connection whose statements have a deadline; one that missed it is never used again. */
export class LinkConnection implements Queryable {
  readonly #server: string;
  readonly #client: pg.PoolClient;
  #isBroken = false;
  #isReleased = false;

  constructor(server: string, client: pg.PoolClient) {
    this.#server = server;
    this.#client = client;
    // The statement under way is told as well; unheard, the event would end the process.
    client.on('error', this.#onError);
  }

  get isBroken(): boolean {
    return this.#isBroken;
  }

  async query<Row extends object = Record<string, unknown>>(
    text: string,
    values: readonly unknown[] = [],
    answerMs: number = ANSWER_MS,
  ): Promise<QueryAnswer<Row>> {
    const statement: pg.QueryConfig & { target: 'primary' } = { text, target: 'primary' };
    if (values.length > 0) statement.values = [...values];
    try {
      const answer: unknown = await withDeadline(
        { timeoutMs: answerMs, doing: `A statement on ${this.#server}` },
        () => this.#client.query(statement),
      );
      return answer as QueryAnswer<Row>;
    } catch (error) {
      // An error of the server has a five-letter code; everything else leaves the connection in doubt.
      if (!/^[0-9A-Z]{5}$/.test(String((error as { code?: unknown }).code))) this.#isBroken = true;
      throw error;
    }
  }

  release(isBroken = false): void {
    if (this.#isReleased) return;
    this.#isReleased = true;
    this.#client.off('error', this.#onError);
    this.#client.release(isBroken || this.#isBroken);
  }

  readonly #onError = () => {
    this.#isBroken = true;
  };
}
