import { isMet, type Row, type Target } from '../scenario.js';
import { median, spread } from './statistics.js';

/** What both sides showed in one round. */
export interface Pair {
  readonly ours: number;
  readonly theirs: number;
}

/** Measures both sides once per round, taking turns at going first. */
export async function measurePairs(
  sides: { readonly ours: () => Promise<number>; readonly theirs: () => Promise<number> },
  { rounds, signal }: { readonly rounds: number; readonly signal: AbortSignal },
): Promise<Pair[]> {
  const pairs: Pair[] = [];
  for (let round = 0; round < rounds; round += 1) {
    signal.throwIfAborted();
    if (round % 2 === 0) {
      const ours = await sides.ours();
      pairs.push({ ours, theirs: await sides.theirs() });
    } else {
      const theirs = await sides.theirs();
      pairs.push({ ours: await sides.ours(), theirs });
    }
  }
  return pairs;
}

/** The row that pairs of figures make: medians, and the median of the pairs' ratios. */
export function rowOfPairs(
  about: Pick<Row, 'suite' | 'name' | 'answers' | 'peer' | 'unit' | 'details'> & {
    readonly target: Target;
  },
  pairs: readonly Pair[],
): Row {
  const ratios = pairs.map(({ ours, theirs }) => ours / theirs);
  const ratio = median(ratios);
  return {
    ...about,
    ours: median(pairs.map(({ ours }) => ours)),
    theirs: median(pairs.map(({ theirs }) => theirs)),
    ratio,
    ratioSpread: spread(ratios),
    met: isMet(about.target, ratio),
  };
}
