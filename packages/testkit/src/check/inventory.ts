/**
 * Is nothing left behind? (P7.)
 *
 * An inventory is taken before and after: for each *kind* of thing (slots, publications, subscriptions,
 * triggers, roles, advisory locks, prepared transactions, sessions by application_name, keys by prefix,
 * file descriptors, pids, ports) the names of what is there. A name may occur more than once, as
 * sessions do, and then it is the number that counts.
 */
import { Findings, type Verdict } from './verdict.js';

/** Names of what is there, by kind. A kind that was looked at and found empty has an empty list. */
export type Inventory = Readonly<Record<string, readonly string[]>>;

/** What may differ between the two inventories. */
export interface InventoryOptions {
  /** Things that are meant to stay, such as a standing guard: by kind, names that may be new. */
  readonly mayStay?: Inventory;
  /** By kind, names that may be gone. */
  readonly mayGo?: Inventory;
}

/**
 * Compares two inventories.
 *
 * Rules: `left-behind` (more than before), `gone` (fewer than before), `not-looked-at` (a kind that
 * only one of the inventories has: nothing can be said of it).
 *
 * @example
 * ```ts
 * import { checkInventory } from '@shardline/testkit/check';
 *
 * const before = { slots: [], roles: ['postgres'] };
 * const after = { slots: ['shardline_move_7'], roles: ['postgres'] };
 * checkInventory(before, after).violations[0]?.rule; // 'left-behind'
 * ```
 */
export function checkInventory(
  before: Inventory,
  after: Inventory,
  options: InventoryOptions = {},
): Verdict {
  const findings = new Findings();
  const counted = { kinds: 0, thingsBefore: 0, thingsAfter: 0 };
  for (const kind of [...new Set([...Object.keys(before), ...Object.keys(after)])].sort()) {
    const old = Object.hasOwn(before, kind) ? before[kind] : undefined;
    const now = Object.hasOwn(after, kind) ? after[kind] : undefined;
    if (!old || !now) {
      const missing = old ? 'after' : 'before';
      findings.add('not-looked-at', [], () => `${kind} were not looked at ${missing} the run`);
      continue;
    }
    counted.kinds += 1;
    counted.thingsBefore += old.length;
    counted.thingsAfter += now.length;
    compareKind(kind, old, now, options, findings);
  }
  return findings.verdict(counted);
}

function compareKind(
  kind: string,
  before: readonly string[],
  after: readonly string[],
  options: InventoryOptions,
  findings: Findings,
): void {
  const old = tally(before);
  const now = tally(after);
  const mayStay = new Set(options.mayStay?.[kind]);
  const mayGo = new Set(options.mayGo?.[kind]);
  for (const name of [...new Set([...old.keys(), ...now.keys()])].sort()) {
    const was = old.get(name) ?? 0;
    const is = now.get(name) ?? 0;
    if (is > was && !mayStay.has(name)) {
      findings.add(
        'left-behind',
        [],
        () => `${kind}: ${name} is left (${was} before, ${is} after)`,
      );
    }
    if (is < was && !mayGo.has(name)) {
      findings.add('gone', [], () => `${kind}: ${name} is gone (${was} before, ${is} after)`);
    }
  }
}

function tally(names: readonly string[]): Map<string, number> {
  const tallied = new Map<string, number>();
  for (const name of names) tallied.set(name, (tallied.get(name) ?? 0) + 1);
  return tallied;
}
