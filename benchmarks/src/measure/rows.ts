import { isMet, type Row, type Suite, type Target } from '../scenario.js';
import type { TargetId } from '../targets.js';
import type { Comparison } from './compare.js';

/** What a row is about, and which contenders of a comparison it sets against each other. */
export interface RowSubject {
  readonly suite: Suite;
  readonly name: string;
  readonly answers?: TargetId | undefined;
  /** Name of our contender; the row's own name if it is left out. */
  readonly contender?: string;
  readonly peer: string;
  readonly target: Target;
  readonly details?: NonNullable<Row['details']>;
}

/** Time per operation, ours as a multiple of the peer's: lower is better. */
export function timeRow(comparison: Comparison, subject: RowSubject): Row {
  const { contender = subject.name, ...about } = subject;
  const figure = (name: string) => comparison.figures.get(name)?.nanosecondsPerOperation;
  const { ratio, ratioSpread } = comparison.ratioOf(contender, about.peer);
  return {
    ...about,
    unit: 'ns',
    ours: figure(contender) ?? Number.NaN,
    theirs: figure(about.peer) ?? Number.NaN,
    ratio,
    ratioSpread,
    met: isMet(about.target, ratio),
  };
}

/** Operations per second, ours as a multiple of the peer's: higher is better. */
export function rateRow(comparison: Comparison, subject: RowSubject & { unit: string }): Row {
  const { contender = subject.name, ...about } = subject;
  const figure = (name: string) => comparison.figures.get(name)?.operationsPerSecond;
  // Times per operation; throughput is the other way round.
  const { ratio, ratioSpread } = comparison.ratioOf(about.peer, contender);
  const cpuOf = (name: string) =>
    (comparison.figures.get(name)?.cpuNanosecondsPerOperation ?? 0) / 1000;
  const cpu = comparison.ratioOf(about.peer, contender, 'cpu');
  return {
    ...about,
    details: {
      ...about.details,
      'our CPU, us': cpuOf(contender),
      'their CPU, us': cpuOf(about.peer),
      'ratio by the CPU of the process': cpu.ratio,
    },
    ours: figure(contender) ?? Number.NaN,
    theirs: figure(about.peer) ?? Number.NaN,
    ratio,
    ratioSpread,
    met: isMet(about.target, ratio),
  };
}

/** A row of figures that were counted or computed, not timed in turns: one ratio, no spread. */
export function countedRow(
  about: Omit<Row, 'ratio' | 'ratioSpread' | 'met'> & { readonly target: Target },
): Row {
  const ratio = about.ours / about.theirs;
  return { ...about, ratio, ratioSpread: 0, met: isMet(about.target, ratio) };
}

export const atMost = (ratio: number): Target => ({ relation: 'at most', ratio });
export const atLeast = (ratio: number): Target => ({ relation: 'at least', ratio });
export const exactly = (ratio: number): Target => ({ relation: 'exactly', ratio });
