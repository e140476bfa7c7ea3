import { advance, available, ceilingUnits, type Entry, freshEntry } from './entry.js';
import { scaleDown } from './integers.js';
import type { Rate, TokenBucketRate } from './rate.js';
import { debtFloor } from './token-bucket.js';

/**
 * What a subject keeps when its limits change. The twin of `convert` in `lua/entry.lua`.
 *
 * Up to the change an entry is counted by the old rate, from then on by the new one. While a release
 * rolls out, old and new processes take turns on the same key and convert it to and fro; `keep` and
 * `proportional` lose at most a fraction of a token each time and never add one, `additive` returns to
 * where it was, and `reset` would hand out a full bucket at every turn: it is for changes that all
 * processes make at once.
 */
export type Inheritance = 'keep' | 'proportional' | 'additive' | 'reset';

/** The modes by the number that the script knows them by. */
export const INHERITANCES: readonly Inheritance[] = ['keep', 'proportional', 'additive', 'reset'];

/** Turns an entry counted by another rate into one of this rate, at the present. */
export function convert(entry: Entry, rate: Rate, mode: Inheritance, nowUs: number): void {
  advance(entry, nowUs);
  const old = entry.rate;
  const tokens = available(entry, nowUs);
  const units = entry.units;
  const { leases, block } = entry;
  Object.assign(entry, freshEntry(rate, nowUs), { leases, block });
  if (rate.algorithm === 'sliding-window') {
    entry.leases = [];
    if (mode !== 'reset') entry.current = rate.limit - inheritedTokens(old, rate, mode, tokens);
    return;
  }
  if (mode !== 'reset') {
    entry.units =
      old.algorithm === 'token-bucket'
        ? inheritedUnits(old, rate, mode, units)
        : inheritedTokens(old, rate, mode, tokens) * rate.den;
  }
  entry.units = Math.min(entry.units, ceilingUnits(entry));
}

function inheritedUnits(
  old: TokenBucketRate,
  rate: TokenBucketRate,
  mode: Inheritance,
  units: number,
): number {
  if (mode === 'proportional') {
    return units === old.capacityUnits
      ? rate.capacityUnits
      : Math.max(
          debtFloor(rate, rate.burst),
          scaleDown(units, rate.capacityUnits, old.capacityUnits),
        );
  }
  const kept = scaleDown(units, rate.den, old.den);
  const changed = mode === 'additive' ? kept + (rate.burst - old.burst) * rate.den : kept;
  return Math.max(debtFloor(rate, Math.max(old.burst, rate.burst)), changed);
}

/** Between algorithms, and between windows, whole tokens are what there is to compare. */
function inheritedTokens(old: Rate, rate: Rate, mode: Inheritance, tokens: number): number {
  let inherited = tokens;
  if (mode === 'proportional') inherited = scaleDown(tokens, rate.burst, old.burst);
  if (mode === 'additive') inherited = tokens + rate.burst - old.burst;
  return Math.max(-rate.burst, Math.min(rate.burst, inherited));
}
