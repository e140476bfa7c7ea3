/** A figure with where it comes from. */
export interface Figure {
  readonly value: number;
  readonly source: 'measured' | 'assumed';
}

/** What one process and one server do, as far as the model needs it. */
export interface Measured {
  /** CPU of a process per lookup answered by its own memory. */
  readonly l1Microseconds: Figure;
  /** Per lookup answered by Redis. */
  readonly l2Microseconds: Figure;
  /** Per statement, routed, with its answer. */
  readonly statementMicroseconds: Figure;
  /** Per check of a limit. */
  readonly checkMicroseconds: Figure;
  /** CPU of Redis per check. */
  readonly redisMicrosecondsPerCheck: Figure;
  /** Point reads per second and core of one PostgreSQL. */
  readonly readsPerSecondAndCore: Figure;
  /** Share of the lookups that the process's own memory answers. */
  readonly l1HitShare: Figure;
  /** Share of all lookups that some tier answers. */
  readonly hitShare: Figure;
}

const assumed = (value: number): Figure => ({ value, source: 'assumed' });

/** Used where a run of the benchmarks has no figure: of the size that a quiet machine showed. */
export const ASSUMED: Measured = {
  l1Microseconds: assumed(0.2),
  l2Microseconds: assumed(5),
  statementMicroseconds: assumed(30),
  checkMicroseconds: assumed(6),
  redisMicrosecondsPerCheck: assumed(3),
  readsPerSecondAndCore: assumed(15_000),
  l1HitShare: assumed(0.7),
  hitShare: assumed(0.88),
};

/** The part of a results file of `npm run bench -- --json` that is read. */
interface ResultsFile {
  readonly machine?: { readonly cores?: number };
  readonly rows?: readonly {
    readonly id?: string;
    readonly measurements?: readonly MeasuredRow[];
  }[];
}

interface MeasuredRow {
  readonly name?: string;
  readonly ours?: number;
  readonly details?: Readonly<Record<string, unknown>>;
}

/**
 * Takes the figures out of a results file; what it does not have stays assumed.
 *
 * @example
 * ```ts
 * import { readFileSync } from 'node:fs';
 * import { measuredFrom } from '@shardline/cli';
 *
 * const measured = measuredFrom(JSON.parse(readFileSync('results.json', 'utf8')));
 * console.log(measured.l1Microseconds); // { value: 0.12, source: 'measured' }
 * ```
 */
export function measuredFrom(results: unknown): Measured {
  const file = (results ?? {}) as ResultsFile;
  const rowOf = (id: string, part = '') =>
    file.rows
      ?.find((line) => line.id === id)
      ?.measurements?.find(({ name }) => name?.includes(part) === true);
  const figure = (assumption: Figure, value: unknown): Figure =>
    typeof value === 'number' && Number.isFinite(value) && value > 0
      ? { value, source: 'measured' }
      : assumption;
  const cpuOf = (row: MeasuredRow | undefined) => row?.details?.['our CPU, us'];
  const perCore = (reads: number | undefined) =>
    reads === undefined ? undefined : reads / Math.max(1, (file.machine?.cores ?? 2) / 2);
  const share = (percent: unknown) => (typeof percent === 'number' ? percent / 100 : undefined);
  const layer = rowOf('layer/entity-get', 'hit rate');
  return {
    l1Microseconds: figure(
      ASSUMED.l1Microseconds,
      (rowOf('cache/l1-get')?.ours ?? Number.NaN) / 1000,
    ),
    l2Microseconds: figure(ASSUMED.l2Microseconds, cpuOf(rowOf('cache/l2-hit'))),
    statementMicroseconds: figure(ASSUMED.statementMicroseconds, rowOf('pool/added-cpu')?.ours),
    checkMicroseconds: figure(
      ASSUMED.checkMicroseconds,
      cpuOf(rowOf('ratelimit/checks', '64 callers')),
    ),
    redisMicrosecondsPerCheck: figure(
      ASSUMED.redisMicrosecondsPerCheck,
      rowOf('ratelimit/redis-cpu')?.ours,
    ),
    // The client took the other half of the machine.
    readsPerSecondAndCore: figure(
      ASSUMED.readsPerSecondAndCore,
      perCore(rowOf('pool/point-read', ', pipelined')?.ours),
    ),
    l1HitShare: figure(ASSUMED.l1HitShare, share(layer?.details?.['of L1, %'])),
    hitShare: figure(ASSUMED.hitShare, share(layer?.ours)),
  };
}
