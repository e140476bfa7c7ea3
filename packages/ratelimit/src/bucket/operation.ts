import {
  advance,
  available,
  charge,
  type Entry,
  freshEntry,
  penalize,
  positionMs,
  refund,
  reset,
} from './entry.js';
import { convert, INHERITANCES, type Inheritance } from './inheritance.js';
import type { Rate } from './rate.js';

/**
 * What can be asked of one or several keys at once, and how it is decided: the twin of `lua/decide.lua`.
 */
export const OPERATION_CODES = {
  /** Takes all amounts or nothing. */
  check: 0,
  /** Takes as much as every key can give, up to the amount. */
  take: 1,
  /** Answers as `check` would and changes nothing. */
  peek: 2,
  /** Gives the amount back. */
  refund: 3,
  /** Takes the amount whether it is there or not: a debt. */
  penalize: 4,
  /** Forgets use and block. */
  reset: 5,
  /** Admits nothing for so many microseconds; 0 ends a block. */
  block: 6,
} as const;

/** Name of an operation. */
export type OperationName = keyof typeof OPERATION_CODES;

/** One key of an operation, and how much of it. */
export interface Part {
  readonly key: string;
  readonly rate: Rate;
  readonly inheritance: Inheritance;
  readonly amount: number;
}

/** Something asked of keys that lie together. */
export interface Operation {
  readonly name: OperationName;
  readonly parts: readonly Part[];
}

/** What a key showed after an operation, enough to compute all that a caller is told. */
export interface View {
  /** Token bucket: level in units. */
  readonly units: number;
  /** Sliding window. */
  readonly previous: number;
  readonly current: number;
  readonly positionMs: number;
}

/** How an operation was decided. */
export interface Outcome {
  /** 1 or 0 for a check or peek, tokens for a take; -n when blocked for another n microseconds. */
  readonly granted: number;
  readonly views: readonly View[];
  /** Time by the clock of whoever decided. */
  readonly nowUs: number;
}

/** An entry during one decision. */
export interface OpenEntry {
  readonly entry: Entry;
  isDirty: boolean;
}

/** Brings a stored entry, or none, to the present under the caller's rate. */
export function openEntry(
  stored: Entry | undefined,
  rate: Rate,
  inheritance: Inheritance,
  nowUs: number,
): OpenEntry {
  if (stored === undefined) return { entry: freshEntry(rate, nowUs), isDirty: false };
  if (stored.rate.text === rate.text) return { entry: stored, isDirty: advance(stored, nowUs) };
  convert(stored, rate, inheritance, nowUs);
  return { entry: stored, isDirty: true };
}

/** Decides one operation on open entries, changing them. */
export function decide(
  name: OperationName,
  opened: readonly OpenEntry[],
  amounts: readonly number[],
  nowUs: number,
): Outcome {
  const granted = apply(name, opened, amounts, nowUs);
  return { granted, nowUs, views: opened.map(({ entry }) => viewOf(entry, nowUs)) };
}

function apply(
  name: OperationName,
  opened: readonly OpenEntry[],
  amounts: readonly number[],
  nowUs: number,
): number {
  if (name === 'check' || name === 'take' || name === 'peek') {
    return admit(name, opened, amounts, nowUs);
  }
  opened.forEach((open, index) => {
    change(name, open.entry, amounts[index] as number, nowUs);
    open.isDirty = true;
  });
  return 1;
}

function admit(
  name: 'check' | 'take' | 'peek',
  opened: readonly OpenEntry[],
  amounts: readonly number[],
  nowUs: number,
): number {
  let blockedUs = 0;
  let grant = name === 'take' ? Math.max(...amounts) : 1;
  opened.forEach(({ entry }, index) => {
    if (entry.block !== undefined) blockedUs = Math.max(blockedUs, entry.block.untilUs - nowUs);
    const room = available(entry, nowUs);
    if (name === 'take') grant = Math.max(0, Math.min(grant, amounts[index] as number, room));
    else if (room < (amounts[index] as number)) grant = 0;
  });
  if (blockedUs > 0) return -blockedUs;
  if (grant === 0 || name === 'peek') return grant;
  opened.forEach((open, index) => {
    const tokens = name === 'take' ? grant : (amounts[index] as number);
    if (tokens === 0) return;
    charge(open.entry, tokens);
    open.isDirty = true;
  });
  return grant;
}

function change(
  name: 'refund' | 'penalize' | 'reset' | 'block',
  entry: Entry,
  amount: number,
  nowUs: number,
): void {
  if (name === 'refund') refund(entry, amount);
  else if (name === 'penalize') penalize(entry, amount);
  else if (name === 'reset') reset(entry, nowUs);
  else entry.block = amount === 0 ? undefined : { untilUs: nowUs + amount, lengthUs: amount };
}

/** What a caller is shown of an entry. */
export function viewOf(entry: Entry, nowUs: number): View {
  const isWindow = entry.rate.algorithm === 'sliding-window';
  return {
    units: entry.units,
    previous: entry.previous,
    current: entry.current,
    positionMs: isWindow ? positionMs(entry, nowUs) : 0,
  };
}

/** The number by which the script knows a mode of inheritance. */
export function inheritanceCode(inheritance: Inheritance): number {
  return INHERITANCES.indexOf(inheritance);
}
