/**
 * When an entry is fresh, when it may be served stale, and who refreshes it ahead of time. Pure.
 *
 * An entry lives `ttl` (jittered, so that entries made together do not expire together) and may be
 * shown `stale` longer (never jittered: it is a promise about failures). Ahead of its expiry each
 * reader throws a die so that about one of them refreshes it early (XFetch: Vattani, Chierichetti,
 * Lowenstein, "Optimal Probabilistic Cache Stampede Prevention", VLDB 2015):
 *
 *     refresh if  now - loadMs * beta * ln(random) >= expiry
 *
 * so with `loadMs` of life left it happens with probability 1/e, and hardly ever beyond ten times that.
 */

/** The times of one entry. */
export interface EntryTimes {
  readonly storedAtMs: number;
  readonly ttlMs: number;
  readonly staleMs: number;
  readonly loadMs: number;
}

/** How an entry may be used now. */
export type Age = 'fresh' | 'stale' | 'expired';

export function ageOf(times: EntryTimes, nowMs: number): Age {
  // A clock that ran ahead when the entry was stored must not make it live longer than its ttl.
  const storedAtMs = Math.min(times.storedAtMs, nowMs);
  if (nowMs < storedAtMs + times.ttlMs) return 'fresh';
  return nowMs < storedAtMs + times.ttlMs + times.staleMs ? 'stale' : 'expired';
}

/** Milliseconds of freshness left, at most the ttl. */
export function freshLeftMs(times: EntryTimes, nowMs: number): number {
  return Math.min(times.ttlMs, times.storedAtMs + times.ttlMs - nowMs);
}

/** A ttl shortened at random by up to the given share. */
export function jitteredTtlMs(ttlMs: number, jitter: number, random: number): number {
  return Math.max(1, Math.round(ttlMs * (1 - jitter * random)));
}

/** How long before its expiry an entry's readers begin to throw the die. */
export function eagerWindowMs(loadMs: number, beta: number): number {
  return 10 * loadMs * beta;
}

/** XFetch's die. */
export function shouldRefreshEarly(
  leftMs: number,
  loadMs: number,
  beta: number,
  random: number,
): boolean {
  return -loadMs * beta * Math.log(random) >= leftMs;
}
