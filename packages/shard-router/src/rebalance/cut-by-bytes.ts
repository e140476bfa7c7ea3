/**
 * How what goes from one shard to another is cut into moves (pure).
 *
 * PostgreSQL brings a COPY that has begun to its end at full speed, so what a copy costs others is bounded by how much it
 * copies: between two moves it is looked whether others suffer, and nobody waits longer for an abort than for one move. But each
 * move reads its tables whole, to copy, to compare and to clean, since no index leads to a slot; so a move is not smaller than
 * it must be.
 */

/**
 * @param bytesOf what was measured of a slot.
 * @param most bytes of one part; a slot that has more is a part of its own.
 * @returns the slots in the order in which they came.
 */
export function cutByBytes(
  slots: readonly number[],
  bytesOf: (slot: number) => number,
  most: number,
): number[][] {
  const parts: number[][] = [];
  let bytes = Number.POSITIVE_INFINITY;
  for (const slot of slots) {
    bytes += bytesOf(slot);
    if (bytes > most) {
      parts.push([]);
      bytes = bytesOf(slot);
    }
    parts.at(-1)?.push(slot);
  }
  return parts;
}
