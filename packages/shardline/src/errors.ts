import { defineErrors, type ErrorDefinition, ShardlineError } from '@shardline/core';

/** The errors of the data layer itself. */
export const layerErrors = defineErrors({
  ENTITY_ROW_INVALID: {
    retryable: false,
    meaning: 'A row does not fit the schema of its entity.',
    remedy: 'Correct the values named above; nothing was written.',
  },
  ENTITY_KEY_MISSING: {
    retryable: false,
    meaning: 'A row or a call lacks the key that says which shard it belongs to.',
    remedy: 'Give the key column, and the id column where the entity has one.',
  },
  ENTITY_KEY_IMMUTABLE: {
    retryable: false,
    meaning: 'An update tried to change the key or the id of a row.',
    remedy:
      'Insert a row under the new key and delete the old one; a key decides where a row lives.',
  },
  ENTITY_PLACEMENT: {
    retryable: false,
    meaning: 'A call does not fit where the rows of its entity are.',
    remedy: 'Use the call that is named above, or change where the entity is placed.',
  },
  ENTITY_LIMITED: {
    retryable: true,
    meaning: 'The limit of an entity was reached for a key; nothing was read or written.',
    remedy: 'Try again after `details.retryAfterMs`.',
  },
  LAYER_TOKEN_MALFORMED: {
    retryable: false,
    meaning: 'A session token is not one that this data layer wrote.',
    remedy: 'Begin a new session; the client should forget this token.',
  },
  LAYER_TOKEN_FORGED: {
    retryable: false,
    meaning: 'The signature of a session token does not fit.',
    remedy:
      'Begin a new session. If the token is your own, give every process the same `sessions.signingKeys`.',
  },
  LAYER_TRANSACTION_OVER: {
    retryable: false,
    meaning: 'A transaction was used after it had ended.',
    remedy: 'Await everything that belongs to a transaction inside its function.',
  },
  LAYER_EVENT_INVALID: {
    retryable: false,
    meaning: 'The payload of an event does not fit its schema.',
    remedy: 'Correct the values named above; nothing was invalidated.',
  },
  LAYER_OUTBOX_MISSING: {
    retryable: false,
    meaning:
      'A shard has no outbox table, and the configuration wants invalidations written there.',
    remedy: 'Run `initialiseShards` with a role that may create tables, or set `outbox: false`.',
  },
  LAYER_DRAINING: {
    retryable: true,
    meaning: 'The data layer is being closed and begins nothing new.',
    remedy: 'Send the request to another process.',
  },
  MEMORY_LAYER_UNSUPPORTED: {
    retryable: false,
    meaning: 'The in-memory layer was asked for something that needs a database.',
    remedy: 'Answer SQL with `answers`, or test against real servers from @shardline/testkit.',
  },
});

/** The code of an error of the data layer. */
export type LayerErrorCode = keyof typeof layerErrors;

/** An error of the data layer. */
export function layerError(
  code: LayerErrorCode,
  message: string,
  extra: ConstructorParameters<typeof ShardlineError>[2] = {},
): ShardlineError {
  return new ShardlineError(layerErrors[code] as ErrorDefinition, message, extra);
}
