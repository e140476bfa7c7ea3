/**
 * Which key is asked for next.
 *
 * Requests of services are skewed: a few keys take most of them. Zipf's law with an exponent of 0.99 is YCSB's default
 * (Cooper et al., "Benchmarking Cloud Serving Systems with YCSB", 2010); Twitter's 153 cache clusters lie mostly
 * between 1 and 2.5, with some flatter (Yang, Yue, Rashmi, OSDI 2020), so 0.8 to 1 is the harder part.
 */
export function zipfSampler(keys: number, exponent: number, random: () => number): () => number {
  const cumulative = new Float64Array(keys);
  let total = 0;
  for (let rank = 0; rank < keys; rank += 1) {
    total += (rank + 1) ** -exponent;
    cumulative[rank] = total;
  }
  return () => firstAtOrAbove(cumulative, random() * total);
}

/** Draws made ahead, so that drawing is no part of what is timed. */
export function drawnKeys(count: number, draw: () => number, nameOf: (rank: number) => string) {
  const names = new Map<number, string>();
  return Array.from({ length: count }, () => {
    const rank = draw();
    // One string per key: a fresh one would have to be hashed anew by every map.
    const name = names.get(rank) ?? nameOf(rank);
    names.set(rank, name);
    return name;
  });
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
