/** Short histories for the tests of the checkers. Times are in microseconds, to read well. */
import type {
  History,
  HistoryEvent,
  Operation,
  OperationFields,
  OperationKind,
} from './operation.js';
import type { Outcome } from './outcome.js';
import type { Verdict } from './verdict.js';

const NANOSECONDS_PER_MICROSECOND = 1000;

/** What a sample operation may say beside its kind and times. */
export interface SampleFields extends OperationFields {
  readonly outcome?: Outcome;
  readonly recorder?: string;
}

/** One operation from `fromUs` to `untilUs`; null for one that never returned. */
export function sample(
  op: string,
  kind: OperationKind,
  [fromUs, untilUs]: readonly [number, number | null],
  fields: SampleFields = {},
): Operation {
  const { outcome, recorder, ...rest } = fields;
  return {
    op,
    kind,
    process: op,
    recorder: recorder ?? 'recorder',
    invokedNs: atUs(fromUs),
    returnedNs: untilUs === null ? null : atUs(untilUs),
    outcome: outcome ?? (untilUs === null ? 'info' : 'ok'),
    ...rest,
  };
}

/** A stamp, from microseconds. */
export function atUs(timeUs: number): bigint {
  return BigInt(Math.round(timeUs * NANOSECONDS_PER_MICROSECOND));
}

/** A history of these operations, in any order given. */
export function historyOf(
  operations: readonly Operation[],
  events: readonly HistoryEvent[] = [],
): History {
  const lastSeenNs = new Map<string, bigint>();
  for (const { recorder, invokedNs, returnedNs } of operations) {
    const lastNs = returnedNs ?? invokedNs;
    if (lastNs > (lastSeenNs.get(recorder) ?? -1n)) lastSeenNs.set(recorder, lastNs);
  }
  for (const { recorder, atNs, untilNs } of events) {
    const lastNs = untilNs ?? atNs;
    if (lastNs > (lastSeenNs.get(recorder) ?? -1n)) lastSeenNs.set(recorder, lastNs);
  }
  return { operations, events, lastSeenNs, tornSources: [] };
}

/** The rules that a verdict found broken, each once, in order, once each is seen to be explained. */
export function rulesOf(verdict: Verdict): string[] {
  for (const { rule, message } of verdict.violations) {
    if (
      typeof message !== 'string' ||
      !/\w+ .*\w+/.test(message) ||
      /undefined|NaN/.test(message)
    ) {
      throw new Error(`the violation of ${rule} is not explained: ${message}`);
    }
  }
  return [...new Set(verdict.violations.map((violation) => violation.rule))].sort();
}

/** A random whole number from 0 to below `limit`. */
export type Dice = (limit: number) => number;

/** Repeatable randomness (mulberry32). */
export function diceOf(seed: number): Dice {
  let state = seed >>> 0;
  return (limit) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * limit);
  };
}

/** The seed of this run: `SHARDLINE_CHECK_SEED`, else the time. Every failure must show it. */
export function runSeed(): number {
  const given = process.env['SHARDLINE_CHECK_SEED'];
  return given === undefined ? Date.now() % 2 ** 31 : Number(given);
}
