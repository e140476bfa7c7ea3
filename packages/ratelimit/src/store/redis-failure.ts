import { isShardlineError, ShardlineError } from '@shardline/core';
import { ratelimitErrors } from '../errors.js';

/**
 * What a failed call to Redis means.
 *
 * Two questions matter. Has anything happened? An error *reply* means no, since scripts check before
 * they write; silence or a cut connection means nobody knows. And does it speak against the server?
 * A server that loads its data, moves a slot or lost its scripts is alive and says so at once: that
 * must not open the breaker (apisix#13579 took NOSCRIPT for a dead node).
 */
export interface RedisFailure {
  readonly error: ShardlineError;
  readonly isAgainstServer: boolean;
}

const ALIVE = /^(NOSCRIPT|MOVED|ASK|TRYAGAIN|LOADING|CROSSSLOT)\b/;
const REPLY = /^[A-Z]{2,}\b/;

/** Reads an error of ioredis, or of our own deadline. */
export function readFailure(cause: unknown, doing: string): RedisFailure {
  const message = cause instanceof Error ? cause.message : String(cause);
  const isReply = isReplyError(cause) || (REPLY.test(message) && ALIVE.test(message));
  if (
    isReply ||
    isNotSent(message) ||
    isShardlineError(cause, 'CIRCUIT_OPEN') ||
    isShardlineError(cause, 'REDIS_UNREACHABLE')
  ) {
    return {
      error: new ShardlineError(
        ratelimitErrors.RATELIMIT_UNAVAILABLE,
        `${doing} failed: ${message}.`,
        { cause },
      ),
      isAgainstServer: !ALIVE.test(message),
    };
  }
  return {
    error: new ShardlineError(
      ratelimitErrors.RATELIMIT_OUTCOME_UNKNOWN,
      `${doing} got no answer: ${message}.`,
      { cause },
    ),
    isAgainstServer: true,
  };
}

/** ioredis names the class of error replies so, whichever copy of it is loaded. */
function isReplyError(cause: unknown): boolean {
  return cause instanceof Error && cause.name === 'ReplyError';
}

/** ioredis' words when the command never left this process. */
function isNotSent(message: string): boolean {
  return /Stream isn't writeable|enableOfflineQueue|Cluster isn't ready|None of startup nodes|Connection is closed before/i.test(
    message,
  );
}
