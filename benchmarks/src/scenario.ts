import type { TargetId } from './targets.js';

/**
 * A scenario answers one row of the targets: our work and a named peer's, on the same machine in the
 * same run. Absolute figures tell about a machine; the ratio tells about us.
 */
export interface Scenario {
  readonly suite: Suite;
  /** Unique within its suite: `l1-peek`. */
  readonly name: string;
  /**
   * Which production situation it stands for, and why the workload resembles it: key popularity, value
   * sizes, read share, with their source.
   */
  readonly situation: string;
  /** Measures, after it has checked that both sides give right answers. */
  readonly run: (context: ScenarioContext) => Promise<readonly Row[]>;
}

/** Parts of the product that are measured apart. */
export const SUITES = [
  'route',
  'placement',
  'cache',
  'ratelimit',
  'pool',
  'scatter',
  'rebalance',
  'layer',
  'scaling',
  'simulation',
] as const;

export type Suite = (typeof SUITES)[number];

/** What a scenario is given. */
export interface ScenarioContext {
  /** Fewer and shorter rounds: enough to see a regression, not to publish. */
  readonly quick: boolean;
  readonly signal: AbortSignal;
  /** Says what is being done; shown while it runs. */
  readonly note: (text: string) => void;
  /** Registers what must be closed when the scenario ends, however it ends. Last in, first out. */
  readonly use: <T extends AsyncDisposable>(resource: T) => T;
  /** Adds a curve to the results: how a figure changes with something. */
  readonly draw: (curve: Curve) => void;
}

/** How figures change with a number: one chart of the results. */
export interface Curve {
  readonly suite: Suite;
  /** `reads/s by processes` */
  readonly name: string;
  readonly x: string;
  readonly y: string;
  /** Steps that double are drawn at equal distances. */
  readonly isLogarithmic?: boolean;
  readonly lines: readonly {
    readonly name: string;
    readonly points: readonly (readonly [number, number])[];
  }[];
}

/** One line of the result: ours, a peer's, their ratio, and what the ratio should be. */
export interface Row {
  readonly suite: Suite;
  readonly name: string;
  /** The line of the targets that it answers; undefined where it only explains. */
  readonly answers?: TargetId | undefined;
  /** Who we are compared with: `lru-cache 11 get`. */
  readonly peer: string;
  readonly unit: string;
  readonly ours: number;
  readonly theirs: number;
  /** Ours to theirs, the median of pairs that ran one after the other. */
  readonly ratio: number;
  /** Half the spread of the middle half of the pairs' ratios. */
  readonly ratioSpread: number;
  readonly target: Target;
  readonly met: boolean;
  /** Percentiles, CPU and whatever else explains the row. */
  readonly details?: Readonly<Record<string, number | string>>;
}

/** What a ratio should be. */
export interface Target {
  readonly relation: 'at most' | 'at least' | 'exactly';
  readonly ratio: number;
}

/** Whether a ratio keeps its target. */
export function isMet({ relation, ratio: wanted }: Target, seen: number): boolean {
  switch (relation) {
    case 'at most':
      return seen <= wanted;
    case 'at least':
      return seen >= wanted;
    case 'exactly':
      return seen === wanted;
  }
}
