/**
 * Picks one of several servers that would all do.
 *
 * - `p2c-ewma`: of two drawn at random the one with the lower load, which is its peak-sensitive mean
 *   latency times the statements under way there. Two choices suffice to avoid the slow (Mitzenmacher 2001),
 *   and a draw keeps many processes from rushing to the same best server at once. The mean jumps up with
 *   a slow answer and comes down with time (Finagle's peak EWMA), so a server that turns slow is left
 *   within one answer, and looked at again some seconds later, by one statement. Good answers bring it down
 *   too, each by a tenth: a hiccup of the machine makes every server look slow at once, and if only time could
 *   mend that, the slow one would be as good as any for seconds.
 * - `least-connections`: fewest under way, ties drawn at random: always taking the first of equals would
 *   send all light traffic to one server.
 * - `round-robin`: in turns, smoothly by weight.
 *
 * Failing fast must not look like answering fast: a failure is charged as a slow answer.
 * Servers in the caller's zone are preferred as long as there is one. Numbers and time come in as arguments.
 */
export type BalancingPolicy = 'p2c-ewma' | 'least-connections' | 'round-robin';

export interface BalancedNode {
  readonly name: string;
  /** Share of the load relative to others. @default 1 */
  readonly weight?: number;
  readonly zone?: string | undefined;
}

export interface BalancerOptions {
  readonly policy: BalancingPolicy;
  readonly nodes: readonly BalancedNode[];
  /** Zone of this process; servers in it are preferred. */
  readonly zone?: string | undefined;
  /** From 0 up to 1, as Math.random. */
  readonly random: () => number;
}

interface Load {
  readonly name: string;
  readonly weight: number;
  readonly isNear: boolean;
  inFlight: number;
  /** Peak-sensitive mean latency in milliseconds; 0 until the first answer. */
  costMs: number;
  /** When `costMs` was last brought up to date. */
  atMs: number;
  /** When it was last sent a statement. */
  askedAtMs: number;
  /** Credit in the smooth round robin. */
  credit: number;
}

/** How fast a bad experience fades: after this long it weighs 1/e. Finagle's default. */
const DECAY_MS = 10_000;
/** How far each answer that is better than the mean brings the mean down, however soon it comes. */
const ANSWER_WEIGHT = 0.1;
/** What a server costs that nobody has heard from although it has been asked. */
const UNSEEN_COST_MS = 60_000;
/** Latency that a failure is charged. */
const FAILURE_COST_MS = 2_000;
/** Below this a latency difference is noise: servers count as equally fast, and their queues decide. */
const SMALLEST_COST_MS = 0.05;

/** Picks servers, and learns from how they do. */
export class Balancer {
  readonly #loads = new Map<string, Load>();
  readonly #policy: BalancingPolicy;
  readonly #random: () => number;
  readonly #hasZone: boolean;

  constructor(options: BalancerOptions) {
    this.#policy = options.policy;
    this.#random = options.random;
    for (const { name, weight = 1, zone } of options.nodes) {
      const isNear = options.zone !== undefined && zone === options.zone;
      this.#loads.set(name, {
        name,
        weight,
        isNear,
        inFlight: 0,
        costMs: 0,
        atMs: 0,
        askedAtMs: 0,
        credit: 0,
      });
    }
    this.#hasZone = [...this.#loads.values()].some(({ isNear }) => isNear);
  }

  /** One of the servers named; undefined if none is named or known. */
  pick(names: readonly string[], nowMs: number): string | undefined {
    const [only] = names;
    if (names.length === 1 && only !== undefined) return this.#loads.has(only) ? only : undefined;
    const loads = this.#among(names);
    if (loads.length <= 1) return loads[0]?.name;
    switch (this.#policy) {
      case 'p2c-ewma':
        return this.#pickOfTwo(loads, nowMs).name;
      case 'least-connections':
        return this.#pickLeast(loads).name;
      case 'round-robin':
        return pickInTurn(loads).name;
    }
  }

  /** A statement was sent to a server. */
  started(name: string, nowMs: number): void {
    const load = this.#loads.get(name);
    if (load === undefined) return;
    load.inFlight += 1;
    load.askedAtMs = nowMs;
  }

  /** It was answered, or failed through the server's or the network's fault. */
  finished(name: string, latencyMs: number, hasFailed: boolean, nowMs: number): void {
    const load = this.#loads.get(name);
    if (load === undefined) return;
    load.inFlight = Math.max(0, load.inFlight - 1);
    observe(load, hasFailed ? Math.max(latencyMs, FAILURE_COST_MS) : latencyMs, nowMs);
  }

  /** It ended without saying anything of the server's speed: given up, cancelled, streamed to a slow reader. */
  abandoned(name: string): void {
    const load = this.#loads.get(name);
    if (load !== undefined) load.inFlight = Math.max(0, load.inFlight - 1);
  }

  /** Mean latency and statements under way, for telemetry. */
  loadOf(name: string, nowMs: number): { latencyMs: number; inFlight: number } | undefined {
    const load = this.#loads.get(name);
    if (load === undefined) return undefined;
    return { latencyMs: fadedCost(load, nowMs), inFlight: load.inFlight };
  }

  #among(names: readonly string[]): Load[] {
    const all: Load[] = [];
    const near: Load[] = [];
    for (const name of names) {
      const load = this.#loads.get(name);
      if (load === undefined) continue;
      all.push(load);
      if (this.#hasZone && load.isNear) near.push(load);
    }
    return near.length > 0 ? near : all;
  }

  #pickOfTwo(loads: readonly Load[], nowMs: number): Load {
    const first = this.#draw(loads, undefined);
    const second = loads.length === 2 ? other(loads, first) : this.#draw(loads, first);
    const a = scoreOf(first, nowMs);
    const b = scoreOf(second, nowMs);
    return b < a ? second : first;
  }

  /** Draws by weight, leaving one out. */
  #draw(loads: readonly Load[], except: Load | undefined): Load {
    let total = 0;
    for (const load of loads) if (load !== except) total += load.weight;
    let left = this.#random() * total;
    let last = loads[0] as Load;
    for (const load of loads) {
      if (load === except) continue;
      last = load;
      left -= load.weight;
      if (left < 0) break;
    }
    return last;
  }

  #pickLeast(loads: readonly Load[]): Load {
    let best: Load[] = [];
    let least = Number.POSITIVE_INFINITY;
    for (const load of loads) {
      const share = (load.inFlight + 1) / load.weight;
      if (share < least) {
        least = share;
        best = [load];
      } else if (share === least) best.push(load);
    }
    return best[Math.floor(this.#random() * best.length)] ?? (loads[0] as Load);
  }
}

function other(loads: readonly Load[], one: Load): Load {
  return (loads[0] === one ? loads[1] : loads[0]) as Load;
}

function observe(load: Load, latencyMs: number, nowMs: number): void {
  if (latencyMs > load.costMs) load.costMs = latencyMs;
  else {
    const faded = 1 - Math.exp(-Math.max(0, nowMs - load.atMs) / DECAY_MS);
    load.costMs += (latencyMs - load.costMs) * Math.max(ANSWER_WEIGHT, faded);
  }
  load.atMs = nowMs;
}

/**
 * What it costs now, without new answers: it fades, so that a server is tried again. By one: from when somebody has
 * gone to see, what was last known counts in full, or everybody who comes before the answer would go there too.
 */
function fadedCost({ costMs, atMs, askedAtMs }: Load, nowMs: number): number {
  return costMs * Math.exp(-Math.max(0, nowMs - Math.max(atMs, askedAtMs)) / DECAY_MS);
}

function scoreOf(load: Load, nowMs: number): number {
  // Without an answer yet the first statement is worth trying; the next wait for what it says.
  if (load.costMs === 0) return load.inFlight === 0 ? 0 : UNSEEN_COST_MS * load.inFlight;
  const costMs = Math.max(SMALLEST_COST_MS, fadedCost(load, nowMs));
  return (costMs * (load.inFlight + 1)) / load.weight;
}

/** Smooth weighted round robin, as nginx does it: everybody gains credit, the richest pays for all. */
function pickInTurn(loads: readonly Load[]): Load {
  let total = 0;
  let richest = loads[0] as Load;
  for (const load of loads) {
    load.credit += load.weight;
    total += load.weight;
    if (load.credit > richest.credit) richest = load;
  }
  richest.credit -= total;
  return richest;
}
