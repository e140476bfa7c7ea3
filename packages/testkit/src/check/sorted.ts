/** Orders numbers of nanoseconds, for `sort`. */
export function compareNs(a: bigint, b: bigint): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** How many entries of a sorted list pass, where those that pass come first. */
export function countWhile<T>(sorted: readonly T[], passes: (entry: T) => boolean): number {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (passes(sorted[middle] as T)) low = middle + 1;
    else high = middle;
  }
  return low;
}
