/**
 * How many connections to open for those who wait (pure).
 *
 * A waiter is not tied to a dial: whichever comes first serves it, a released connection or a new one.
 * So a burst over a few busy connections with short statements is over before the first new
 * connection would be up, and dialling one for each waiter only loads the server (HikariCP's spike
 * test: 50 requests, 5 connections, connecting takes 150 ms, a statement 2 ms). Dials are held back
 * while the connections that exist will clear the queue sooner than a dial could; not for long, since
 * an estimate from the past knows nothing of a holder that does not let go. Nor for ever: where callers come as
 * fast as they are served the queue is always about to clear and never does. Once they have waited for as long as
 * a dial takes, in all, holding back has cost as much as dialling would have, and those who wait are dialled for.
 */
export interface DialSituation {
  readonly waiting: number;
  /** Connections being opened. */
  readonly dialing: number;
  /** Connections that exist, lent or idle. */
  readonly live: number;
  readonly max: number;
  /** How long a connection is held, on average; undefined while nobody has given one back. */
  readonly holdMs: number | undefined;
  /** How long a dial takes, on average. */
  readonly dialMs: number | undefined;
  /** How long the one at the head of the queue has waited. */
  readonly headWaitMs: number;
  /** For how long there has lately been somebody waiting, in all. */
  readonly crowdedMs: number;
}

/** What to do: open so many now, or look again after a while. */
export interface DialDecision {
  readonly dials: number;
  readonly recheckMs?: number;
}

/** Patience with an estimate: the queue may take this many times as long before it is disbelieved. */
const PATIENCE = 2;
const SHORTEST_RECHECK_MS = 2;
const LONGEST_RECHECK_MS = 50;

export function decideDials(situation: DialSituation): DialDecision {
  const { waiting, dialing, live, max, holdMs, dialMs, headWaitMs, crowdedMs } = situation;
  const room = max - live - dialing;
  const wanted = Math.min(waiting - dialing, room);
  if (wanted <= 0) return { dials: 0 };
  if (live === 0 || holdMs === undefined || dialMs === undefined) return { dials: wanted };

  const clearedInMs = (waiting * holdMs) / live;
  const isDisbelieved = headWaitMs > clearedInMs * PATIENCE || crowdedMs >= dialMs;
  // Whom the connections at hand will have served before a dial could end.
  const served = isDisbelieved ? 0 : Math.floor((live * dialMs) / (holdMs * PATIENCE));
  const dials = Math.max(0, Math.min(waiting - served - dialing, room));
  if (dials >= wanted) return { dials };
  const recheckMs = clearedInMs * PATIENCE;
  return {
    dials,
    recheckMs: Math.min(LONGEST_RECHECK_MS, Math.max(SHORTEST_RECHECK_MS, recheckMs)),
  };
}
