import { ManualClock } from '@shardline/core';

/**
 * Runs one scenario in every order in which its steps can happen.
 *
 * Whatever touches something shared waits for its turn with `step`. When everything stands still, one of
 * the waiting steps is let go: which, says a list of choices. After a run the last choice that had
 * another option is taken differently, until none is left (stateless search, as Godefroid's VeriSoft). So
 * a schedule is a list of small numbers, and a violation is replayed from it.
 *
 * Time stands still unless nothing else can happen: then it moves to the next timer. So a wait is as
 * long as it takes, and no schedule hangs.
 */
export class Scheduler {
  readonly clock = new ManualClock();
  /** What was let go, in order. */
  readonly trace: string[] = [];
  readonly #choices: readonly number[];
  readonly #taken: { chosen: number; options: number }[] = [];
  #waiting: { label: string; go: () => void }[] = [];

  constructor(choices: readonly number[] = []) {
    this.#choices = choices;
  }

  /** Waits for its turn. */
  step(label: string): Promise<void> {
    return new Promise((go) => {
      this.#waiting.push({ label, go });
    });
  }

  /** Lets steps go until the work is done. */
  async run(work: Promise<unknown>): Promise<void> {
    let isDone = false;
    const done = () => {
      isDone = true;
    };
    work.then(done, done);
    await standstill();
    for (let idle = 0; !isDone; ) {
      if (this.#waiting.length > 0) {
        this.#letOneGo();
        idle = 0;
      } else {
        idle += 1;
        if (idle > 10_000) throw new Error(`stuck after ${this.trace.join(' | ')}`);
        await this.clock.advance(1);
      }
      await standstill();
    }
    await work;
  }

  /** Lets everything go that still waits, in order: messages under way at the end. */
  async drain(): Promise<void> {
    await standstill();
    while (this.#waiting.length > 0) {
      this.#waiting.shift()?.go();
      await standstill();
    }
  }

  /** The choices of the next schedule; undefined when this was the last. */
  next(): number[] | undefined {
    for (let at = this.#taken.length - 1; at >= 0; at -= 1) {
      const { chosen, options } = this.#taken[at] as { chosen: number; options: number };
      if (chosen + 1 >= options) continue;
      return [...this.#taken.slice(0, at).map((one) => one.chosen), chosen + 1];
    }
    return undefined;
  }

  /** Whether steps of more than one actor ever waited at the same time. */
  get hadChoice(): boolean {
    return this.#taken.some(({ options }) => options > 1);
  }

  #letOneGo(): void {
    const options = this.#waiting.length;
    const chosen = Math.min(this.#choices[this.#taken.length] ?? 0, options - 1);
    if (options > 1 || this.#choices.length > this.#taken.length) {
      this.#taken.push({ chosen, options });
    } else {
      this.#taken.push({ chosen: 0, options: 1 });
    }
    const [one] = this.#waiting.splice(chosen, 1);
    this.trace.push(one?.label ?? '');
    one?.go();
  }
}

/** Lets every continuation run that can run by itself. */
function standstill(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** One run of a scenario: it throws when the promise under attack is broken. */
export type Scenario = (scheduler: Scheduler) => Promise<void>;

/** What an exploration came to. */
export interface Exploration {
  readonly schedules: number;
  /** Schedules in which two actors could have gone first. */
  readonly interleaved: number;
  readonly violation: { readonly error: Error; readonly trace: readonly string[] } | undefined;
  /** False if the limit ended it before every schedule was seen. */
  readonly isComplete: boolean;
}

/** Every schedule in order, up to a limit; ends at the first violation. */
export async function exploreAll(scenario: Scenario, limit: number): Promise<Exploration> {
  let choices: number[] | undefined = [];
  let schedules = 0;
  let interleaved = 0;
  while (choices !== undefined && schedules < limit) {
    const scheduler: Scheduler = new Scheduler(choices);
    schedules += 1;
    try {
      await scenario(scheduler);
    } catch (error) {
      const violation = { error: error as Error, trace: scheduler.trace };
      return { schedules, interleaved, violation, isComplete: false };
    }
    if (scheduler.hadChoice) interleaved += 1;
    choices = scheduler.next();
  }
  return { schedules, interleaved, violation: undefined, isComplete: choices === undefined };
}

/** Schedules drawn at random from a seed. */
export async function exploreRandomly(
  scenario: Scenario,
  options: { readonly seed: number; readonly schedules: number },
): Promise<Exploration> {
  const random = seeded(options.seed);
  let interleaved = 0;
  for (let schedules = 1; schedules <= options.schedules; schedules += 1) {
    const choices = Array.from({ length: 200 }, () => Math.floor(random() * 4));
    const scheduler = new Scheduler(choices);
    try {
      await scenario(scheduler);
    } catch (error) {
      const violation = { error: error as Error, trace: scheduler.trace };
      return { schedules, interleaved, violation, isComplete: false };
    }
    if (scheduler.hadChoice) interleaved += 1;
  }
  return { schedules: options.schedules, interleaved, violation: undefined, isComplete: true };
}

/** mulberry32: small, and the same everywhere. */
function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
