/**
 * How fresh a loader must read is to be told to every loader of its time, not to the first alone: whoever leases a
 * tombstone may die, or fail to load, and the next one must not read a replica that has not seen the write. So a lease and
 * a failure that stand where a tombstone stood carry its mark on, and stay as long as it would have. Past its own end such a
 * lease is as good as none.
 */

import { decodeFrame, type StandingFreshness } from './frame.js';

/** The mark of what stands under an address, if it has no payload (a payload's own frame keeps it). */
export function standingFreshness(bytes: Buffer | undefined): StandingFreshness | undefined {
  const frame = bytes === undefined ? undefined : decodeFrame(bytes);
  if (frame?.freshness === undefined || frame.payload !== undefined) return undefined;
  return { freshness: frame.freshness, untilMs: frame.storedAtMs };
}

/** How long a state of so many milliseconds has to stay for the mark that it carries. */
export function lifeWith(
  standing: StandingFreshness | undefined,
  lifeMs: number,
  nowMs: number,
): number {
  return standing === undefined ? lifeMs : Math.max(lifeMs, standing.untilMs - nowMs);
}
