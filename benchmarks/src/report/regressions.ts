import type { Row } from '../scenario.js';

/** A row that got worse by more than both runs' noise. */
export interface Regression {
  readonly name: string;
  readonly before: number;
  readonly after: number;
  /** How much worse, as a share of before. */
  readonly worseBy: number;
}

/** Runs differ by some per cent with nothing changed, even where the spread within each was small. */
const NOISE_FLOOR = 0.05;

/** Rows of two runs whose ratios moved the wrong way beyond the noise of both. */
export function findRegressions(before: readonly Row[], after: readonly Row[]): Regression[] {
  const earlier = new Map(before.map((row) => [keyOf(row), row]));
  return after.flatMap((row) => {
    const old = earlier.get(keyOf(row));
    if (old === undefined) return [];
    const sign = row.target.relation === 'at least' ? -1 : 1;
    const worseBy = (sign * (row.ratio - old.ratio)) / old.ratio;
    const noise = Math.max(
      NOISE_FLOOR,
      2 * (row.ratioSpread / row.ratio + old.ratioSpread / old.ratio),
    );
    return worseBy > noise
      ? [{ name: keyOf(row), before: old.ratio, after: row.ratio, worseBy }]
      : [];
  });
}

function keyOf(row: Row): string {
  return `${row.suite}/${row.name} vs ${row.peer}`;
}
