/**
 * Several statements in one round trip.
 *
 * Between hold and release every round trip is time that callers wait. PostgreSQL takes several statements in one
 * message and answers each; if one fails, those after it do not run, and the transaction that they began is to
 * be rolled back. Such a message takes no parameters, so values stand in it as quoted literals.
 */

import type { QueryAnswer, Queryable } from '../shard/queryable.js';

/** How every transaction of the mover begins: a server may have another default, and checks want fresh snapshots. */
export const BEGIN = 'BEGIN ISOLATION LEVEL READ COMMITTED';

/** Runs statements one after the other in one message. @returns an answer for each. */
export async function inOneTrip<Row extends object = Record<string, unknown>>(
  client: Queryable,
  statements: readonly string[],
): Promise<QueryAnswer<Row>[]> {
  const answer: unknown = await client.query(statements.join(';\n'));
  return (Array.isArray(answer) ? answer : [answer]) as QueryAnswer<Row>[];
}

/** Rolls back; if that fails too, the connection is gone, and the transaction with it. */
export async function rollBack(client: Queryable): Promise<void> {
  await client.query('ROLLBACK').catch(() => {
    // The first error says why.
  });
}
