/**
 * Is a limit exact, judged in the server's own time? In O(n) after a sort, and in integers.
 *
 * **Never too much.** With S(j) the cost of the admitted checks 1 to j in server time, the interval
 * from check i to check j is over the limit if S(j) - S(i-1) > C + r (t(j) - t(i)), that is
 *
 *     (S(j) - r t(j)) - (S(i-1) - r t(i)) > C
 *
 * so one walk with the smallest S(i-1) - r t(i) so far judges *every* interval. Times the denominator of
 * r, everything is a whole number, and «exact» means exact.
 *
 * **Never too little.** The bucket is replayed: a denial is justified only if the level was below its
 * cost at that time. Checks with one stamp may have come in any order, so a denial is given the
 * benefit of the lowest level among them. A check of unknown outcome may have taken tokens unseen, at
 * the worst moment; each later denial is given the benefit of that too. Reported levels must lie
 * between the same two bounds, which meet where nothing is in doubt.
 *
 * All of this rests on the server's clock as the decisions used it, so a stamp that goes back although
 * the check began after another had returned is a violation as well.
 */
import { type BucketPolicy, type BucketRate, costOf, isAdmitted, rateOf } from './bucket-policy.js';
import { byKey } from './by-key.js';
import { describeOperation, effectiveReturnNs, type History, type Operation } from './operation.js';
import { requireField } from './require-field.js';
import { compareNs, countWhile } from './sorted.js';
import { Findings, type Verdict } from './verdict.js';
import { VersionFloors } from './version-floors.js';

/** How many operations of an overfull interval a violation names. */
const OPERATIONS_NAMED = 20;

/** The checks of one subject, and what is known of its bucket; amounts are tokens x `perUs`. */
interface Bucket {
  readonly subject: string;
  readonly decided: readonly Operation[];
  readonly unknown: readonly UnknownCost[];
  readonly rate: BucketRate;
  readonly capacity: bigint;
  readonly unit: bigint;
  readonly findings: Findings;
}

/** What the unknown checks invoked up to a moment may have taken together. */
interface UnknownCost {
  readonly invokedNs: bigint;
  readonly total: number;
}

/**
 * Judges `admit` operations by `serverTimeUs`, each subject (`key`) as a bucket that was full at first.
 * For several policies, judge each with `selectOperations`.
 *
 * Rules: `over-admitted`, `denial-unjustified`, `level-wrong`, `server-time-went-back`.
 *
 * @throws {MalformedHistoryError} when a decided check lacks `allowed` or `serverTimeUs`, or the
 * policy is not in whole tokens.
 *
 * @example
 * ```ts
 * import { checkBucket, readHistory } from '@shardline/testkit/check';
 *
 * const policy = { capacity: 100, refillTokens: 1000, refillIntervalMs: 60_000 };
 * const verdict = checkBucket(readHistory(['run/checker-1.jsonl']), policy);
 * ```
 */
export function checkBucket(history: History, policy: BucketPolicy): Verdict {
  const findings = new Findings();
  const rate = rateOf(policy);
  const unit = BigInt(rate.perUs);
  const capacity = BigInt(policy.capacity) * unit;
  const admits = history.operations.filter((operation) => operation.kind === 'admit');
  const subjects = byKey(admits);
  const counted = { subjects: subjects.size, admitted: 0, denied: 0, unknown: 0 };
  for (const [subject, checks] of subjects) {
    const decided = inServerTime(checks);
    const unknown = unknownCosts(checks);
    const bucket = { subject, decided, unknown, rate, capacity, unit, findings };
    findClockSteps(bucket);
    findOverAdmission(bucket);
    replay(bucket);
    const admitted = decided.filter(isAdmitted).length;
    counted.admitted += admitted;
    counted.denied += decided.length - admitted;
    counted.unknown += unknown.length;
  }
  return findings.verdict(counted);
}

function inServerTime(checks: readonly Operation[]): Operation[] {
  return checks
    .filter((check) => check.outcome === 'ok')
    .sort(
      (a, b) =>
        requireField(a, 'serverTimeUs') - requireField(b, 'serverTimeUs') ||
        compareNs(a.invokedNs, b.invokedNs),
    );
}

function unknownCosts(checks: readonly Operation[]): UnknownCost[] {
  let total = 0;
  return checks
    .filter((check) => check.outcome === 'info')
    .sort((a, b) => compareNs(a.invokedNs, b.invokedNs))
    .map((check) => {
      total += costOf(check);
      return { invokedNs: check.invokedNs, total };
    });
}

function findClockSteps({ subject, decided, findings }: Bucket): void {
  const clock = new VersionFloors();
  for (const check of decided) {
    clock.add(subject, effectiveReturnNs(check), requireField(check, 'serverTimeUs'), check);
  }
  for (const check of decided) {
    const timeUs = requireField(check, 'serverTimeUs');
    const before = clock.before(subject, check.invokedNs);
    if (!before || before.version <= timeUs) continue;
    findings.add(
      'server-time-went-back',
      [before.by, check],
      () =>
        `subject ${subject}: ${describeOperation(check)} was decided at ${timeUs} us, although ` +
        `${describeOperation(before.by)} had already returned with ${before.version} us`,
    );
  }
}

/** Reports the interval of a subject that is furthest over, if any is. */
function findOverAdmission(bucket: Bucket): void {
  const { rate, unit, capacity } = bucket;
  const tokens = BigInt(rate.tokens);
  const admitted = bucket.decided.filter(isAdmitted);
  let sum = 0n;
  let lowest: { value: bigint; index: number } | undefined;
  let worst: { excess: bigint; from: number; until: number } | undefined;
  for (const [index, check] of admitted.entries()) {
    const flow = tokens * BigInt(requireField(check, 'serverTimeUs'));
    if (!lowest || sum - flow < lowest.value) lowest = { value: sum - flow, index };
    sum += BigInt(costOf(check)) * unit;
    const excess = sum - flow - lowest.value - capacity;
    if (excess > (worst?.excess ?? 0n)) worst = { excess, from: lowest.index, until: index };
  }
  if (worst) reportOverAdmission(bucket, admitted.slice(worst.from, worst.until + 1));
}

function reportOverAdmission(bucket: Bucket, interval: readonly Operation[]): void {
  bucket.findings.add('over-admitted', interval.slice(0, OPERATIONS_NAMED), () => {
    const first = interval[0] as Operation;
    const last = interval.at(-1) as Operation;
    const timeUs = requireField(last, 'serverTimeUs') - requireField(first, 'serverTimeUs');
    const allowed =
      Number(bucket.capacity) / bucket.rate.perUs +
      (bucket.rate.tokens * timeUs) / bucket.rate.perUs;
    const cost = interval.reduce((total, check) => total + costOf(check), 0);
    return (
      `subject ${bucket.subject}: from ${describeOperation(first)} to ${describeOperation(last)}, ` +
      `${timeUs} us, ${cost} tokens were admitted; the limit is ${allowed.toFixed(3)}`
    );
  });
}

function replay(bucket: Bucket): void {
  const { decided, rate, unit, capacity } = bucket;
  const tokens = BigInt(rate.tokens);
  let level = capacity;
  let lastUs: number | undefined;
  for (let start = 0; start < decided.length; ) {
    const timeUs = requireField(decided[start] as Operation, 'serverTimeUs');
    let end = start;
    while (end < decided.length && decided[end]?.serverTimeUs === timeUs) end += 1;
    const together = decided.slice(start, end);
    const refilled = level + tokens * BigInt(timeUs - (lastUs ?? timeUs));
    const before = refilled < capacity ? refilled : capacity;
    const spent = together.filter(isAdmitted).reduce((total, each) => total + costOf(each), 0);
    level = before - BigInt(spent) * unit;
    for (const check of together) judgeDecision(bucket, check, before, level);
    lastUs = timeUs;
    start = end;
  }
}

/** Between `highest` and `lowest` the level stood when this check was decided. */
function judgeDecision(bucket: Bucket, check: Operation, highest: bigint, lowest: bigint): void {
  const { subject, unit, findings } = bucket;
  const cost = BigInt(costOf(check)) * unit;
  const least = lowest - BigInt(mayHaveBeenTaken(bucket, check)) * unit;
  const admitted = isAdmitted(check);
  if (!admitted && least >= cost) {
    findings.add(
      'denial-unjustified',
      [check],
      () =>
        `subject ${subject}: ${describeOperation(check)} was denied ${costOf(check)} tokens at ` +
        `${check.serverTimeUs} us, when at least ${wholeTokens(least, unit)} were there`,
    );
  }
  if (check.level === undefined) return;
  const most = wholeTokens(admitted ? highest - cost : highest, unit);
  const fewest = wholeTokens(least, unit);
  if (check.level >= fewest && check.level <= most) return;
  findings.add(
    'level-wrong',
    [check],
    () =>
      `subject ${subject}: ${describeOperation(check)} reported ${check.level} tokens left at ` +
      `${check.serverTimeUs} us; there were ${fewest === most ? most : `${fewest} to ${most}`}`,
  );
}

/** What checks of unknown outcome, invoked before this one ended, can have taken from it. */
function mayHaveBeenTaken({ unknown }: Bucket, check: Operation): number {
  const begun = countWhile(unknown, (each) => each.invokedNs <= effectiveReturnNs(check));
  return unknown[begun - 1]?.total ?? 0;
}

/** Rounded down, also below zero. */
function wholeTokens(amount: bigint, unit: bigint): number {
  const whole = amount / unit;
  return Number(amount < 0n && whole * unit !== amount ? whole - 1n : whole);
}
