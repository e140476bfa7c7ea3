import { coreErrors, ShardlineError } from './errors.js';

const UNIT_MS = {
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
  w: 604_800_000,
} as const;

/** A unit of time that a duration may be written in. */
export type DurationUnit = keyof typeof UNIT_MS;

/**
 * A length of time with its unit: `'250ms'`, `'30s'`, `'5m'`, `'1h'`, `'7d'`, `'2w'`, or several in
 * falling order: `'1h30m'`. A bare number is refused, since nothing tells seconds from milliseconds.
 */
export type Duration =
  | `${number}${DurationUnit}`
  | `${number}${DurationUnit}${number}${DurationUnit}`;

/** Largest duration, about 292 years: still exact in milliseconds, and no sum of a few overflows. */
const MAX_MS = 2 ** 53 / 1000;

const SEGMENT = /(\d+(?:\.\d+)?)(ms|s|m|h|d|w)/gy;

/**
 * Milliseconds of a duration.
 *
 * @throws ShardlineError `DURATION_INVALID` for a bare number (quoting both readings), an unknown
 * unit, units out of order or twice, a negative or an endless length.
 *
 * @example
 * ```ts
 * import { durationMs } from '@shardline/core';
 *
 * durationMs('1h30m'); // 5400000
 * ```
 */
export function durationMs(value: Duration | (string & {}), name = 'duration'): number {
  const fault = durationFault(value);
  if (fault !== undefined) {
    throw new ShardlineError(coreErrors.DURATION_INVALID, `${name}: ${fault}.`);
  }
  return parse(value) as number;
}

/** Why a value is no duration, or undefined if it is one. */
export function durationFault(value: unknown): string | undefined {
  if (typeof value === 'number') {
    return `${value} has no unit: write '${value}s' if seconds are meant, '${value}ms' if milliseconds`;
  }
  if (typeof value !== 'string') return `a duration was expected, received ${describe(value)}`;
  if (/^\d+(\.\d+)?$/.test(value)) {
    return `'${value}' has no unit: write '${value}s' if seconds are meant, '${value}ms' if milliseconds`;
  }
  if (parse(value) === undefined) {
    return `'${value}' is no duration such as '250ms', '30s', '5m', '1h' or '1h30m'`;
  }
  return undefined;
}

function describe(value: unknown): string {
  return value === null ? 'null' : typeof value;
}

function parse(text: string): number | undefined {
  let totalMs = 0;
  let previousUnitMs = Number.POSITIVE_INFINITY;
  let end = 0;
  SEGMENT.lastIndex = 0;
  for (let match = SEGMENT.exec(text); match !== null; match = SEGMENT.exec(text)) {
    const unitMs = UNIT_MS[match[2] as DurationUnit];
    if (unitMs >= previousUnitMs) return undefined;
    previousUnitMs = unitMs;
    totalMs += Number(match[1]) * unitMs;
    end = SEGMENT.lastIndex;
  }
  if (end === 0 || end !== text.length || totalMs > MAX_MS) return undefined;
  return Math.round(totalMs);
}

/** The shortest exact way to write a number of milliseconds, for messages. */
export function formatDuration(milliseconds: number): string {
  const units = Object.entries(UNIT_MS).sort((a, b) => b[1] - a[1]);
  for (const [unit, unitMs] of units) {
    if (milliseconds !== 0 && milliseconds % unitMs === 0) return `${milliseconds / unitMs}${unit}`;
  }
  return `${milliseconds}ms`;
}
