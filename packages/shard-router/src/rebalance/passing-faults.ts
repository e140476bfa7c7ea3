/** Which faults may pass by themselves, so that trying again is the right answer. */

import { isShardlineError } from '@shardline/core';

/** Classes of SQLSTATE: connection, resources, operator intervention; and a few codes of their own. */
const PASSING_CLASSES = new Set(['08', '53', '57', '58']);
const PASSING_CODES = new Set(['40001', '40P01', '55P03', '55006', '25006', 'XX000']);
const PASSING_SYSTEM = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'EPIPE',
  'ETIMEDOUT',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'EAI_AGAIN',
]);

/** Whether the same work may succeed a little later without anybody changing anything. */
export function isPassing(error: unknown): boolean {
  if (isShardlineError(error)) return error.retryable;
  const { code, message } = (error ?? {}) as { code?: unknown; message?: unknown };
  if (typeof code === 'string') {
    if (PASSING_SYSTEM.has(code) || PASSING_CODES.has(code)) return true;
    return /^[0-9A-Z]{5}$/.test(code) && PASSING_CLASSES.has(code.slice(0, 2));
  }
  // What `pg` says of a connection that ended under a statement has no code.
  return (
    typeof message === 'string' &&
    /connection (was )?(terminated|ended|closed|lost)|not queryable/i.test(message)
  );
}
