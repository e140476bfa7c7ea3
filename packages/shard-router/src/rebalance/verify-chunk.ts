/**
 * How many slots are compared at a time (pure).
 *
 * No index leads to a slot, so a chunk reads its tables whole, however few slots it has: the fewer chunks, the less is read. A
 * chunk is one snapshot too, and what holds a snapshot for long keeps vacuum from its work. So a chunk has as many slots as
 * are expected to be compared in a moment, going by the one before, and never less than its share of a fixed number of
 * chunks, where the tables themselves are what takes long.
 */

/** What a snapshot may be held for without anybody's noticing. */
const CHUNK_MS = 2000;
const MOST_CHUNKS = 16;

/** The first chunk, and the smallest. */
export function smallestChunk(slots: number): number {
  return Math.max(1, Math.ceil(slots / MOST_CHUNKS));
}

/** @param before slots of the chunk before, and how long the slowest table took in it. */
export function nextChunk(
  slots: number,
  before: { readonly slots: number; readonly slowestMs: number },
): number {
  const expected = Math.floor((before.slots * CHUNK_MS) / Math.max(1, before.slowestMs));
  return Math.min(slots, Math.max(smallestChunk(slots), expected));
}
