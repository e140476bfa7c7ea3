/**
 * Does every call end by its deadline? (P6: nothing hangs.)
 *
 * A deadline is kept by a timer, and a timer is as late as the event loop. So a call may return after
 * its deadline by the loop delay that was measured in its process between the deadline and the
 * return, and by a small tolerance for the timer's own granularity, and not more: a starved machine is
 * no excuse beyond what it was measured to be. A call that never returned is hung if its process went
 * on recording after that; if the process died first, nobody can say.
 */
import { LOOP_DELAY_EVENT } from './loop-delay.js';
import { describeOperation, type History, type HistoryEvent, type Operation } from './operation.js';
import { countWhile } from './sorted.js';
import { Findings, type Verdict } from './verdict.js';

/** How strictly deadlines are judged. */
export interface DeadlineOptions {
  /**
   * Lateness that timers have on an idle loop, in milliseconds.
   * @default 5
   */
  readonly toleranceMs?: number;
  /**
   * How many turns of a late loop lie between the timer and the record, each of which may be late.
   * @default 1
   */
  readonly loopTurns?: number;
  /** Error codes that a call may end with; every code, where this is left out. */
  readonly declaredErrors?: readonly string[];
}

const DEFAULT_TOLERANCE_MS = 5;

const NANOSECONDS_PER_MILLISECOND = 1e6;

/**
 * Judges every operation with a `deadlineNs`, whatever its kind, with the `event-loop-delay` events of
 * its recorder.
 *
 * Rules: `deadline-missed`, `never-returned`, `undeclared-error`.
 */
export function checkDeadlines(history: History, options: DeadlineOptions = {}): Verdict {
  const findings = new Findings();
  const toleranceMs = options.toleranceMs ?? DEFAULT_TOLERANCE_MS;
  const toleranceNs = BigInt(Math.ceil(toleranceMs * NANOSECONDS_PER_MILLISECOND));
  const turns = BigInt(options.loopTurns ?? 1);
  const stalls = stallsByRecorder(history.events);
  const declared = options.declaredErrors ? new Set(options.declaredErrors) : undefined;
  const counted = { calls: 0, excused: 0, diedFirst: 0, worstLatenessUs: 0 };
  for (const call of history.operations) {
    if (call.deadlineNs === undefined) continue;
    counted.calls += 1;
    judgeError(call, declared, findings);
    const endNs = call.returnedNs ?? history.lastSeenNs.get(call.recorder) ?? call.invokedNs;
    const latenessNs = endNs - call.deadlineNs;
    const died = call.returnedNs === null;
    if (!died) counted.worstLatenessUs = Math.max(counted.worstLatenessUs, toUs(latenessNs));
    if (latenessNs <= toleranceNs) {
      counted.diedFirst += died ? 1 : 0;
      continue;
    }
    const stallNs = worstStall(stalls.get(call.recorder) ?? [], call.deadlineNs, endNs);
    if (latenessNs > toleranceNs + turns * stallNs) report(call, latenessNs, stallNs, findings);
    else counted.excused += 1;
  }
  return findings.verdict(counted);
}

function judgeError(
  call: Operation,
  declared: ReadonlySet<string> | undefined,
  findings: Findings,
): void {
  if (!declared || call.outcome === 'ok' || call.returnedNs === null) return;
  if (call.error !== undefined && declared.has(call.error)) return;
  findings.add(
    'undeclared-error',
    [call],
    () => `${describeOperation(call)} ended with ${call.error ?? 'no code'}, which is not declared`,
  );
}

function report(call: Operation, latenessNs: bigint, stallNs: bigint, findings: Findings): void {
  const rule = call.returnedNs === null ? 'never-returned' : 'deadline-missed';
  findings.add(rule, [call], () => {
    const late = `${milliseconds(latenessNs)} ms after its deadline`;
    const excuse = `the event loop was late by ${milliseconds(stallNs)} ms at most`;
    return call.returnedNs === null
      ? `${describeOperation(call)} had not returned ${late}, when its process was still there; ${excuse}`
      : `${describeOperation(call)} returned ${late}; ${excuse}`;
  });
}

function stallsByRecorder(events: readonly HistoryEvent[]): Map<string, HistoryEvent[]> {
  const stalls = new Map<string, HistoryEvent[]>();
  for (const event of events) {
    if (event.name !== LOOP_DELAY_EVENT) continue;
    const list = stalls.get(event.recorder);
    if (list) list.push(event);
    else stalls.set(event.recorder, [event]);
  }
  return stalls;
}

/** The longest stall of a process that overlaps the time from `fromNs` to `untilNs`. */
function worstStall(stalls: readonly HistoryEvent[], fromNs: bigint, untilNs: bigint): bigint {
  // The windows of one recorder follow each other, so their ends are in order like their beginnings.
  const first = countWhile(stalls, (stall) => (stall.untilNs ?? stall.atNs) < fromNs);
  let worstNs = 0n;
  for (let index = first; index < stalls.length; index += 1) {
    const stall = stalls[index] as HistoryEvent;
    if (stall.atNs > untilNs) break;
    if ((stall.delayNs ?? 0n) > worstNs) worstNs = stall.delayNs ?? 0n;
  }
  return worstNs;
}

function toUs(nanoseconds: bigint): number {
  return Number(nanoseconds / 1000n);
}

function milliseconds(nanoseconds: bigint): string {
  return (Number(nanoseconds) / NANOSECONDS_PER_MILLISECOND).toFixed(3);
}
