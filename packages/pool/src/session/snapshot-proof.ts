import { type Clock, sleep } from '@shardline/core';

/**
 * Proof that the primary shows everything that a session has seen on a replica.
 *
 * A commit is written to the log, sent to replicas, and only afterwards made visible on the primary;
 * between the two it may wait for a synchronous standby, for ever if that is dead. An asynchronous replica
 * shows it in the meantime, at a log position that the primary has long passed: positions do not tell.
 * (Jepsen's "long fork" of PostgreSQL 17.4 is the same gap in a healthy cluster, some microseconds wide.)
 *
 * Snapshots do tell. What was visible on the replica has a transaction id below its `pg_snapshot_xmax`; once
 * the primary's `pg_snapshot_xmin` has reached that, all those transactions have ended there too. A long
 * transaction holds xmin back, so ids still in progress on the primary are looked up on a replica that
 * is as far as the session: what has not been committed there either, the session cannot have seen.
 */
export interface SnapshotSources {
  /** Runs a statement on a server, on a connection of the caller's choice, in autocommit. */
  readonly query: (
    node: string,
    text: string,
    values: readonly unknown[],
    signal: AbortSignal | undefined,
  ) => Promise<readonly Readonly<Record<string, unknown>>[]>;
  readonly clock: Clock;
}

export interface SnapshotQuestion {
  readonly primary: string;
  /** Replicas known to have reached the session's position. */
  readonly replicas: readonly string[];
  readonly snapshotXmax: bigint;
  readonly timeoutMs: number;
  readonly signal?: AbortSignal | undefined;
}

/** Asks the primary for its snapshot. `$1`: none. */
export const snapshotSql = 'SELECT pg_current_snapshot()::text AS snapshot';

/** Asks a replica which of some transactions it has seen committed. `$1`: ids as text. */
export const committedSql =
  "SELECT bool_or(pg_xact_status(id::xid8) = 'committed') AS any_committed FROM unnest($1::text[]) AS id";

/** Takes a transaction id on the primary: those of all transactions begun before are below it. */
export const nextTransactionIdSql = 'SELECT pg_current_xact_id()::text AS id';

/** More than these are not looked up one by one: many transactions under way end soon. */
const MOST_LOOKED_UP = 200;
const FIRST_PAUSE_MS = 1;
const LONGEST_PAUSE_MS = 20;

/** Whether the primary was shown, in time, to see everything below an id. */
export async function proveSnapshot(
  sources: SnapshotSources,
  question: SnapshotQuestion,
): Promise<boolean> {
  const deadlineMs = sources.clock.monotonicMs() + question.timeoutMs;
  for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(LONGEST_PAUSE_MS, pauseMs * 2)) {
    const rows = await sources.query(question.primary, snapshotSql, [], question.signal);
    const unended = unendedBelow(String(rows[0]?.['snapshot']), question.snapshotXmax);
    if (unended !== undefined && unended.length === 0) return true;
    if (unended !== undefined && (await areUnseen(sources, question, unended))) return true;
    if (sources.clock.monotonicMs() + pauseMs > deadlineMs) return false;
    await sleep(pauseMs, { signal: question.signal, clock: sources.clock });
  }
}

async function areUnseen(
  { query }: SnapshotSources,
  { replicas, signal }: SnapshotQuestion,
  ids: readonly bigint[],
): Promise<boolean> {
  const [replica] = replicas;
  if (replica === undefined || ids.length > MOST_LOOKED_UP) return false;
  try {
    const rows = await query(replica, committedSql, [ids.map(String)], signal);
    return rows[0]?.['any_committed'] !== true;
  } catch {
    // A replica that cannot say leaves only the primary's own snapshot as proof.
    return false;
  }
}

/**
 * Transactions below an id that have not ended by a snapshot, `xmin:xmax:in-progress,...`. Undefined if
 * the snapshot ends below that id: then some may have begun of which it says nothing.
 */
export function unendedBelow(snapshot: string, id: bigint): readonly bigint[] | undefined {
  const [xmin = '0', xmax = '0', inProgress = ''] = snapshot.split(':');
  if (BigInt(xmin) >= id) return [];
  const listed = inProgress === '' ? [] : inProgress.split(',').map(BigInt);
  const unended = listed.filter((xid) => xid < id);
  if (BigInt(xmax) >= id) return unended;
  // From the snapshot's xmax up to the id, each may be under way: they are as if listed.
  if (id - BigInt(xmax) > BigInt(MOST_LOOKED_UP)) return undefined;
  for (let xid = BigInt(xmax); xid < id; xid += 1n) unended.push(xid);
  return unended;
}
