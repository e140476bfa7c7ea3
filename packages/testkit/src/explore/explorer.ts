/**
 * An explicit-state explorer: every state that a model can get into, breadth first.
 *
 * It answers two questions of a protocol that is written as pure rules. *Can something bad happen?* Every state
 * is judged when it is first reached, and since the search is breadth first, the trace to the first bad one
 * is as short as any. *Can it get stuck?* After the search a backward pass marks every state from which an end can
 * be reached; one that is left over is a state in which the protocol hangs for ever. The second question is the
 * one that random tests cannot ask.
 *
 * A model packs its states into a few 32-bit words. Two states that the model holds for equal (numbers of which
 * only the order matters, actors that can change places) should pack to the same words: that is where most of
 * the size of a search is won or lost. `unpack` gives any state that packs to those words.
 *
 * What is explored is what the rules say, at the bounds that the model sets: a proof up to those bounds and of
 * nothing beyond them. So a model is worth as much as its mutants: rules broken on purpose, each of which must be
 * caught.
 */

import { StateTable } from './state-table.js';

/** A protocol as the explorer sees it. All functions are pure. */
export interface ExploredModel<State> {
  readonly wordsPerState: number;
  readonly initialStates: readonly State[];
  /** Writes the canonical form of a state; all words, also those that are zero. */
  pack(state: State, into: Uint32Array): void;
  unpack(from: Uint32Array, start: number): State;
  /** Calls `visit` for everything that can happen next. */
  successors(state: State, visit: (action: string, next: State) => void): void;
  /** What is wrong with a state, or undefined. */
  violation(state: State): string | undefined;
  /** Whether what the model is about has come to an end here. */
  isEnd(state: State): boolean;
}

/** How far to go. */
export interface ExploreOptions {
  /** Ends the search beyond this many states, incomplete. @default 20_000_000 */
  readonly maxStates?: number;
  /** Whether to look for states from which no end can be reached. @default true */
  readonly requireEnds?: boolean;
  readonly signal?: AbortSignal;
}

/** One step of a trace: what happened, and what it led to. The first has no action. */
export interface TraceStep<State> {
  readonly action: string;
  readonly state: State;
}

/** What was found wrong, with a shortest way there. */
export interface Finding<State> {
  readonly kind: 'violation' | 'stuck';
  readonly reason: string;
  /** Steps from the initial state; `trace.length - 1` of them are actions. */
  readonly trace: readonly TraceStep<State>[];
}

/** What an exploration found. */
export interface Exploration<State> {
  readonly states: number;
  readonly edges: number;
  /** Longest of the shortest ways to a state. */
  readonly depth: number;
  readonly seconds: number;
  /** States that are ends. */
  readonly ends: number;
  /** Whether everything was seen. A search ends early at a violation, or beyond `maxStates`. */
  readonly isComplete: boolean;
  /** Undefined if nothing is wrong with what was seen. */
  readonly finding: Finding<State> | undefined;
}

/** A search gives other work its turn about every tenth of a second. */
const STATES_PER_TURN = 10_000;

/**
 * Explores a model until something is wrong or everything has been seen.
 *
 * @throws the signal's reason when it aborts.
 *
 * @example
 * ```ts
 * import { explore, formatTrace } from '@shardline/testkit';
 *
 * // Two processes that add one to a counter, each by reading it and then writing it: one addition can be lost.
 * type State = { counter: number; read: readonly (number | undefined)[]; done: number };
 * const { states, finding } = await explore<State>({
 *   wordsPerState: 1,
 *   initialStates: [{ counter: 0, read: [undefined, undefined], done: 0 }],
 *   pack: ({ counter, read, done }, into) => {
 *     into[0] = counter | ((read[0] ?? 3) << 2) | ((read[1] ?? 3) << 4) | (done << 6);
 *   },
 *   unpack: (from, start) => {
 *     const word = from[start] ?? 0;
 *     const read = [2, 4].map((at) => ((word >> at) & 3) === 3 ? undefined : (word >> at) & 3);
 *     return { counter: word & 3, read, done: word >> 6 };
 *   },
 *   successors: ({ counter, read, done }, visit) => {
 *     for (const at of [0, 1]) {
 *       const known = read[at];
 *       const next = [...read];
 *       next[at] = known === undefined ? counter : undefined;
 *       if (known !== undefined) visit(`${at} writes`, { counter: known + 1, read: next, done: done + 1 });
 *       else if (done < 2) visit(`${at} reads`, { counter, read: next, done });
 *     }
 *   },
 *   violation: ({ counter, done }) => (done === 2 && counter < 2 ? 'an addition is lost' : undefined),
 *   isEnd: ({ done }) => done === 2,
 * });
 * process.stdout.write(`${states} states; ${finding?.reason}\n${formatTrace(finding?.trace ?? [])}\n`);
 * ```
 */
export async function explore<State>(
  model: ExploredModel<State>,
  options: ExploreOptions = {},
): Promise<Exploration<State>> {
  const search = new Search(model, options.requireEnds ?? true);
  const maxStates = options.maxStates ?? 20_000_000;
  while (search.advance(STATES_PER_TURN)) {
    options.signal?.throwIfAborted();
    if (search.states > maxStates) break;
    await new Promise((resolve) => setImmediate(resolve));
  }
  return search.conclude();
}

class Search<State> {
  readonly #model: ExploredModel<State>;
  readonly #table: StateTable;
  readonly #scratch: Uint32Array;
  readonly #startedAtMs = performance.now();
  readonly #edges: EdgeList | undefined;
  readonly #ends: number[] = [];
  #edgeCount = 0;
  #next = 0;
  #depth = 0;
  #levelEnd = 0;
  #violation: { state: number; reason: string } | undefined;

  constructor(model: ExploredModel<State>, requireEnds: boolean) {
    this.#model = model;
    this.#table = new StateTable(model.wordsPerState);
    this.#scratch = new Uint32Array(model.wordsPerState);
    this.#edges = requireEnds ? new EdgeList() : undefined;
    for (const state of model.initialStates) this.#reach(state, -1);
    this.#levelEnd = this.#table.size;
  }

  get states(): number {
    return this.#table.size;
  }

  get #isExhausted(): boolean {
    return this.#next >= this.#table.size;
  }

  /** Takes up to so many states further. @returns whether there is more to do. */
  advance(states: number): boolean {
    const { wordsPerState } = this.#model;
    for (let left = states; left > 0; left -= 1) {
      if (this.#violation !== undefined || this.#isExhausted) return false;
      if (this.#next === this.#levelEnd) {
        this.#depth += 1;
        this.#levelEnd = this.#table.size;
      }
      const from = this.#next;
      this.#next += 1;
      const state = this.#model.unpack(this.#table.words, from * wordsPerState);
      this.#edges?.begin();
      this.#model.successors(state, (_, next) => {
        this.#edgeCount += 1;
        const to = this.#reach(next, from);
        this.#edges?.add(to);
      });
    }
    return true;
  }

  #reach(state: State, from: number): number {
    const known = this.#table.size;
    this.#model.pack(state, this.#scratch);
    const number = this.#table.add(this.#scratch, from);
    if (this.#table.size === known) return number;
    if (this.#model.isEnd(state)) this.#ends.push(number);
    const reason = this.#violation === undefined ? this.#model.violation(state) : undefined;
    if (reason !== undefined) this.#violation = { state: number, reason };
    return number;
  }

  conclude(): Exploration<State> {
    const finding = this.#finding();
    return {
      states: this.#table.size,
      edges: this.#edgeCount,
      depth: this.#depth,
      seconds: (performance.now() - this.#startedAtMs) / 1000,
      ends: this.#ends.length,
      isComplete: this.#violation === undefined && this.#isExhausted,
      finding,
    };
  }

  #finding(): Finding<State> | undefined {
    if (this.#violation !== undefined) {
      const { state, reason } = this.#violation;
      return { kind: 'violation', reason, trace: this.#traceTo(state) };
    }
    if (!this.#isExhausted) return undefined;
    const stuck = this.#edges?.firstWithoutWayTo(this.#ends, this.#table.size) ?? -1;
    if (stuck < 0) return undefined;
    return {
      kind: 'stuck',
      reason: 'no end can be reached from here',
      trace: this.#traceTo(stuck),
    };
  }

  /** Actions are not stored: the few that a trace needs are found again by taking each step once more. */
  #traceTo(last: number): TraceStep<State>[] {
    const path: number[] = [];
    for (let at = last; at >= 0; at = this.#table.parentOf(at)) path.unshift(at);
    return path.map((number, position) => ({
      action: position === 0 ? '' : this.#actionBetween(path[position - 1] as number, number),
      state: this.#stateOf(number),
    }));
  }

  #actionBetween(from: number, to: number): string {
    let found = '';
    this.#model.successors(this.#stateOf(from), (action, next) => {
      if (found !== '') return;
      this.#model.pack(next, this.#scratch);
      if (this.#table.add(this.#scratch, from) === to) found = action;
    });
    return found;
  }

  #stateOf(number: number): State {
    return this.#model.unpack(this.#table.words, number * this.#model.wordsPerState);
  }
}

/** Where one can go from each state, in the order of the states. */
class EdgeList {
  #targets = new Uint32Array(1 << 14);
  #starts = new Float64Array(1 << 12);
  #size = 0;
  #states = 0;

  /** From here on, edges are those of the next state. */
  begin(): void {
    if (this.#states === this.#starts.length) {
      const starts = new Float64Array(this.#starts.length * 2);
      starts.set(this.#starts);
      this.#starts = starts;
    }
    this.#starts[this.#states] = this.#size;
    this.#states += 1;
  }

  add(target: number): void {
    if (this.#size === this.#targets.length) {
      const targets = new Uint32Array(this.#targets.length * 2);
      targets.set(this.#targets);
      this.#targets = targets;
    }
    this.#targets[this.#size] = target;
    this.#size += 1;
  }

  /**
   * The first state from which none of the ends can be reached, or -1. Most edges lead to later states, so
   * going over the states from the last to the first settles nearly all of them in a pass or two.
   */
  firstWithoutWayTo(ends: readonly number[], states: number): number {
    const isSettled = new Uint8Array(states);
    for (const end of ends) isSettled[end] = 1;
    for (let isChanged = true; isChanged; ) {
      isChanged = false;
      for (let state = states - 1; state >= 0; state -= 1) {
        if (isSettled[state] === 1 || !this.#leadsToSettled(state, isSettled)) continue;
        isSettled[state] = 1;
        isChanged = true;
      }
    }
    return isSettled.indexOf(0);
  }

  #leadsToSettled(state: number, isSettled: Uint8Array): boolean {
    const end = state + 1 < this.#states ? (this.#starts[state + 1] as number) : this.#size;
    for (let at = this.#starts[state] as number; at < end; at += 1) {
      if (isSettled[this.#targets[at] as number] === 1) return true;
    }
    return false;
  }
}

/** A trace as text, one action per line. */
export function formatTrace(trace: readonly TraceStep<unknown>[]): string {
  return trace
    .slice(1)
    .map(({ action }, at) => `${String(at + 1).padStart(3)}  ${action}`)
    .join('\n');
}
