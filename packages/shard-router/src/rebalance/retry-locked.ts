/**
 * Locks on the tables of a live shard: asked for briefly, again and again.
 *
 * A lock that waits queues every new writer behind it. So it waits for `lockTimeout` at most, gives up, lets the
 * queue go, and asks again. Transactions that keep it from succeeding are named, and, where the operator allows
 * it, ended after a time. A vacuum gives way by itself, but only to whoever waits for longer than the server's
 * `deadlock_timeout`, so it is asked to.
 */

import { ShardlineError, sleep } from '@shardline/core';
import { routerErrors } from '../errors.js';
import type { MoveSide, MoveWork } from './move-work.js';
import blockersSql from './sql/lock-blockers.sql';

/** SQLSTATE of a lock that did not come in time, and of a deadlock that PostgreSQL has ended. */
const GIVE_UP_CODES = new Set(['55P03', '40P01']);
const FIRST_PAUSE_MS = 20;
const LONGEST_PAUSE_MS = 500;

/** Who keeps the tables of a move from being locked. */
interface Blocker {
  readonly pid: number;
  readonly kind: string;
  readonly ageMs: number;
  readonly application: string;
}

/**
 * Repeats work until its locks are granted.
 *
 * @param untilMs on the monotonic clock. @default without end: the checkpoint ends it
 * @throws ShardlineError `LOCK_UNAVAILABLE` naming who is in the way.
 */
export async function retryLocked<T>(
  work: MoveWork,
  side: MoveSide,
  attempt: () => Promise<T>,
  untilMs: number = Number.POSITIVE_INFINITY,
): Promise<T> {
  for (let attempts = 0; ; attempts += 1) {
    try {
      return await attempt();
    } catch (error) {
      if (!GIVE_UP_CODES.has((error as { code?: string }).code ?? '')) throw error;
      const blockers = await findBlockers(work, side);
      if (performance.now() >= untilMs) throw unavailable(side.shard, blockers, error);
      await sendAway(work, side, blockers);
      await work.checkpoint();
      const pauseMs = Math.min(FIRST_PAUSE_MS * 2 ** Math.min(attempts, 10), LONGEST_PAUSE_MS);
      await sleep(pauseMs, { doing: `Waiting for locks on ${side.shard}` });
    }
  }
}

/**
 * Ends transactions on a shard that have written for too long, if the operator allows it. A router can wait for one
 * of them with a call of its own, on the same row, and then cannot acknowledge a hold: the lock is never even asked for.
 */
export async function sendOverdueAway(work: MoveWork, side: MoveSide): Promise<void> {
  if (work.limits.longTransactions !== 'terminate') return;
  await sendAway(work, side, await findBlockers(work, side));
}

async function findBlockers(work: MoveWork, side: MoveSide): Promise<Blocker[]> {
  const { tables } = work.context;
  const { rows } = await side.session.query<Blocker>(blockersSql, [
    tables.map(({ schema }) => schema),
    tables.map(({ name }) => name),
  ]);
  return rows;
}

async function sendAway(
  { limits }: MoveWork,
  side: MoveSide,
  blockers: readonly Blocker[],
): Promise<void> {
  for (const { pid, kind, ageMs } of blockers) {
    const isVacuum = kind === 'autovacuum worker';
    const isOverdue = limits.longTransactions === 'terminate' && ageMs > limits.terminateAfterMs;
    if (!isVacuum && !isOverdue) continue;
    const call = isVacuum ? 'pg_cancel_backend' : 'pg_terminate_backend';
    await side.session.query(`SELECT pg_catalog.${call}($1)`, [pid]).catch((error: unknown) => {
      // 42501: this role may not. The vacuum ends by itself some day, and a transaction too.
      if ((error as { code?: string }).code !== '42501') throw error;
    });
  }
}

function unavailable(shard: string, blockers: readonly Blocker[], cause: unknown): ShardlineError {
  const named = blockers.map(
    ({ pid, kind, ageMs, application }) =>
      `process ${pid} (${application === '' ? kind : application}, for ${Math.round(ageMs / 1000)} s)`,
  );
  return new ShardlineError(
    routerErrors.LOCK_UNAVAILABLE,
    `The tables on shard '${shard}' could not be locked; in the way: ${named.join(', ') || 'nobody any more'}.`,
    { cause, details: { shard, pids: blockers.map(({ pid }) => pid) } },
  );
}
