/**
 * The journal in the catalog's database.
 *
 * What may follow what is decided by `journal.ts` alone; here a row is locked, the decision asked for, and
 * everything that it entails written in the same transaction: the row, its history, and the hold, the switch or the
 * release of the slots. So nobody sees one without the other.
 *
 * The lease of a holder runs on the database's clock. It keeps two movers from working at one move and getting in each
 * other's way; that they do no harm even then is what generations are for.
 */

import { quoteInteger, quoteLiteral, ShardlineError } from '@shardline/core';
import { routerErrors } from '../errors.js';
import type { Queryable } from '../shard/queryable.js';
import { fillSql } from '../sql-template.js';
import { advance, type JournalChange, takeOver } from './journal.js';
import { changeStatements, type JournalEvent, type MoveHolder } from './journal-statements.js';
import { heldError, refusedError, supersededError } from './move-errors.js';
import { type MoveNote, type MoveRequest, noteStatement, requestStatement } from './move-notes.js';
import { type MoveRow, type RawMove, toMoveRow } from './move-row.js';
import { catalogChangeOf, type MoveState } from './move-state.js';
import { BEGIN, inOneTrip, rollBack } from './one-trip.js';
import insertMoveSql from './sql/insert-move.sql';
import loadMovesSql from './sql/load-moves.sql';

/** A pool of connections to the catalog. */
export interface JournalPool extends Queryable {
  withConnection<T>(work: (client: Queryable) => Promise<T>): Promise<T>;
}

/** What a move begins with. */
export interface NewMove {
  readonly id: string;
  readonly plan: string;
  readonly position: number;
  readonly keyspace: string;
  readonly source: string;
  readonly destination: string;
  readonly slots: readonly number[];
  readonly epoch: number;
  readonly isCutOverHeld: boolean;
}

/** Reads and changes the journal. */
export class JournalStore {
  readonly #pool: JournalPool;
  readonly #holder: MoveHolder;

  constructor(pool: JournalPool, holder: MoveHolder) {
    this.#pool = pool;
    this.#holder = holder;
  }

  get holder(): MoveHolder {
    return this.#holder;
  }

  /** Writes a plan's moves, in the caller's transaction. */
  async insert(client: Queryable, move: NewMove): Promise<void> {
    const { token, name, leaseMs } = this.#holder;
    await client.query(insertMoveSql, [
      move.id,
      move.plan,
      move.position,
      move.keyspace,
      move.source,
      move.destination,
      [...move.slots],
      move.epoch,
      token,
      name,
      leaseMs,
      move.isCutOverHeld,
    ]);
  }

  /** @throws ShardlineError `MOVE_UNKNOWN`. */
  async load(id: string): Promise<MoveRow> {
    const [row] = await this.#select(`m.id = ${quoteLiteral(id)}`, 'm.id');
    if (row !== undefined) return row;
    throw new ShardlineError(routerErrors.MOVE_UNKNOWN, `There is no move '${id}'.`, {
      details: { move: id },
    });
  }

  /** The newest move of all; undefined if there never was one. */
  async newest(): Promise<MoveRow | undefined> {
    return (await this.#select('true', 'm.created_at DESC, m.position DESC LIMIT 1'))[0];
  }

  /** Moves that are not over, oldest first. */
  open(): Promise<MoveRow[]> {
    return this.#select('m.tidied_at IS NULL', 'm.created_at, m.plan, m.position');
  }

  /** Moves that are over, newest first. */
  recent(limit: number): Promise<MoveRow[]> {
    return this.#select(
      'm.tidied_at IS NOT NULL',
      `m.created_at DESC LIMIT ${quoteInteger(limit)}`,
    );
  }

  /** All moves of a plan, in its order. */
  ofPlan(plan: string): Promise<MoveRow[]> {
    return this.#select(`m.plan = ${quoteLiteral(plan)}`, 'm.position');
  }

  /**
   * Takes a move to its next state, with what that does to the catalog.
   *
   * @throws ShardlineError `MOVE_SUPERSEDED` if somebody else has gone on with it.
   */
  advance(row: MoveRow, to: MoveState, detail?: string): Promise<MoveRow> {
    const claim = { generation: row.journal.generation, holder: this.#holder.token };
    return this.#change(row.id, { kind: 'state', detail }, (known, generation, epoch) =>
      advance(known.journal, claim, to, generation, epoch),
    );
  }

  /**
   * Makes a move this holder's own.
   *
   * @throws ShardlineError `MOVE_HELD` while another holder's lease runs.
   */
  takeOver(id: string): Promise<MoveRow> {
    return this.#change(id, { kind: 'takeover', detail: undefined }, (known, generation) => {
      if (known.leaseLeftMs > 0 && known.journal.holder !== this.#holder.token) {
        throw heldError(known);
      }
      return takeOver(known.journal, known.journal, this.#holder.token, generation);
    });
  }

  /** Keeps moves to this holder. @returns those that are still his. */
  async renew(ids: readonly string[]): Promise<string[]> {
    const { token, leaseMs } = this.#holder;
    const { rows } = await this.#pool.query<{ id: string }>(
      `UPDATE shardline.move
       SET lease_until = clock_timestamp() + $3::float8 * interval '1 millisecond'
       WHERE id = ANY ($1) AND holder = $2 RETURNING id`,
      [[...ids], token, leaseMs],
    );
    return rows.map(({ id }) => id);
  }

  /** Lets moves go, so that others need not wait for the lease to end. */
  async letGo(ids: readonly string[]): Promise<void> {
    await this.#pool.query(
      `UPDATE shardline.move SET lease_until = clock_timestamp() WHERE id = ANY ($1) AND holder = $2`,
      [[...ids], this.#holder.token],
    );
  }

  /** Writes what is told of a move and decides nothing. Left out stays as it is; null is taken off. */
  async note(row: Pick<MoveRow, 'id'>, note: MoveNote): Promise<void> {
    const statement = noteStatement(row.id, this.#holder.token, note);
    if (statement !== undefined) await this.#pool.query(statement.text, statement.values);
  }

  /** Writes what an operator asks for; whoever runs the move reads it there. */
  async ask(id: string, request: MoveRequest): Promise<MoveRow> {
    const statement = requestStatement(id, request);
    if (statement !== undefined) await this.#pool.query(statement.text, statement.values);
    return this.load(id);
  }

  /** Writes what a switch writes, and takes it back. */
  rehearse(row: MoveRow): Promise<void> {
    return this.#pool.withConnection(async (client) => {
      const states = ['fencing', 'drained', 'committed', 'reversing'] as const;
      const written = states.flatMap((state) => {
        const journal = { ...row.journal, state };
        const change = { outcome: 'changed', journal, catalog: catalogChangeOf(state) } as const;
        return changeStatements(row, change, this.#holder, { kind: 'state', detail: undefined });
      });
      const condition = `m.id = ${quoteLiteral(row.id)}`;
      try {
        await inOneTrip(client, [
          BEGIN,
          'SELECT epoch FROM shardline.topology FOR UPDATE',
          `${fillSql(loadMovesSql, { condition, order: 'm.id' })} FOR UPDATE OF m`,
          ...written,
          'ROLLBACK',
        ]);
      } catch (error) {
        await rollBack(client);
        throw error;
      }
    });
  }

  /** Marks a move as over and gone. */
  async tidied(row: MoveRow): Promise<void> {
    await this.#pool.query(
      `UPDATE shardline.move SET tidied_at = clock_timestamp(), waiting_for = NULL, lease_until = clock_timestamp()
       WHERE id = $1 AND holder = $2 AND generation = $3`,
      [row.id, row.journal.holder, row.journal.generation],
    );
  }

  /** Runs work in a transaction in which the move is locked and still this holder's, at this generation. */
  async holding<T>(row: MoveRow, work: (client: Queryable) => Promise<T>): Promise<T> {
    return this.#pool.withConnection(async (client) => {
      await client.query(BEGIN);
      try {
        await client.query('SELECT 1 FROM shardline.topology FOR UPDATE');
        const { rowCount } = await client.query(
          'SELECT 1 FROM shardline.move WHERE id = $1 AND holder = $2 AND generation = $3 FOR UPDATE',
          [row.id, this.#holder.token, row.journal.generation],
        );
        if (rowCount !== 1) throw supersededError(row.id);
        const result = await work(client);
        await client.query('COMMIT');
        return result;
      } catch (error) {
        await rollBack(client);
        throw error;
      }
    });
  }

  async #select(condition: string, order: string): Promise<MoveRow[]> {
    const { rows } = await this.#pool.query<RawMove>(fillSql(loadMovesSql, { condition, order }));
    return rows.map(toMoveRow);
  }

  #change(
    id: string,
    event: JournalEvent,
    decide: (known: MoveRow, generation: number, epoch: number) => JournalChange,
  ): Promise<MoveRow> {
    return this.#pool.withConnection(async (client) => {
      try {
        return await this.#changeOn(client, id, event, decide);
      } catch (error) {
        await rollBack(client);
        throw error;
      }
    });
  }

  async #changeOn(
    client: Queryable,
    id: string,
    event: JournalEvent,
    decide: (known: MoveRow, generation: number, epoch: number) => JournalChange,
  ): Promise<MoveRow> {
    const condition = `m.id = ${quoteLiteral(id)}`;
    // The topology's row is locked before the move's, as everyone does who changes both.
    const answers = await inOneTrip(client, [
      BEGIN,
      `SELECT epoch::float8 AS epoch, nextval('shardline.generation')::float8 AS generation
       FROM shardline.topology FOR UPDATE`,
      `${fillSql(loadMovesSql, { condition, order: 'm.id' })} FOR UPDATE OF m`,
    ]);
    const { epoch, generation } = onlyRow<{ epoch: number; generation: number }>(answers[1]);
    const raw = answers[2]?.rows[0] as RawMove | undefined;
    if (raw === undefined) {
      throw new ShardlineError(routerErrors.MOVE_UNKNOWN, `There is no move '${id}'.`);
    }
    const known = toMoveRow(raw);
    const change = decide(known, generation, epoch + 1);
    if (change.outcome === 'refused') throw refusedError(known, change.reason);
    const saved = await inOneTrip<RawMove>(client, [
      ...changeStatements(known, change, this.#holder, event),
      fillSql(loadMovesSql, { condition, order: 'm.id' }),
      'COMMIT',
    ]);
    return toMoveRow(onlyRow(saved.at(-2)));
  }
}

function onlyRow<Row>(answer: { readonly rows: readonly object[] } | undefined): Row {
  return (answer as { readonly rows: readonly object[] }).rows[0] as Row;
}
