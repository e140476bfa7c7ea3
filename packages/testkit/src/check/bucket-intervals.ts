/**
 * Is a limit kept, judged only by when callers asked and heard? In O(n log n).
 *
 * Where no server time is known (tokens leased to a process, a fallback), an admission happened
 * somewhere between its invocation and its return. For every window [a, b] the admissions that lie
 * *inside* it certainly happened in it, so their cost is at most C + r (b - a). This never accuses
 * wrongly. It may acquit wrongly where operations are wide compared with the windows that matter, so
 * prefer `checkBucket` where the server's time is known.
 *
 * Only windows from some invocation to some return can be the worst. Walk b through the returns; for
 * every invocation a keep r a + the cost of what began at or after a and has returned. A return adds its
 * cost to all a up to its own invocation, a prefix; the limit is broken if the greatest of them
 * exceeds C + r b. That is a segment tree with a range addition and a maximum. An invocation takes part
 * once its operation has returned: before, a window from there would hold nothing.
 *
 * Times are widened to whole microseconds, which only makes windows wider, hence milder; all numbers are
 * whole and below 2^53, so sums are exact.
 */
import { type BucketPolicy, type BucketRate, costOf, isAdmitted, rateOf } from './bucket-policy.js';
import { byKey } from './by-key.js';
import { MalformedHistoryError } from './malformed-history-error.js';
import { MaxSegmentTree } from './max-segment-tree.js';
import { describeOperation, type History, type Operation } from './operation.js';
import { Findings, type Verdict } from './verdict.js';

/** How many operations of an overfull window a violation names. */
const OPERATIONS_NAMED = 20;

const NANOSECONDS_PER_MICROSECOND = 1000n;

/** An admission with its times in microseconds since the first invocation. */
interface Admission {
  readonly check: Operation;
  readonly invokedUs: number;
  readonly returnedUs: number;
  readonly cost: number;
}

interface Window {
  readonly fromUs: number;
  readonly untilUs: number;
}

/**
 * Judges admitted `admit` operations by their invocation and return, each subject (`key`) by itself.
 *
 * Rules: `over-admitted`.
 *
 * @throws {MalformedHistoryError} when a decided check lacks `allowed`, the policy is not in whole
 * tokens, or the run is too long to be summed exactly.
 */
export function checkBucketIntervals(history: History, policy: BucketPolicy): Verdict {
  const findings = new Findings();
  const rate = rateOf(policy);
  const admitted = history.operations.filter(
    (operation) => operation.kind === 'admit' && isAdmitted(operation),
  );
  const subjects = byKey(admitted);
  for (const [subject, checks] of subjects) {
    const admissions = admissionsOf(checks);
    assertExact(subject, admissions, policy, rate);
    const worst = worstWindow(admissions, policy.capacity * rate.perUs, rate);
    if (worst) report(subject, admissions, worst, policy, rate, findings);
  }
  return findings.verdict({ subjects: subjects.size, admitted: admitted.length });
}

function admissionsOf(checks: readonly Operation[]): Admission[] {
  let originNs = (checks[0] as Operation).invokedNs;
  for (const { invokedNs } of checks) if (invokedNs < originNs) originNs = invokedNs;
  return checks.map((check) => ({
    check,
    cost: costOf(check),
    invokedUs: Number((check.invokedNs - originNs) / NANOSECONDS_PER_MICROSECOND),
    returnedUs: Number(
      ((check.returnedNs as bigint) - originNs + NANOSECONDS_PER_MICROSECOND - 1n) /
        NANOSECONDS_PER_MICROSECOND,
    ),
  }));
}

function worstWindow(
  admissions: readonly Admission[],
  capacity: number,
  rate: BucketRate,
): Window | undefined {
  const startsUs = [...new Set(admissions.map((each) => each.invokedUs))].sort((a, b) => a - b);
  const placeOf = new Map(startsUs.map((startUs, place) => [startUs, place]));
  const tree = new MaxSegmentTree(startsUs.length);
  const isOn = new Uint8Array(startsUs.length);
  let worst: (Window & { readonly excess: number }) | undefined;
  for (const each of [...admissions].sort((a, b) => a.returnedUs - b.returnedUs)) {
    const place = placeOf.get(each.invokedUs) as number;
    if (isOn[place] === 0) {
      tree.switchOn(place, rate.tokens * each.invokedUs);
      isOn[place] = 1;
    }
    tree.addUpTo(place, each.cost * rate.perUs);
    const excess = tree.greatest - rate.tokens * each.returnedUs - capacity;
    if (excess <= (worst?.excess ?? 0)) continue;
    const fromUs = startsUs[tree.placeOfGreatest] as number;
    worst = { excess, fromUs, untilUs: each.returnedUs };
  }
  return worst;
}

function assertExact(
  subject: string,
  admissions: readonly Admission[],
  policy: BucketPolicy,
  rate: BucketRate,
): void {
  let cost = policy.capacity;
  let untilUs = 0;
  for (const each of admissions) {
    cost += each.cost;
    untilUs = Math.max(untilUs, each.returnedUs);
  }
  if (Number.isSafeInteger(cost * rate.perUs + rate.tokens * untilUs)) return;
  throw new MalformedHistoryError(
    `subject ${subject}: ${cost} tokens over ${untilUs} us at ${rate.tokens} per ${rate.perUs} us ` +
      'are too much to sum exactly; judge a shorter part of the run',
  );
}

function report(
  subject: string,
  admissions: readonly Admission[],
  { fromUs, untilUs }: Window,
  policy: BucketPolicy,
  rate: BucketRate,
  findings: Findings,
): void {
  const inside = admissions.filter(
    (each) => each.invokedUs >= fromUs && each.returnedUs <= untilUs,
  );
  const named = inside.slice(0, OPERATIONS_NAMED).map((each) => each.check);
  findings.add('over-admitted', named, () => {
    const cost = inside.reduce((total, each) => total + each.cost, 0);
    const allowed = policy.capacity + (rate.tokens * (untilUs - fromUs)) / rate.perUs;
    return (
      `subject ${subject}: within ${untilUs - fromUs} us, from the invocation of ` +
      `${describeOperation(named[0] as Operation)}, ${cost} tokens were asked for and admitted; ` +
      `the limit is ${allowed.toFixed(3)}`
    );
  });
}
