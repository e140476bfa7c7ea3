import { abortedError, type Clock, onAbort, type ShardlineError } from '@shardline/core';
import type pg from 'pg';
import { codeOf, messageOf, poolError } from '../errors.js';
import { cancelOnServer } from './cancel.js';
import type { Connection } from './connection.js';

/**
 * Runs one statement on a lent connection, within time and until the caller gives up.
 *
 * When the caller gives up, or the time is over, the server is told to cancel. A read is answered at
 * once. For anything else the server's verdict is awaited, for a moment: "cancelled" means that it
 * did not happen, a result means that it did, and silence is an unknown outcome and is reported as
 * one. Either way the connection stays with us until the server has spoken: whoever releases it finds
 * it not quiet, and its pool waits for that or cuts it.
 */
export interface ExecuteOptions {
  /** Whether it certainly changes nothing. */
  readonly isRead: boolean;
  /** Whether it runs inside a transaction that is still open: nothing of it is committed. */
  readonly isInTransaction: boolean;
  readonly signal: AbortSignal | undefined;
  /** When the client itself cancels; 0: never. */
  readonly timeoutMs: number;
  readonly config: pg.ClientConfig;
  readonly clock: Clock;
  /** How a statement is sent, where the client's own `query` leads here. @default the client's `query` */
  readonly send?: ((...given: unknown[]) => unknown) | undefined;
}

/** What `client.query` takes. */
export interface Statement {
  readonly text: string;
  /** What the driver is given: a text, a config or something that can be submitted. */
  readonly query: string | (pg.QueryConfig & object) | pg.Submittable;
  readonly values: unknown[] | undefined;
}

export type Result = pg.QueryResult;

/** How long the server may take over its verdict on a cancelled write, and over a cancel request. */
const VERDICT_TIMEOUT_MS = 1000;

/** SQLSTATE of a cancelled statement. */
const QUERY_CANCELED = '57014';

/** Runs a statement. The connection is not released. */
export function execute(
  connection: Connection,
  statement: Statement,
  options: ExecuteOptions,
): Promise<Result> {
  const { signal, timeoutMs } = options;
  if (signal === undefined && timeoutMs === 0) return submit(connection, statement, options);
  if (signal?.aborted) {
    return Promise.reject(abortedError('The statement', signal.reason));
  }
  return executeWatched(connection, statement, options);
}

function submit(
  connection: Connection,
  { query, values }: Statement,
  options: ExecuteOptions,
): Promise<Result> {
  return new Promise((resolve, reject) => {
    const onAnswer = (error: Error | null | undefined, result: Result) => {
      if (error) reject(explain(error, connection, options));
      else resolve(result);
    };
    if (options.send === undefined) connection.client.query(query, values, onAnswer);
    else options.send(query, values, onAnswer);
  });
}

/** By hand and not by `Promise.race`, which makes five more promises: nearly every statement comes through here. */
function executeWatched(
  connection: Connection,
  statement: Statement,
  options: ExecuteOptions,
): Promise<Result> {
  const { signal, timeoutMs, clock } = options;
  return new Promise((resolve, reject) => {
    const running = submit(connection, statement, options);
    const end = () => {
      timer?.cancel();
      ignoreAbort?.();
    };
    const giveUp = (reason: ShardlineError) => {
      end();
      // From here on the promise follows what is made of it, whatever comes of the statement itself.
      resolve(afterGivingUp(connection, running, reason, options));
    };
    const ignoreAbort =
      signal && onAbort(signal, () => giveUp(abortedError('The statement', signal.reason)));
    const timer =
      timeoutMs > 0 ? clock.schedule(timeoutMs, () => giveUp(timeoutError(timeoutMs))) : undefined;
    running.then(
      (result) => {
        end();
        resolve(result);
      },
      (error: unknown) => {
        end();
        reject(error);
      },
    );
  });
}

async function afterGivingUp(
  connection: Connection,
  running: Promise<Result>,
  reason: ShardlineError,
  { config, clock, isRead, isInTransaction }: ExecuteOptions,
): Promise<Result> {
  void cancelOnServer(connection, config, { timeoutMs: VERDICT_TIMEOUT_MS, clock });
  if (isRead || isInTransaction) throw reason;
  return verdict(running, reason, clock);
}

/** What became of a write that was given up. */
async function verdict(
  running: Promise<Result>,
  reason: ShardlineError,
  clock: Clock,
): Promise<Result> {
  const silence = new Promise<undefined>((resolve) => {
    clock.schedule(VERDICT_TIMEOUT_MS, () => resolve(undefined), true);
  });
  const result = await Promise.race([
    running.catch((error: unknown) => {
      if (codeOf(error) === QUERY_CANCELED) throw reason;
      throw error;
    }),
    silence,
  ]);
  if (result !== undefined) return result;
  throw poolError(
    'POOL_OUTCOME_UNKNOWN',
    'A write was given up and the server did not say in time whether it took place.',
    { cause: reason },
  );
}

function timeoutError(timeoutMs: number): ShardlineError {
  return poolError('POOL_STATEMENT_TIMEOUT', `The statement ran for ${timeoutMs} ms.`);
}

/** SQLSTATEs with which a server ends a connection. */
const SERVER_GONE = /^(08|57P0[1-4])/;

/** Whether an error means that the connection is gone, and with it the answer. */
export function isConnectionLost(error: unknown, connection: Connection): boolean {
  const code = codeOf(error);
  if (code !== undefined && SERVER_GONE.test(code)) return true;
  if (code !== undefined && /^[0-9A-Z]{5}$/.test(code) && 'severity' in (error as object)) {
    return false;
  }
  return !connection.isAlive;
}

/** A lost connection means different things to a read, a transaction and a write. */
export function explain(
  error: Error,
  connection: Connection,
  options: Pick<ExecuteOptions, 'isRead' | 'isInTransaction'>,
): Error {
  if (!isConnectionLost(error, connection)) return error;
  const { node } = connection;
  // What broke it may have been said before this statement, to which the driver says only that it is broken.
  const cause = connection.failure ?? error;
  const more = { cause, details: { node, causeCode: codeOf(cause) } };
  const lost = `The connection to ${node} was lost (${messageOf(cause)})`;
  if (options.isInTransaction) {
    return poolError('POOL_TRANSACTION_LOST', `${lost} inside an open transaction.`, more);
  }
  if (options.isRead) return poolError('POOL_CONNECTION_LOST', `${lost} during a read.`, more);
  return poolError('POOL_OUTCOME_UNKNOWN', `${lost} after a write had been sent.`, more);
}
