/**
 * The one session on a shard from which a move is worked at.
 *
 * It holds an advisory lock of the move. Whoever takes a move over ends the session that holds it before he
 * takes the lock himself; so what cannot stand in a transaction with a check, making and dropping replication
 * slots, is over before anybody goes on. A mover that was frozen meanwhile finds his session gone.
 *
 * A late mover must not end the session of the one that came after him: he looks first at the generation that the
 * shard has seen, and if it is newer than his own he leaves.
 */

import { sleep } from '@shardline/core';
import { murmur3x86 } from '../hash/murmur3.js';
import type { QueryAnswer, Queryable } from '../shard/queryable.js';
import { supersededError } from './move-errors.js';
import { BEGIN, rollBack } from './one-trip.js';
import type { LinkConnection, ShardLink } from './shard-link.js';
import lockHoldersSql from './sql/lock-holders.sql';

/** Class of the advisory locks of moves: 'SHRD' in ASCII. */
const LOCK_CLASS = 0x53485244;
const RETRY_MS = 20;
/** Longest wait for a session that was told to end. */
const TAKE_OVER_MS = 30_000;

/** A session that holds the move's lock on one shard. */
export class MoveSession implements Queryable {
  readonly shard: ShardLink;
  readonly #connection: LinkConnection;

  private constructor(shard: ShardLink, connection: LinkConnection) {
    this.shard = shard;
    this.#connection = connection;
  }

  /** @throws ShardlineError `MOVE_SUPERSEDED` if the shard has seen a newer generation. */
  static async open(shard: ShardLink, move: string, generation: number): Promise<MoveSession> {
    const connection = await shard.connect();
    try {
      await connection.query(
        `SET application_name = 'shardline mover'; SET statement_timeout = 0; SET lock_timeout = 0;
         SET idle_in_transaction_session_timeout = '60s'`,
      );
      await takeLock(connection, move, generation);
      return new MoveSession(shard, connection);
    } catch (error) {
      connection.release(true);
      throw error;
    }
  }

  get isBroken(): boolean {
    return this.#connection.isBroken;
  }

  query<Row extends object = Record<string, unknown>>(
    text: string,
    values: readonly unknown[] = [],
    answerMs?: number,
  ): Promise<QueryAnswer<Row>> {
    return this.#connection.query<Row>(text, values, answerMs);
  }

  /** Runs work in a transaction of this session. */
  async transaction<T>(work: () => Promise<T>): Promise<T> {
    await this.query(BEGIN);
    try {
      const result = await work();
      await this.query('COMMIT');
      return result;
    } catch (error) {
      await rollBack(this);
      throw error;
    }
  }

  /** Ends the session, and with it the lock. */
  close(): void {
    this.#connection.release(true);
  }
}

async function takeLock(
  connection: LinkConnection,
  move: string,
  generation: number,
): Promise<void> {
  const key = murmur3x86(move) | 0;
  const untilMs = performance.now() + TAKE_OVER_MS;
  for (;;) {
    const { rows } = await connection.query<{ taken: boolean }>(
      'SELECT pg_catalog.pg_try_advisory_lock($1, $2) AS taken',
      [LOCK_CLASS, key],
    );
    if (rows[0]?.taken === true) return;
    if (performance.now() > untilMs || (await hasSeenNewer(connection, move, generation))) {
      throw supersededError(move);
    }
    await connection.query(
      `SELECT pg_catalog.pg_terminate_backend(pid) FROM (${lockHoldersSql}) AS holder`,
      [LOCK_CLASS, key],
    );
    await sleep(RETRY_MS, { doing: 'Waiting for the session of another mover to end' });
  }
}

async function hasSeenNewer(
  connection: LinkConnection,
  move: string,
  generation: number,
): Promise<boolean> {
  const { rows } = await connection.query<{ is_newer: boolean }>(
    'SELECT generation > $2 AS is_newer FROM shardline.move_record WHERE move = $1',
    [move, generation],
  );
  return rows[0]?.is_newer === true;
}
