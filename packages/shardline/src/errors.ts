import { defineErrors } from '@shardline/core';

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
});
