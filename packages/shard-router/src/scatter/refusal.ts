import { ShardlineError } from '@shardline/core';
import { routerErrors } from '../errors.js';

/** The way out of a refusal that the statement's author may know better than the parse tree. */
export const ADVICE = 'or state `perShard: true` if that is what is meant';

/** The statement can never be scattered as it stands. */
export function refused(why: string): ShardlineError {
  return new ShardlineError(
    routerErrors.SCATTER_REFUSED,
    `The statement cannot be scattered: ${why}.`,
  );
}

/** It can be once no slot is under way. */
export function refusedWhileMoving(why: string): ShardlineError {
  return new ShardlineError(
    routerErrors.SCATTER_REFUSED,
    `While slots move, the statement cannot be scattered exactly: ${why}.`,
    { retryable: true, remedy: 'Try again when the move has ended, or declare what it reads.' },
  );
}
