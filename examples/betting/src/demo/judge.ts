import type { Finding } from './stage.js';
import type { Tally } from './tally.js';

/**
 * Judgement on what was seen, apart from seeing it (pure). What is promised breaks the demo; what is a figure to reach is
 * told, and depends on the machine.
 */

const count = (value: number) => Math.round(value).toLocaleString('en');
const milliseconds = (value: number) => `${value < 10 ? value.toFixed(1) : Math.round(value)} ms`;

/**
 * Whether every request of a span was answered.
 *
 * @param options.mayRepeat whether a bet may have been sent again, since the service said that it was lost or that
 * its outcome is unknown: when a primary dies, that is the truth.
 */
export function judgeRequests(
  during: string,
  { ok, limited, failed, repeated, complaints }: Tally,
  { mayRepeat = false }: { readonly mayRepeat?: boolean } = {},
): Finding {
  const detail = complaints.length === 0 ? '' : `: ${complaints[0]}`;
  const again = repeated === 0 ? '' : `, ${count(repeated)} sent again`;
  return {
    of: 'P6',
    what: `No request fails ${during}`,
    seen: `${count(ok + limited)} answered, ${count(failed)} failed${again}${detail}`,
    holds: failed === 0 && ok > 0 && (mayRepeat || repeated === 0),
  };
}

/** Whether every request of a span ended in time. */
export function judgeLongest(during: string, { longestMs }: Tally, limitMs: number): Finding {
  return {
    of: 'P6',
    what: `Every request ends within ${milliseconds(limitMs)} ${during}`,
    seen: `longest ${milliseconds(longestMs)}`,
    holds: longestMs <= limitMs,
  };
}

/** What a service's tiers answered. */
export interface TierCounts {
  readonly lookups: number;
  readonly l1: number;
  readonly l2: number;
  readonly l3: number;
}

/** Shares of lookups. */
export function hitRates({ lookups, l1, l2, l3 }: TierCounts) {
  const share = (hits: number) => (lookups === 0 ? 0 : hits / lookups);
  return { l1: share(l1), l2: share(l2), l3: share(l3), all: share(l1 + l2 + l3) };
}

/** What changed between two looks. */
export function difference(later: TierCounts, earlier: TierCounts): TierCounts {
  return {
    lookups: later.lookups - earlier.lookups,
    l1: later.l1 - earlier.l1,
    l2: later.l2 - earlier.l2,
    l3: later.l3 - earlier.l3,
  };
}

/** Whether the cache answers most of what is asked. */
export function judgeHitRate(warm: TierCounts): Finding {
  const { l1, l2, l3, all } = hitRates(warm);
  const percent = (share: number) => `${(100 * share).toFixed(1)} %`;
  return {
    of: 'target',
    what: 'Cache answers at least 85 % once it is warm',
    seen: `${percent(all)}: L1 ${percent(l1)}, L2 ${percent(l2)}, L3 ${percent(l3)}`,
    holds: all >= 0.85,
  };
}

/** Whether 95 of 100 requests were answered soon. */
export function judgeP95({ p95Ms, perSecond }: Tally): Finding {
  return {
    of: 'target',
    what: 'p95 of the API below 100 ms',
    seen: `${milliseconds(p95Ms)} at ${count(perSecond)} requests/s`,
    holds: p95Ms < 100,
  };
}

/** What running into a limit showed. */
export interface LimitRun {
  readonly tier: string;
  readonly limit: number;
  readonly windowMs: number;
  readonly admitted: number;
  readonly denied: number;
  readonly tookMs: number;
}

/** Admitted is at least the burst and at most what flowed in beside it. */
export function judgeLimit({ tier, limit, windowMs, admitted, denied, tookMs }: LimitRun): Finding {
  const most = limit + Math.ceil((limit * tookMs) / windowMs);
  return {
    of: 'P5',
    what: `${tier}: ${count(limit)} a minute, exactly, over both processes`,
    seen: `${count(admitted)} admitted in ${milliseconds(tookMs)} (${count(limit)} to ${count(most)}), then denied`,
    holds: denied > 0 && admitted >= limit && admitted <= most,
  };
}

/** How long each update took to be seen. */
export function judgeUpdates(
  updates: readonly { readonly ownMs: number; readonly everywhereMs: number }[],
  stale: number,
  boundMs: number,
): readonly Finding[] {
  const slowest = Math.max(...updates.map(({ everywhereMs }) => everywhereMs));
  return [
    {
      of: 'P3',
      what: `An update is seen by every process within ${milliseconds(boundMs)}`,
      seen: `${count(updates.length)} updates, the slowest after ${milliseconds(slowest)}`,
      holds: updates.length > 0 && slowest <= boundMs,
    },
    {
      of: 'P4',
      what: 'Whoever made it sees it at once, in the other process too',
      seen: `${count(stale)} of ${count(updates.length)} read something older`,
      holds: stale === 0,
    },
  ];
}

/** Rows that should be there, and rows that are. */
export interface Inventory {
  readonly users: number;
  readonly expectedUsers: number;
  readonly misplaced: number;
  readonly betsAcknowledged: number;
  readonly acknowledgedMissing: number;
  readonly betsStored: number;
  readonly betsTwice: number;
  readonly ledgerEntries: number;
  /** Balances and stakes, and what everybody began with. */
  readonly money: bigint;
  readonly expectedMoney: bigint;
}

/** Whether everything is where it belongs, once. */
export function judgeInventory(seen: Inventory): readonly Finding[] {
  return [
    {
      of: 'P1',
      what: 'Every user is on exactly one shard, the one that owns him',
      seen: `${count(seen.users)} rows for ${count(seen.expectedUsers)} users, ${count(seen.misplaced)} misplaced`,
      holds: seen.users === seen.expectedUsers && seen.misplaced === 0,
    },
    {
      of: 'P1',
      what: 'Every acknowledged bet is stored, once',
      seen: `${count(seen.betsAcknowledged)} acknowledged, ${count(seen.acknowledgedMissing)} missing, ${count(seen.betsTwice)} twice`,
      holds: seen.acknowledgedMissing === 0 && seen.betsTwice === 0 && seen.betsAcknowledged > 0,
    },
    {
      of: 'P1',
      what: 'No transaction is there in part: money and ledger agree',
      seen: `${count(seen.ledgerEntries)} entries for ${count(seen.betsStored)} bets, balance off by ${seen.money - seen.expectedMoney}`,
      holds: seen.ledgerEntries === seen.betsStored && seen.money === seen.expectedMoney,
    },
  ];
}
