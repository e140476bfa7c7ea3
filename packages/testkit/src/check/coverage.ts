/**
 * Did the run see what it was meant to see?
 *
 * A checker that looks at a run in which nothing happened finds nothing wrong. So each test says what
 * must have occurred: how many operations overlapped every state of a move, how often a fence refused,
 * a hold held, an outcome stayed unknown. A run that falls short is *void*: not red, since nothing was
 * broken, and not green either.
 */
import type { History, HistoryEvent } from './operation.js';
import type { Outcome } from './outcome.js';
import { compareNs, countWhile } from './sorted.js';
import { Findings, type Verdict } from './verdict.js';

/** Least numbers, by name. A name that never occurred counts as 0. */
export interface CoverageRequirements {
  /** Operations that overlapped a state, by the `state` of events with a `subject`. */
  readonly states?: Readonly<Record<string, number>>;
  /** Events by name. */
  readonly events?: Readonly<Record<string, number>>;
  readonly outcomes?: Readonly<Partial<Record<Outcome, number>>>;
  /** Operations that ended with an SQLSTATE. */
  readonly sqlstates?: Readonly<Record<string, number>>;
  /** Operations that ended with an error code. */
  readonly errors?: Readonly<Record<string, number>>;
  /** Operations that succeeded, by kind. */
  readonly kinds?: Readonly<Record<string, number>>;
}

/** A verdict on the run itself. */
export interface CoverageVerdict extends Verdict {
  /** True when the run proves nothing, the opposite of `valid`. */
  readonly void: boolean;
}

/** What a run comes to. */
export type Conclusion = 'green' | 'red' | 'void';

interface Span {
  readonly fromNs: bigint;
  /** Undefined for a state that was never left. */
  readonly untilNs: bigint | undefined;
}

/**
 * Compares what occurred with what was required. `counted` tells the numbers found.
 *
 * An event with a `subject` and a `state` says that the subject entered the state, which lasts until
 * its next such event. An operation that never returned counts only where it was invoked.
 *
 * Rules: `not-covered`.
 *
 * @example
 * ```ts
 * import { checkCoverage, checkRegister, conclude, readHistory } from '@shardline/testkit/check';
 *
 * const history = readHistory(['run/worker-1.jsonl', 'run/mover.jsonl']);
 * const coverage = checkCoverage(history, {
 *   states: { copying: 100, fencing: 100 },
 *   sqlstates: { SL001: 1 },
 *   outcomes: { info: 1 },
 * });
 * const conclusion = conclude([checkRegister(history)], coverage); // 'green', 'red' or 'void'
 * ```
 */
export function checkCoverage(
  history: History,
  requirements: CoverageRequirements,
): CoverageVerdict {
  const findings = new Findings();
  const counted: Record<string, number> = {};
  const found: Record<keyof CoverageRequirements, (name: string) => number> = {
    states: overlapCounter(history),
    events: counterOf(history.events.map((event) => event.name)),
    outcomes: counterOf(history.operations.map((operation) => operation.outcome)),
    sqlstates: counterOf(history.operations.map((operation) => operation.sqlstate)),
    errors: counterOf(history.operations.map((operation) => operation.error)),
    kinds: counterOf(
      history.operations.map(({ outcome, kind }) => (outcome === 'ok' ? kind : undefined)),
    ),
  };
  for (const group of Object.keys(found) as (keyof CoverageRequirements)[]) {
    for (const [name, least] of Object.entries(requirements[group] ?? {})) {
      const count = found[group](name);
      counted[`${group}.${name}`] = count;
      if (count >= (least ?? 0)) continue;
      findings.add(
        'not-covered',
        [],
        () => `${group}: ${name} occurred ${count} times, but the run needs at least ${least}`,
      );
    }
  }
  const verdict = findings.verdict(counted);
  return { ...verdict, void: !verdict.valid };
}

/** Red if any rule was broken, else void if the run fell short, else green. */
export function conclude(verdicts: readonly Verdict[], coverage: CoverageVerdict): Conclusion {
  if (verdicts.some((verdict) => !verdict.valid)) return 'red';
  return coverage.void || verdicts.length === 0 ? 'void' : 'green';
}

function counterOf(names: readonly (string | undefined)[]): (name: string) => number {
  const counts = new Map<string | undefined, number>();
  for (const name of names) counts.set(name, (counts.get(name) ?? 0) + 1);
  return (name) => counts.get(name) ?? 0;
}

/** Counts, by sorted ends, the operations that overlapped the spans of a state. */
function overlapCounter(history: History): (state: string) => number {
  const spans = spansByState(history.events);
  const starts = history.operations.map((operation) => operation.invokedNs).sort(compareNs);
  const ends = history.operations
    .map((operation) => operation.returnedNs ?? operation.invokedNs)
    .sort(compareNs);
  return (state) => {
    let count = 0;
    for (const { fromNs, untilNs } of spans.get(state) ?? []) {
      const begun =
        untilNs === undefined ? starts.length : countWhile(starts, (startNs) => startNs <= untilNs);
      count += begun - countWhile(ends, (endNs) => endNs < fromNs);
    }
    return count;
  };
}

function spansByState(events: readonly HistoryEvent[]): Map<string, Span[]> {
  const current = new Map<string, HistoryEvent & { readonly state: string }>();
  const spans = new Map<string, Span[]>();
  const close = (event: HistoryEvent & { readonly state: string }, untilNs: bigint | undefined) => {
    const list = spans.get(event.state) ?? [];
    list.push({ fromNs: event.atNs, untilNs });
    spans.set(event.state, list);
  };
  for (const event of events) {
    const { subject, state } = event;
    if (subject === undefined || state === undefined) continue;
    const before = current.get(subject);
    if (before) close(before, event.atNs);
    current.set(subject, { ...event, state });
  }
  for (const event of current.values()) close(event, undefined);
  return spans;
}
