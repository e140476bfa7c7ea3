/**
 * Which user is asked for next: a few of them far more often than the rest. YCSB's default skew of 0.99
 * stands for the web at large (Cooper et al., "Benchmarking Cloud Serving Systems with YCSB", 2010).
 */
export function zipfSampler(count: number, skew: number, random: () => number): () => number {
  const cumulative = new Float64Array(count);
  let total = 0;
  for (let rank = 0; rank < count; rank += 1) {
    total += 1 / (rank + 1) ** skew;
    cumulative[rank] = total;
  }
  return () => firstAtOrAbove(cumulative, random() * total);
}

function firstAtOrAbove(sorted: Float64Array, value: number): number {
  let low = 0;
  let high = sorted.length - 1;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((sorted[middle] as number) < value) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** A small seeded generator (mulberry32), so that a demo run can be repeated. */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
