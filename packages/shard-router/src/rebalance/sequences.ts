/**
 * The sequences behind the columns of moved tables.
 *
 * Logical replication copies the values of serial and identity columns and leaves the destination's sequences where they
 * are, so the first insert after a switch would hand out a number that a copied row already has. Before the pause
 * the destination's sequences are therefore set past whatever the source can have handed out by the time of the
 * switch: its last value, or the furthest value that a row holds, and a margin.
 *
 * What always holds:
 * 1. A sequence never goes back, whoever draws from it meanwhile. `setval` after a look would not ensure that: numbers
 *    drawn in between would be drawn again. So the change locks the sequence first (ALTER SEQUENCE does, and
 *    `nextval` waits for it), looks, and then sets.
 * 2. A sequence keeps its phase. Shards that interleave their numbers (INCREMENT BY 8, each with another start) go on
 *    doing so.
 * 3. A value that a row holds and that would leave the sequence no room (a 2^63-1 that stands for "none") counts for
 *    nothing: the source's own sequence will never get there either.
 */

import { quoteIdentifier, quoteInteger, quoteQualified, ShardlineError } from '@shardline/core';
import { routerErrors } from '../errors.js';
import type { ShardedTable } from '../keyspace.js';
import type { Queryable } from '../shard/queryable.js';
import type { MoveContext, ShardEndpoint } from './move-context.js';
import sequencesSql from './sequences.sql';

/** A sequence as numbers. */
export interface SequenceState {
  readonly increment: bigint;
  /** The last value handed out; one step before the first if there was none. */
  readonly last: bigint;
  /** Limits of the sequence or of the column's type, whichever is narrower. */
  readonly minimum: bigint;
  readonly maximum: bigint;
}

/** A sequence of a column. */
export interface ColumnSequence extends SequenceState {
  readonly table: ShardedTable;
  readonly column: string;
  readonly sequence: { readonly schema: string; readonly name: string };
}

/** A sequence that was set forward. */
export interface SequenceAdvance {
  readonly sequence: string;
  readonly from: bigint;
  readonly to: bigint;
}

/** A value of the other shard that a sequence must get past. */
interface Reach {
  readonly value: bigint;
  /** Of the sequence, not only of a row: the rows' are passed over if they leave no room. */
  readonly isDrawn: boolean;
}

/** Longest wait for the lock of one sequence. Inserts queue behind it, so it is short, and it is tried again. */
const LOCK_TIMEOUT_MS = 300;
const LOCK_TRIES = 20;
const LOCK_NOT_AVAILABLE = '55P03';

/**
 * The value that a sequence must be set to, so that it hands out nothing that another one has or will soon have; undefined
 * if it is past that already (pure).
 *
 * @param reach furthest value of the other one, before the margin.
 * @param margin how many values further.
 */
export function advanceOf(
  state: SequenceState,
  reach: bigint,
  margin: bigint,
): bigint | undefined | 'exhausted' {
  const { increment, last } = state;
  const step = increment < 0n ? -increment : increment;
  // Seen in the direction in which the sequence goes, everything is ascending.
  const distance = (increment < 0n ? last - reach : reach - last) + margin * step;
  if (distance <= 0n) return undefined;
  const steps = (distance + step - 1n) / step;
  const target = last + steps * increment;
  // One more must be left to hand out.
  const isExhausted =
    increment < 0n ? target + increment < state.minimum : target + increment > state.maximum;
  return isExhausted ? 'exhausted' : target;
}

/** Reads the sequences of tables on one shard. */
export async function readSequences(
  endpoint: ShardEndpoint,
  tables: readonly ShardedTable[],
): Promise<ColumnSequence[]> {
  const { rows } = await endpoint.primary.query<Record<string, string>>(sequencesSql, [
    tables.map(({ schema }) => schema),
    tables.map(({ name }) => name),
  ]);
  return Promise.all(
    rows.map(async (row) => {
      const increment = BigInt(row['increment'] as string);
      const sequence = {
        schema: row['sequenceSchema'] as string,
        name: row['sequenceName'] as string,
      };
      return {
        table: tables.find(
          ({ schema, name }) => schema === row['tableSchema'] && name === row['tableName'],
        ) as ShardedTable,
        column: row['column'] as string,
        sequence,
        increment,
        minimum: BigInt(row['minimum'] as string),
        maximum: BigInt(row['maximum'] as string),
        last: await readLast(endpoint.primary, sequence, increment),
      };
    }),
  );
}

/**
 * Sets the destination's sequences past those of the source. To be called shortly before the pause, and with the roles
 * swapped before that of a rollback; safe to repeat.
 *
 * @param margin how many values the source may hand out between this and the switch.
 * @returns what was changed.
 * @throws ShardlineError `SEQUENCE_EXHAUSTED`; PostgreSQL's 55P03 if a transaction kept a sequence locked.
 */
export async function advanceSequences(
  context: MoveContext,
  margin: number,
): Promise<SequenceAdvance[]> {
  const [sources, destinations] = await Promise.all([
    readSequences(context.source, context.tables),
    readSequences(context.destination, context.tables),
  ]);
  // Several columns may draw from one sequence: it must get past all of them.
  const reaches = new Map<string, { state: ColumnSequence; reaches: Reach[] }>();
  for (const state of destinations) {
    const reach = await reachOf(context.source, sources, state);
    if (reach === undefined) continue;
    const name = quoteQualified(state.sequence.schema, state.sequence.name);
    const known = reaches.get(name);
    if (known === undefined) reaches.set(name, { state, reaches: [...reach] });
    else known.reaches.push(...reach);
  }
  const advances: SequenceAdvance[] = [];
  for (const { state, reaches: values } of reaches.values()) {
    const advance = await advanceOne(context.destination, state, values, BigInt(margin));
    if (advance !== undefined) advances.push(advance);
  }
  return advances;
}

/** Furthest values of a column on the source: by its sequence, and by its rows unless those leave no room. */
async function reachOf(
  source: ShardEndpoint,
  sources: readonly ColumnSequence[],
  destination: ColumnSequence,
): Promise<Reach[] | undefined> {
  const { table, column, increment } = destination;
  const own = sources.find((other) => other.table === table && other.column === column);
  // Sequences that run in opposite directions part for ever.
  if (own === undefined || own.increment > 0n !== increment > 0n) return undefined;
  const extreme = increment < 0n ? 'min' : 'max';
  const { rows } = await source.primary.query<{ value: string | null }>(
    `SELECT ${extreme}(${quoteIdentifier(column)})::text AS value FROM ${quoteQualified(table.schema, table.name)}`,
  );
  const drawn = { value: own.last, isDrawn: true };
  const value = rows[0]?.value;
  // Null for a table without rows; a default may also make texts of what it draws.
  if (value == null || !/^-?\d+$/.test(value)) return [drawn];
  return [drawn, { value: BigInt(value), isDrawn: false }];
}

async function advanceOne(
  endpoint: ShardEndpoint,
  state: ColumnSequence,
  reaches: readonly Reach[],
  margin: bigint,
): Promise<SequenceAdvance | undefined> {
  // Most often nothing is to be done, and then nobody is locked out.
  if (furthest(endpoint.name, state, reaches, margin) === undefined) return undefined;
  const name = quoteQualified(state.sequence.schema, state.sequence.name);
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await endpoint.withConnection((client) =>
        advanceLocked(client, endpoint.name, name, state, reaches, margin),
      );
    } catch (error) {
      if ((error as { code?: string }).code !== LOCK_NOT_AVAILABLE || attempt >= LOCK_TRIES) {
        throw error;
      }
    }
  }
}

async function advanceLocked(
  client: Queryable,
  shard: string,
  name: string,
  state: ColumnSequence,
  reaches: readonly Reach[],
  margin: bigint,
): Promise<SequenceAdvance | undefined> {
  await client.query('BEGIN');
  await client.query(`SET LOCAL lock_timeout = ${LOCK_TIMEOUT_MS}`);
  // Changes nothing and takes SHARE ROW EXCLUSIVE, for which LOCK has no syntax on sequences.
  await client.query(`ALTER SEQUENCE ${name} INCREMENT BY ${quoteInteger(state.increment)}`);
  const last = await readLast(client, state.sequence, state.increment);
  const to = furthest(shard, { ...state, last }, reaches, margin);
  if (to !== undefined) {
    await client.query('SELECT pg_catalog.setval($1::regclass, $2::bigint, true)', [
      name,
      String(to),
    ]);
  }
  await client.query('COMMIT');
  return to === undefined ? undefined : { sequence: name, from: last, to };
}

function furthest(
  shard: string,
  state: ColumnSequence,
  reaches: readonly Reach[],
  margin: bigint,
): bigint | undefined {
  let far: bigint | undefined;
  for (const { value, isDrawn } of reaches) {
    const target = advanceOf(state, value, margin);
    if (target === 'exhausted') {
      if (isDrawn) throw exhausted(shard, state);
    } else if (target !== undefined) {
      const isFurther = far === undefined || (state.increment < 0n ? target < far : target > far);
      if (isFurther) far = target;
    }
  }
  return far;
}

function exhausted(shard: string, state: ColumnSequence): ShardlineError {
  const sequence = `${state.sequence.schema}.${state.sequence.name}`;
  return new ShardlineError(
    routerErrors.SEQUENCE_EXHAUSTED,
    `Sequence ${sequence} of shard '${shard}' stands at ${state.last} and cannot go past the other shard's within ${state.minimum} and ${state.maximum}.`,
    { details: { shard, sequence } },
  );
}

async function readLast(
  client: Queryable,
  sequence: { readonly schema: string; readonly name: string },
  increment: bigint,
): Promise<bigint> {
  const { rows } = await client.query<{ last: string; called: boolean }>(
    `SELECT last_value::text AS last, is_called AS called FROM ${quoteQualified(sequence.schema, sequence.name)}`,
  );
  const { last, called } = rows[0] as { last: string; called: boolean };
  return called ? BigInt(last) : BigInt(last) - increment;
}
