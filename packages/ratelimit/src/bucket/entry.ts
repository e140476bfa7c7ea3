import { type Rate, rateOfParts, slidingWindowRate, type TokenBucketRate } from './rate.js';
import { giveBack, position, roll, roomInWindow } from './sliding-window.js';
import { penalized, refill, wholeTokens } from './token-bucket.js';

/**
 * What one key holds, and everything that may happen to it: the twin of `lua/entry.lua`, word for word
 * where the languages allow it. A differential fuzz runs the same timelines through both.
 *
 * Beside its level an entry carries the rate that it was counted by, so that a process with a new
 * configuration can convert what an old one left; a block, if there is one; and the leases that hold
 * tokens of it elsewhere. Tokens on lease are no longer in the level, and the level refills only up to
 * capacity minus what is on lease: level + leases <= capacity at every instant, which is the whole
 * proof that leases never admit more than the bucket alone would.
 */
export interface Entry {
  rate: Rate;
  /** Token bucket: units of 1/den token. */
  units: number;
  /** Token bucket: microseconds of the server's clock that the level belongs to. */
  atUs: number;
  /** Sliding window. */
  startMs: number;
  previous: number;
  current: number;
  block: Block | undefined;
  leases: TokenLease[];
}

/** Nothing is admitted until a time, whatever the level. */
export interface Block {
  untilUs: number;
  lengthUs: number;
}

/** Tokens handed to one process to spend on its own. */
export interface TokenLease {
  readonly id: string;
  readonly tokens: number;
  readonly lengthUs: number;
  untilUs: number;
}

/** A key that nobody has used, or that has had time to fill: both are the same. */
export function freshEntry(rate: Rate, nowUs: number): Entry {
  const nowMs = Math.floor(nowUs / 1000);
  return {
    rate,
    units: rate.algorithm === 'token-bucket' ? rate.capacityUnits : 0,
    atUs: nowUs,
    startMs: rate.algorithm === 'sliding-window' ? nowMs - (nowMs % rate.windowMs) : 0,
    previous: 0,
    current: 0,
    block: undefined,
    leases: [],
  };
}

/**
 * Moves an entry on to the present: what flows in, leases and blocks that end.
 *
 * @returns whether a clock that stepped back made it anchor anew, so that it must be stored.
 */
export function advance(entry: Entry, nowUs: number): boolean {
  let isReanchored = anchorBlock(entry, nowUs);
  isReanchored = anchorLeases(entry, nowUs) || isReanchored;
  if (entry.rate.algorithm === 'sliding-window') {
    return roll(entry, entry.rate, Math.floor(nowUs / 1000)) || isReanchored;
  }
  // Each lease that has ended lets the level rise higher from its end on, not from its beginning.
  for (
    let ended = firstEnded(entry, nowUs);
    ended !== undefined;
    ended = firstEnded(entry, nowUs)
  ) {
    if (ended.untilUs > entry.atUs) refill(entry, entry.rate, ceilingUnits(entry), ended.untilUs);
    entry.leases.splice(entry.leases.indexOf(ended), 1);
  }
  return refill(entry, entry.rate, ceilingUnits(entry), nowUs) || isReanchored;
}

function anchorBlock(entry: Entry, nowUs: number): boolean {
  const { block } = entry;
  if (block === undefined) return false;
  if (block.untilUs <= nowUs) {
    entry.block = undefined;
    return false;
  }
  if (block.untilUs - nowUs <= block.lengthUs) return false;
  block.untilUs = nowUs + block.lengthUs;
  return true;
}

function anchorLeases(entry: Entry, nowUs: number): boolean {
  let isReanchored = false;
  for (const lease of entry.leases) {
    if (lease.untilUs - nowUs > lease.lengthUs) {
      lease.untilUs = nowUs + lease.lengthUs;
      isReanchored = true;
    }
  }
  return isReanchored;
}

function firstEnded(entry: Entry, nowUs: number): TokenLease | undefined {
  let first: TokenLease | undefined;
  for (const lease of entry.leases) {
    if (lease.untilUs > nowUs) continue;
    if (first === undefined || lease.untilUs < first.untilUs) first = lease;
  }
  return first;
}

/** Tokens that other processes hold. */
export function tokensOnLease(entry: Entry): number {
  let tokens = 0;
  for (const lease of entry.leases) tokens += lease.tokens;
  return tokens;
}

/** The highest level that the leases leave room for. */
export function ceilingUnits(entry: Entry): number {
  const rate = entry.rate as TokenBucketRate;
  return entry.leases.length === 0
    ? rate.capacityUnits
    : rate.capacityUnits - tokensOnLease(entry) * rate.den;
}

/** Whole tokens, or requests, that can be had now; below zero is a debt. */
export function available(entry: Entry, nowUs: number): number {
  const { rate } = entry;
  if (rate.algorithm === 'token-bucket') return wholeTokens(entry.units, rate);
  return roomInWindow(entry.previous, entry.current, positionMs(entry, nowUs), rate);
}

/** Where in its window a sliding entry stands. */
export function positionMs(entry: Entry, nowUs: number): number {
  return position(entry, Math.floor(nowUs / 1000));
}

/** Takes tokens that are known to be there. */
export function charge(entry: Entry, tokens: number): void {
  if (entry.rate.algorithm === 'token-bucket') entry.units -= tokens * entry.rate.den;
  else entry.current += tokens;
}

/** Takes tokens whether they are there or not. */
export function penalize(entry: Entry, tokens: number): void {
  const { rate } = entry;
  if (rate.algorithm === 'token-bucket') entry.units = penalized(entry.units, rate, tokens);
  else entry.current = Math.max(entry.current, Math.min(2 * rate.limit, entry.current + tokens));
}

/** Gives tokens back, never above what the bucket holds. */
export function refund(entry: Entry, tokens: number): void {
  const { rate } = entry;
  if (rate.algorithm === 'sliding-window') {
    giveBack(entry, tokens);
    return;
  }
  const raised = Math.min(entry.units + tokens * rate.den, ceilingUnits(entry));
  entry.units = Math.max(entry.units, raised);
}

/** Forgets use and block. Leases stay: their tokens are being spent at this moment. */
export function reset(entry: Entry, nowUs: number): void {
  const { rate, leases } = entry;
  Object.assign(entry, freshEntry(rate, nowUs), { leases });
  if (rate.algorithm === 'token-bucket') entry.units = ceilingUnits(entry);
}

/** Whether nothing is left to remember: such an entry and none at all are the same. */
export function isFresh(entry: Entry): boolean {
  if (entry.block !== undefined || entry.leases.length > 0) return false;
  const { rate } = entry;
  if (rate.algorithm === 'token-bucket') return entry.units >= rate.capacityUnits;
  return entry.previous === 0 && entry.current === 0;
}

/** Microseconds after which the entry is fresh again. */
export function lifeUs(entry: Entry, nowUs: number): number {
  const { rate, block } = entry;
  let untilUs = block === undefined ? nowUs : Math.max(nowUs, block.untilUs);
  for (const lease of entry.leases) untilUs = Math.max(untilUs, lease.untilUs);
  if (rate.algorithm === 'sliding-window') {
    return Math.max(untilUs, (entry.startMs + 2 * rate.windowMs) * 1000) - nowUs;
  }
  // After the last lease has ended, what it held has yet to flow in.
  const missing = rate.capacityUnits - entry.units;
  return Math.max(untilUs, entry.atUs) - nowUs + Math.ceil(missing / rate.num);
}

/** The rate that an entry was stored under, read back from its text. */
export function parseRate(text: string): Rate {
  const [first, second, third] = text.split(':');
  if (first === 's') return slidingWindowRate(Number(third), Number(second));
  return rateOfParts(Number(first), Number(second), Number(third));
}
