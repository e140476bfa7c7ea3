import { coreErrors, defineErrors, ShardlineError } from '@shardline/core';

/** The errors of the cache. */
export const cacheErrors = defineErrors({
  CACHE_KEY_INVALID: {
    retryable: false,
    meaning: 'A cache key cannot be used: empty, too long, or with control characters.',
    remedy: 'Use 1 to 1024 bytes of text without control characters; hash what is longer.',
  },
  CACHE_FRESHNESS_INVALID: {
    retryable: false,
    meaning: 'A freshness mark cannot be kept: empty, too long, or no text.',
    remedy: 'Give 1 to 256 bytes of text that your loaders understand, or no mark at all.',
  },
  CACHE_VALUE_INVALID: {
    retryable: false,
    meaning: 'A value cannot be kept in a cache: it is undefined or cannot be serialised.',
    remedy:
      'Return plain data; undefined means "does not exist", functions and cycles cannot travel.',
  },
  CACHE_LOAD_TIMEOUT: {
    retryable: true,
    meaning: 'The loader of a namespace did not end within its hard deadline.',
    remedy: 'Look at the source; raise loadTimeout only if loads are meant to take that long.',
  },
  CACHE_LOAD_BACKOFF: {
    retryable: true,
    meaning: 'A load of this key failed moments ago, and the source is left alone for a while.',
    remedy: 'Try again after the back-off; the failure itself was thrown where the load ran.',
  },
  CACHE_NO_LOADER: {
    retryable: false,
    meaning: 'A key was not in the cache and its namespace has no loader.',
    remedy: 'Give the namespace a `load` function, or pass one to this call, or use `peek`.',
  },
  CACHE_TIER_UNAVAILABLE: {
    retryable: true,
    meaning: 'A cache tier did not answer, or is left alone because it did not of late.',
    remedy: 'Mend the tier; until then calls go round it.',
  },
  CACHE_INVALIDATION_QUEUED: {
    retryable: true,
    meaning: 'An invalidation could not reach every tier; it is queued and will be repeated.',
    remedy:
      'Until it has gone through, other processes may still read the old value from that tier.',
  },
  CACHE_EVENT_UNKNOWN: {
    retryable: false,
    meaning: 'An event was emitted for which no rule is declared.',
    remedy: 'Declare it in `rules`, with an empty list if it is meant to invalidate nothing.',
  },
  CACHE_EVENT_PAYLOAD: {
    retryable: false,
    meaning: "An event's payload lacks a field that its rules name.",
    remedy: 'Put the field into the payload, or correct the rule.',
  },
  CACHE_PATTERN_UNSUPPORTED: {
    retryable: false,
    meaning: 'A pattern cannot be invalidated in one step.',
    remedy:
      "Declare the namespace's `keys` template and put `*` at the end or in all places but one; or use tags.",
  },
  CACHE_WRITE_BEHIND_FULL: {
    retryable: true,
    meaning:
      'The write-behind buffer of a namespace has no place for another write, by count or by bytes.',
    remedy:
      'Slow down or try again later; if the source is well, raise `writeBehind.maxPending`, `maxPendingBytes` or `batch`.',
  },
  CACHE_WRITE_IN_TRANSACTION: {
    retryable: false,
    meaning:
      'A value was to be written to its source by the cache from within `afterCommit`, where it could be neither committed nor rolled back.',
    remedy: 'Write it in the transaction itself and `invalidate`; or `set` after the commit.',
  },
  CACHE_EDGE_PURGE_FAILED: {
    retryable: true,
    meaning: 'An edge (CDN) did not take an order to purge.',
    remedy: 'It is repeated; look at the token, its rights and the limits of the plan.',
  },
  CACHE_STORE_FAILED: {
    retryable: false,
    meaning:
      "The `store` function of a write-through namespace threw; the cache's copy was dropped.",
    remedy: 'Look at the cause; whether the source took the write only the source knows.',
  },
});

/** A call that came after its cache was closed. */
export function closedError(namespace: string): ShardlineError {
  return new ShardlineError(coreErrors.CLOSED, `The cache of namespace '${namespace}' was closed.`);
}

/** A write of the cache's own where a transaction could be rolled back without it. */
export function writeInTransaction(name: string, key: string, how: string): ShardlineError {
  return new ShardlineError(
    cacheErrors.CACHE_WRITE_IN_TRANSACTION,
    `'${name}:${key}' cannot be written ${how === 'update' ? 'by update' : how} within afterCommit.`,
  );
}
