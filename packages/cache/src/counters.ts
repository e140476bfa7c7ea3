/**
 * What a namespace counts. Plain numbers, added to where the thing happens and read by telemetry when
 * someone collects: a hit pays one addition.
 */
export class Counters {
  l1Hits = 0;
  l2Hits = 0;
  l3Hits = 0;
  misses = 0;
  loads = 0;
  loadFailures = 0;
  staleServed = 0;
  refreshes = 0;
  /** Fills that a lease refused: each would have been a stale entry, or a lost lease. */
  refusedFills = 0;
  /** Loads made without a lease: the tier was down, or another's load took too long. */
  unleasedLoads = 0;
  corruptFrames = 0;
  oversizedValues = 0;
  unserialisableValues = 0;
  invalidations = 0;
  /** Values shown that the source has not taken yet. */
  behindHits = 0;
  behindWritten = 0;
  /** Writes that took the place of one still waiting. */
  behindCoalesced = 0;
  behindFailures = 0;
  behindUnwritten = 0;
  /** Loads made ahead of demand. */
  warmed = 0;
  probes = 0;
  /** Probes that found the cache at odds with its source, by how long it had been so at least. */
  inconsistentBeyondBound = 0;
  inconsistentBeyond1m = 0;
  inconsistentBeyond10m = 0;
}
