import { isShardlineError } from '@shardline/core';
import { codeOf } from './errors.js';

/**
 * What to do after a statement failed (pure).
 *
 * One rule stands above the others: a statement that changes something is sent again only if it
 * provably did not take place. That is so when no connection could be had, so that nothing was sent,
 * and when the server refused it for being read-only (25006). A read may be sent again whenever the
 * connection broke or a standby cancelled it in favour of replay.
 */
export interface Failure {
  readonly error: unknown;
  readonly isRead: boolean;
  readonly onReplica: boolean;
  /** Whether a connection had been lent, so that the statement may have been sent. */
  readonly wasSent: boolean;
  /** Whether a refusal proves that nothing of the text took effect: it holds no COMMIT of its own. */
  readonly isAtomic: boolean;
  /** Failures of this statement so far, this one included. */
  readonly failures: number;
  readonly replicas: number;
}

/** The way on. `primary`: there and nowhere else. `elsewhere`: anywhere but where it failed. */
export type Recovery = 'give-up' | 'primary' | 'elsewhere' | 'find-primary';

/** A server refused a write since it is a standby, or in a read-only transaction. */
const READ_ONLY = '25006';
/** A standby cancelled a query in favour of replay: a conflict, or a deadlock with it. */
const RECOVERY_CONFLICTS = new Set(['40001', '40P01']);
/** Times that a conflict may repeat, for each replica there is. */
const CONFLICTS_PER_REPLICA = 3;
const MOST_FAILED_SERVERS = 5;

export function recover(failure: Failure): Recovery {
  const { error, isRead, onReplica, wasSent, isAtomic, failures, replicas } = failure;
  const code = codeOf(error);
  if (code === READ_ONLY && isAtomic) return onReplica ? 'primary' : 'find-primary';
  if (isDialFailure(error)) return failures <= MOST_FAILED_SERVERS ? 'elsewhere' : 'give-up';
  if (!wasSent || !isRead) return 'give-up';
  if (isShardlineError(error, 'POOL_CONNECTION_LOST')) {
    return failures <= MOST_FAILED_SERVERS ? 'elsewhere' : 'give-up';
  }
  if (onReplica && code !== undefined && RECOVERY_CONFLICTS.has(code)) {
    return failures < CONFLICTS_PER_REPLICA * replicas ? 'elsewhere' : 'primary';
  }
  return 'give-up';
}

function isDialFailure(error: unknown): boolean {
  return isShardlineError(error) && /^POOL_(DIAL|AUTHENTICATION|TLS)/.test(error.code);
}
