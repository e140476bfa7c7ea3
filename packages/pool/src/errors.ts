import { defineErrors, ShardlineError, type ShardlineErrorDetails } from '@shardline/core';

/** The errors of `@shardline/pool`. */
export const poolErrors = defineErrors({
  POOL_ACQUIRE_TIMEOUT: {
    retryable: true,
    meaning: 'No connection became free before the deadline of the acquire.',
    remedy:
      'Look for connections held too long (set `leakReportAfter`), or raise `max` within the server’s max_connections.',
  },
  POOL_ENDED: {
    retryable: false,
    meaning: 'The pool was used after end() or close().',
    remedy: 'Create a new pool, or end this one later.',
  },
  POOL_RELEASED_TWICE: {
    retryable: false,
    meaning: 'A client was released that had already gone back to the pool.',
    remedy: 'Call release() once, in a finally block.',
  },
  POOL_USED_AFTER_RELEASE: {
    retryable: false,
    meaning: 'A client was used after it had gone back to the pool.',
    remedy: 'Await every query before release(), or check out another client.',
  },
  POOL_DIAL_FAILED: {
    retryable: true,
    meaning: 'A connection to a server could not be opened.',
    remedy: 'Check that the server runs and can be reached at this address; the pool keeps trying.',
  },
  POOL_DIAL_TIMEOUT: {
    retryable: true,
    meaning: 'Opening a connection, name lookup included, did not end in time.',
    remedy: 'Check name resolution, the network and the server; or allow more by `dialTimeout`.',
  },
  POOL_AUTHENTICATION_FAILED: {
    retryable: false,
    meaning: 'The server refused the credentials.',
    remedy: 'Correct user and password; an async `password` function is asked again for each dial.',
  },
  POOL_TLS_REFUSED: {
    retryable: false,
    meaning: 'A TLS connection could not be made or the certificate is not trusted.',
    remedy: 'Give the certificate authority as `ssl: { ca }`, and connect by a name it certifies.',
  },
  POOL_CONNECTION_LOST: {
    retryable: true,
    meaning: 'A connection broke under a statement that changes nothing.',
    remedy: 'Try again.',
  },
  POOL_TRANSACTION_LOST: {
    retryable: true,
    meaning: 'A connection broke inside a transaction that had not been committed.',
    remedy: 'The server has rolled it back; run the whole transaction again.',
  },
  POOL_TRANSACTION_IDLE: {
    retryable: true,
    meaning:
      'A transaction was left open with nothing asked for longer than `idleInTransactionTimeout`; its connection was cut, and it was rolled back.',
    remedy:
      'End each transaction at once, and wait for nothing else while one is open. Run it again from its beginning.',
  },
  POOL_OUTCOME_UNKNOWN: {
    retryable: false,
    meaning: 'A write was cut off after it had been sent; it may or may not have been committed.',
    remedy: 'Find out by reading before trying again: the pool never repeats such a write.',
  },
  POOL_STATEMENT_TIMEOUT: {
    retryable: false,
    meaning: 'A statement was cancelled since it ran longer than allowed.',
    remedy: 'Make it faster, or allow more by `statementTimeout`.',
  },
  POOL_NO_PRIMARY: {
    retryable: true,
    meaning: 'No server that takes writes was found before the deadline.',
    remedy: 'Promote a replica or bring the primary back; the pool finds it without a restart.',
  },
  POOL_NO_REPLICA: {
    retryable: true,
    meaning: 'A statement was meant for a replica and none could take it.',
    remedy: 'Bring a replica back, or let the statement go to the primary.',
  },
  POOL_FOREIGN_NODE: {
    retryable: false,
    meaning: 'A configured server belongs to another cluster than the primary.',
    remedy: 'Correct its address: a replica must be a copy of this primary.',
  },
  POOL_SPLIT_BRAIN: {
    retryable: true,
    meaning: 'Two servers take writes on the same timeline, so that neither can be trusted.',
    remedy: 'Stop the one that is not meant to be the primary; writes go on once one is left.',
  },
  POOL_TOKEN_MALFORMED: {
    retryable: false,
    meaning: 'A session token cannot be read.',
    remedy: 'Hand back the text of session.token() unchanged, or begin without a token.',
  },
  POOL_TOKEN_FORGED: {
    retryable: false,
    meaning: 'The signature of a session token is missing or does not fit.',
    remedy:
      'Begin without a token. If it is your own, give every process the same `sessions.signingKeys`, old keys included.',
  },
  POOL_TOKEN_FOREIGN: {
    retryable: false,
    meaning: 'A session token belongs to another cluster.',
    remedy: 'Keep one token per cluster; begin without a token here.',
  },
  POOL_SESSION_UNSETTLED: {
    retryable: true,
    meaning: 'The position of a session could not be found out, as no primary answered in time.',
    remedy: 'Try again once there is a primary.',
  },
});

/** The code of any pool error. */
export type PoolErrorCode = keyof typeof poolErrors;

/** Makes a pool error. */
export function poolError(
  code: PoolErrorCode,
  happened: string,
  more?: ShardlineErrorDetails,
): ShardlineError {
  return new ShardlineError(poolErrors[code], happened, more);
}

/** What everybody is told who uses a pool after its end. */
export function endedError(): ShardlineError {
  return poolError('POOL_ENDED', 'Cannot use a pool after calling end on the pool.');
}

/** The SQLSTATE, or the code of the system call that failed, if an error carries one. */
export function codeOf(error: unknown): string | undefined {
  const code = (error as { code?: unknown } | null | undefined)?.code;
  return typeof code === 'string' ? code : undefined;
}

/** Text of anything thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
