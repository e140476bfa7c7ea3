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
import type { KeyspaceDefinition } from '../keyspace.js';
import type { Queryable } from '../shard/queryable.js';
import { fillSql } from '../sql-template.js';
import { CATALOG_CHANNEL } from '../topology/catalog.js';
import { advance, type JournalChange, type MoveJournal, takeOver } from './journal.js';
import { isEndState, type MoveState, ownerIn } from './move-state.js';
import { BEGIN, inOneTrip, rollBack } from './one-trip.js';
import holdSlotsSql from './sql/hold-slots.sql';
import insertMoveSql from './sql/insert-move.sql';
import loadMovesSql from './sql/load-moves.sql';
import recordEventSql from './sql/record-event.sql';
import releaseSlotsSql from './sql/release-slots.sql';
import saveJournalSql from './sql/save-journal.sql';
import switchSlotsSql from './sql/switch-slots.sql';
import type { MoveProgress, MoveSteering } from './status.js';

/** What operators may ask of a move beside steering it. */
export type MoveWish = 'abort' | 'roll-back' | 'finish';

/** A move as the catalog knows it. */
export interface MoveRow {
  readonly id: string;
  readonly plan: string;
  readonly position: number;
  readonly keyspace: KeyspaceDefinition['name'];
  readonly slots: readonly number[];
  readonly journal: MoveJournal;
  readonly holderName: string;
  readonly leaseLeftMs: number;
  /** Revision that routers must have acknowledged before what follows the newest hold, switch or release. */
  readonly revision: number;
  readonly isInTransit: boolean;
  readonly steering: MoveSteering;
  readonly wish: MoveWish | undefined;
  readonly progress: MoveProgress | undefined;
  readonly waitingFor: string | undefined;
  readonly lastError: string | undefined;
  readonly pauseMs: number | undefined;
  readonly verifiedAtMs: number | undefined;
  readonly rollbackUntilMs: number | undefined;
  /** By the database's clock; negative once it is over. */
  readonly rollbackLeftMs: number | undefined;
  readonly startedAtMs: number;
  readonly stateSinceMs: number;
  /** Whether nothing of it is left on the shards. */
  readonly isTidied: boolean;
}

/** Who runs moves. */
export interface MoveHolder {
  /** Unlike that of any other process. */
  readonly token: string;
  readonly name: string;
  readonly leaseMs: number;
}

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
    return this.#change(row.id, 'state', detail, (known, generation, epoch) =>
      advance(known.journal, claim, to, generation, epoch),
    );
  }

  /**
   * Makes a move this holder's own.
   *
   * @throws ShardlineError `MOVE_HELD` while another holder's lease runs.
   */
  takeOver(id: string): Promise<MoveRow> {
    return this.#change(id, 'takeover', undefined, (known, generation) => {
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
  async note(
    row: Pick<MoveRow, 'id'>,
    facts: {
      readonly progress?: MoveProgress;
      readonly waitingFor?: string | null;
      readonly lastError?: string | null;
      readonly pauseMs?: number;
      readonly isVerified?: boolean;
      readonly rollbackMs?: number;
    },
  ): Promise<void> {
    const sets: string[] = [];
    const values: unknown[] = [row.id, this.#holder.token];
    const set = (column: string, value: unknown, wrap = (place: string) => place) => {
      values.push(value);
      sets.push(`${column} = ${wrap(`$${values.length}`)}`);
    };
    if (facts.progress !== undefined) set('progress', JSON.stringify(facts.progress));
    if (facts.waitingFor !== undefined) set('waiting_for', facts.waitingFor);
    if (facts.lastError !== undefined) set('last_error', facts.lastError);
    if (facts.pauseMs !== undefined) set('pause_ms', facts.pauseMs);
    if (facts.isVerified !== undefined) sets.push('verified_at = clock_timestamp()');
    if (facts.rollbackMs !== undefined) {
      set(
        'rollback_until',
        facts.rollbackMs,
        (place) => `clock_timestamp() + ${place}::float8 * interval '1 millisecond'`,
      );
    }
    if (sets.length === 0) return;
    await this.#pool.query(
      `UPDATE shardline.move SET ${sets.join(', ')} WHERE id = $1 AND holder = $2`,
      values,
    );
  }

  /** Writes what an operator asks for; whoever runs the move reads it there. */
  async ask(
    id: string,
    request: Partial<MoveSteering> & { readonly wish?: MoveWish | null },
  ): Promise<MoveRow> {
    const columns = {
      isPaused: 'is_paused',
      isCutOverHeld: 'is_cut_over_held',
      bytesPerSecond: 'bytes_per_second',
      wish: 'wish',
    } as const;
    const asked = (Object.keys(columns) as (keyof typeof columns)[]).filter(
      (key) => key in request,
    );
    if (asked.length > 0) {
      const sets = asked.map((key, at) => `${columns[key]} = $${at + 2}`);
      await this.#pool.query(`UPDATE shardline.move SET ${sets.join(', ')} WHERE id = $1`, [
        id,
        ...asked.map((key) => request[key] ?? null),
      ]);
    }
    return this.load(id);
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
    kind: string,
    detail: string | undefined,
    decide: (known: MoveRow, generation: number, epoch: number) => JournalChange,
  ): Promise<MoveRow> {
    return this.#pool.withConnection(async (client) => {
      try {
        return await this.#changeOn(client, id, kind, detail, decide);
      } catch (error) {
        await rollBack(client);
        throw error;
      }
    });
  }

  async #changeOn(
    client: Queryable,
    id: string,
    kind: string,
    detail: string | undefined,
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
      ...this.#statements(known, change, kind, detail),
      fillSql(loadMovesSql, { condition, order: 'm.id' }),
      'COMMIT',
    ]);
    return toMoveRow(onlyRow(saved.at(-2)));
  }

  #statements(
    known: MoveRow,
    { journal, catalog }: JournalChange & { outcome: 'changed' },
    kind: string,
    detail: string | undefined,
  ): string[] {
    const holderName = journal.holder === this.#holder.token ? this.#holder.name : known.holderName;
    const id = quoteLiteral(known.id);
    const values = {
      id,
      kind: quoteLiteral(kind),
      state: quoteLiteral(journal.state),
      generation: quoteInteger(journal.generation),
      holder: quoteLiteral(journal.holder),
      holder_name: quoteLiteral(holderName),
      epoch: quoteInteger(journal.epoch),
      lease_ms: quoteInteger(Math.round(this.#holder.leaseMs)),
      detail: detail === undefined ? 'NULL' : quoteLiteral(detail),
    };
    const statements = [fillSql(saveJournalSql, values), fillSql(recordEventSql, values)];
    if (catalog === undefined) return statements;
    if (catalog === 'hold') statements.push(fillSql(holdSlotsSql, { id }));
    if (catalog === 'release') statements.push(fillSql(releaseSlotsSql, { id }));
    if (catalog === 'switch') {
      const owner = quoteLiteral(journal[ownerIn(journal.state)]);
      statements.push(fillSql(switchSlotsSql, { id, owner }));
    }
    statements.push(`SELECT pg_catalog.pg_notify(${quoteLiteral(CATALOG_CHANNEL)}, '')`);
    return statements;
  }
}

interface RawMove {
  readonly [column: string]: unknown;
}

function onlyRow<Row>(answer: { readonly rows: readonly object[] } | undefined): Row {
  return (answer as { readonly rows: readonly object[] }).rows[0] as Row;
}

function toMoveRow(raw: RawMove): MoveRow {
  const optional = <T>(value: unknown) => (value === null ? undefined : (value as T));
  return {
    id: raw['id'] as string,
    plan: raw['plan'] as string,
    position: raw['position'] as number,
    keyspace: raw['keyspace'] as string,
    slots: raw['slots'] as number[],
    journal: {
      source: raw['source'] as string,
      destination: raw['destination'] as string,
      state: raw['state'] as MoveState,
      generation: raw['generation'] as number,
      holder: raw['holder'] as string,
      epoch: raw['epoch'] as number,
    },
    holderName: raw['holderName'] as string,
    leaseLeftMs: raw['leaseLeftMs'] as number,
    revision: raw['revision'] as number,
    isInTransit: raw['isInTransit'] as boolean,
    steering: {
      isPaused: raw['isPaused'] as boolean,
      isCutOverHeld: raw['isCutOverHeld'] as boolean,
      bytesPerSecond: optional<number>(raw['bytesPerSecond']),
    },
    wish: optional<MoveWish>(raw['wish']),
    progress: optional<MoveProgress>(raw['progress']),
    waitingFor: optional<string>(raw['waitingFor']),
    lastError: optional<string>(raw['lastError']),
    pauseMs: optional<number>(raw['pauseMs']),
    verifiedAtMs: optional<number>(raw['verifiedAtMs']),
    rollbackUntilMs: optional<number>(raw['rollbackUntilMs']),
    rollbackLeftMs: optional<number>(raw['rollbackLeftMs']),
    startedAtMs: raw['startedAtMs'] as number,
    stateSinceMs: raw['stateSinceMs'] as number,
    isTidied: raw['isTidied'] as boolean,
  };
}

function refusedError(
  row: MoveRow,
  reason: (JournalChange & { outcome: 'refused' })['reason'],
): ShardlineError {
  if (reason === 'not-allowed' || isEndState(row.journal.state)) {
    return new ShardlineError(
      routerErrors.MOVE_STATE,
      `Move '${row.id}' is ${row.journal.state}, from which that does not follow.`,
      { details: { move: row.id, state: row.journal.state } },
    );
  }
  return supersededError(row.id);
}

/** The error of a mover that finds that another one has gone on. */
export function supersededError(move: string): ShardlineError {
  return new ShardlineError(
    routerErrors.MOVE_SUPERSEDED,
    `Another process has taken move '${move}' over, or has taken it further.`,
    { details: { move } },
  );
}

function heldError(row: MoveRow): ShardlineError {
  return new ShardlineError(
    routerErrors.MOVE_HELD,
    `Move '${row.id}' is run by ${row.holderName}, whose lease runs for another ${Math.ceil(row.leaseLeftMs / 1000)} s.`,
    { details: { move: row.id, holder: row.holderName, leaseLeftMs: row.leaseLeftMs } },
  );
}
