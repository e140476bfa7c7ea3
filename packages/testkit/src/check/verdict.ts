import type { Operation } from './operation.js';

/** One broken rule, with the operations that prove it. */
export interface Violation {
  /** A stable name, such as `stale-read`; each checker lists its own. */
  readonly rule: string;
  /** What is wrong, in words, naming the operations. */
  readonly message: string;
  /** The ids of the operations that prove it; empty where no operation is involved. */
  readonly operations: readonly string[];
}

/** What a checker says of a history. */
export interface Verdict {
  readonly valid: boolean;
  /** The first {@link VIOLATIONS_KEPT} found; `counted.violations` is the number of all. */
  readonly violations: readonly Violation[];
  /** What was looked at: a verdict over nothing is worth nothing. */
  readonly counted: Readonly<Record<string, number>>;
}

/** How many violations a verdict spells out: a broken run breaks a rule thousands of times. */
export const VIOLATIONS_KEPT = 100;

/** Collects violations while a checker runs. */
export class Findings {
  readonly #violations: Violation[] = [];
  #total = 0;

  /** Takes the message as a function, so that the text of the ten-thousandth is never made. */
  add(rule: string, operations: readonly Operation[], message: () => string): void {
    this.#total += 1;
    if (this.#violations.length >= VIOLATIONS_KEPT) return;
    this.#violations.push({
      rule,
      message: message(),
      operations: operations.map((operation) => operation.op),
    });
  }

  /** How many violations were found so far. */
  get total(): number {
    return this.#total;
  }

  verdict(counted: Readonly<Record<string, number>>): Verdict {
    return {
      valid: this.#total === 0,
      violations: this.#violations,
      counted: { ...counted, violations: this.#total },
    };
  }
}
