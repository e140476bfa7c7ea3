import { ShardlineError } from '@shardline/core';
import { cacheErrors } from '../errors.js';
import { decodeFrame, MAX_FRESHNESS_BYTES, type StandingFreshness } from './frame.js';

/**
 * How fresh a loader must read: the mark of an invalidation.
 *
 * A mark is told to every loader of its time, not to the first alone. So whatever stands under an address carries it on:
 * the tombstone that brought it; the lease and the failure in its place, since a loader may die, or fail; the value that
 * was loaded under it, since the next invalidation may bring no mark, or the value may end first; the lease of a writer.
 * What carries a mark stays at least as long as the mark would have.
 *
 * The marks of two writers may arrive in another order than they wrote in, and only their loaders can compare
 * them. So marks are joined, in any order with the same end, and never replace each other:
 *
 *     nothing + m = m        m + m = m        m + another = FRESHEST        FRESHEST + m = FRESHEST
 *
 * and what was joined stands until the later of the two would have ended.
 */

/**
 * The mark in place of several unlike ones: read from a server that has everything that was acknowledged, such as
 * the primary. An invalidation may give it itself.
 */
export const FRESHEST = '*';

/** Both marks at once. */
export function joinedMark(a: string | undefined, b: string | undefined): string | undefined {
  if (a === undefined || b === undefined) return a ?? b;
  return a === b ? a : FRESHEST;
}

/** Both marks at once, as long as either would stand. */
export function joined(
  a: StandingFreshness | undefined,
  b: StandingFreshness | undefined,
): StandingFreshness | undefined {
  if (a === undefined || b === undefined) return a ?? b;
  return {
    freshness: joinedMark(a.freshness, b.freshness) as string,
    untilMs: Math.max(a.untilMs, b.untilMs),
  };
}

/** Why a text is no freshness mark, or undefined if it is one. */
export function freshnessFault(mark: unknown): string | undefined {
  if (typeof mark !== 'string') return `is a ${typeof mark}, not a text`;
  if (mark === '') return 'is empty';
  if (Buffer.byteLength(mark) > MAX_FRESHNESS_BYTES) {
    return `has more than ${MAX_FRESHNESS_BYTES} bytes`;
  }
  return mark.isWellFormed() ? undefined : 'holds half a surrogate pair';
}

/** @throws ShardlineError `CACHE_FRESHNESS_INVALID`. */
export function assertFreshness(namespace: string, mark: string | undefined): void {
  const fault = mark === undefined ? undefined : freshnessFault(mark);
  if (fault === undefined) return;
  throw new ShardlineError(
    cacheErrors.CACHE_FRESHNESS_INVALID,
    `The freshness mark of an invalidation in namespace '${namespace}' ${fault}.`,
  );
}

/** A mark unless its time is over. */
export function stillStanding(
  standing: StandingFreshness | undefined,
  nowMs: number,
): StandingFreshness | undefined {
  return standing !== undefined && nowMs < standing.untilMs ? standing : undefined;
}

/** The mark that stands under an address now, whatever carries it. */
export function standingIn(
  bytes: Buffer | undefined,
  nowMs: number,
): StandingFreshness | undefined {
  return bytes === undefined ? undefined : stillStanding(decodeFrame(bytes)?.standing, nowMs);
}

/** How long a state of so many milliseconds has to stay for the mark that it carries. */
export function lifeWith(
  standing: StandingFreshness | undefined,
  lifeMs: number,
  nowMs: number,
): number {
  return standing === undefined ? lifeMs : Math.max(lifeMs, standing.untilMs - nowMs);
}
