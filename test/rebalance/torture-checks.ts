/** What the torture runs share: where movers and servers are killed, and when a run counts. */

import {
  type CoverageRequirements,
  type CoverageVerdict,
  checkCoverage,
  conclude,
  type History,
  type Verdict,
} from '@shardline/testkit/check';
import { expect } from 'vitest';
import type { TortureOutcome } from './torture-run.js';

/** `SHARDLINE_SEED` replays a run as far as processes and servers allow. */
export const seed = Number(process.env['SHARDLINE_SEED'] ?? Math.floor(Math.random() * 1e6));
/** `SHARDLINE_TORTURE=1` runs long. */
export const isLong = process.env['SHARDLINE_TORTURE'] === '1';

/** Every state that the journal can be found in before the end of a move that is not given up. */
export const STATES = [
  'preflight',
  'prepared',
  'copying',
  'catching_up',
  'fencing',
  'drained',
  'committed',
  'reversing',
  'cleaning',
] as const;

export const violationsOf = (verdicts: Readonly<Record<string, Verdict>>) =>
  Object.entries(verdicts).flatMap(([promise, { violations }]) =>
    violations.slice(0, 5).map(({ rule, message }) => `${promise}: ${rule}: ${message}`),
  );

/** What a run has to have seen; of each state of a move, so many operations. */
export type Least = { readonly leastByState: number } & Omit<CoverageRequirements, 'states'>;

/** Whether a history shows it. */
export function coverageOf(history: History, { leastByState, ...least }: Least): CoverageVerdict {
  const states = Object.fromEntries(STATES.map((state) => [state, leastByState]));
  return checkCoverage(history, { ...least, states });
}

/**
 * Red is told by its violations, void by what was not seen. A run in which a state of a move went by without an operation
 * is void: whatever is wrong there would not have been met.
 */
export function expectGreen({ history, verdicts, moverErrors }: TortureOutcome, least: Least) {
  const context = `seed ${seed}; movers gave up at: ${moverErrors.join(' | ') || 'nothing'}`;
  expect(violationsOf(verdicts), context).toEqual([]);
  const coverage = coverageOf(history, least);
  const missing = coverage.violations.map(({ message }) => message);
  expect(missing, `void, not green; ${context}`).toEqual([]);
  expect(conclude(Object.values(verdicts), coverage)).toBe('green');
}
