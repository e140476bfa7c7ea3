import type { Curve, Row, Suite } from '../scenario.js';
import { type TargetId, targetLines } from '../targets.js';
import type { describeMachine } from './machine.js';

/** One line of the targets with what was seen of it. */
export interface TargetResult {
  readonly id: TargetId;
  readonly suite: Suite;
  readonly name: string;
  readonly peer: string;
  /** In words: `>= 1.7 x with pipelining; >= 0.95 x without`. */
  readonly target: string;
  readonly status: 'met' | 'short' | 'not run';
  /** Null where nothing was measured. */
  readonly met: boolean | null;
  /** The ratio of the measurement that is farthest from its target, or nearest to missing it. */
  readonly ratio: number | null;
  readonly measurements: readonly Row[];
}

/** What a run wrote down; what `--compare`, the page, the charts and the capacity model read. */
export interface Results {
  readonly machine: ReturnType<typeof describeMachine>;
  readonly versions: Readonly<Record<string, string | undefined>>;
  readonly commit: string | undefined;
  readonly quick: boolean;
  readonly startedAt: string;
  readonly seconds: number;
  /** One per line of the targets, whether it was run or not. */
  readonly rows: readonly TargetResult[];
  /** What was measured besides. */
  readonly others: readonly Row[];
  readonly curves: readonly Curve[];
  readonly failures: readonly { readonly scenario: string; readonly message: string }[];
}

/** Sorts what was measured by the lines of the targets. */
export function resultsByTarget(rows: readonly Row[]): Pick<Results, 'rows' | 'others'> {
  return {
    rows: targetLines.map((line) => {
      const measurements = rows.filter(({ answers }) => answers === line.id);
      const worst = [...measurements].sort((a, b) => marginOf(b) - marginOf(a))[0];
      const met = worst === undefined ? null : measurements.every((row) => row.met);
      return {
        id: line.id,
        suite: line.suite,
        name: line.work,
        peer: line.peer,
        target: line.target,
        status: met === null ? 'not run' : met ? 'met' : 'short',
        met,
        ratio: worst?.ratio ?? null,
        measurements,
      };
    }),
    others: rows.filter(({ answers }) => answers === undefined),
  };
}

/** How a row stands to its target: 1 just keeps it, less is better, more misses it. */
export function marginOf({ target, ratio, met }: Row): number {
  switch (target.relation) {
    case 'at most':
      return target.ratio === 0 ? (met ? 1 : Number.POSITIVE_INFINITY) : ratio / target.ratio;
    case 'at least':
      return target.ratio / ratio;
    case 'exactly':
      return met ? 1 : Number.POSITIVE_INFINITY;
  }
}

/** Every measurement of a run. */
export function measurementsOf({ rows, others }: Pick<Results, 'rows' | 'others'>): Row[] {
  return [...rows.flatMap(({ measurements }) => measurements), ...others];
}
