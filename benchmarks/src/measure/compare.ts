import { median, spread } from './statistics.js';

/**
 * Contenders measured side by side, in interleaved rounds.
 *
 * A shared machine gets slower and faster by tens of per cent over seconds. Measured one after the other,
 * two contenders meet different machines; measured in turns of some milliseconds, they meet the same one,
 * and the ratio of neighbours stays put where the figures themselves wander. So each round runs
 * every contender once, in an order that rotates, and ratios are taken pair by pair within a round.
 * (tinybench and mitata run task after task, which is why they are not used here.)
 */
export interface Contender {
  readonly name: string;
  /** Does the work about this many times and says how many it did. */
  readonly run: (operations: number) => number | Promise<number>;
}

/** How long and how often. */
export interface CompareOptions {
  readonly rounds: number;
  /** Length of one turn; the number of operations is chosen to take about this long. */
  readonly turnMs: number;
  readonly signal: AbortSignal;
}

/** The figures of one contender. */
export interface Figures {
  readonly name: string;
  /** Median over the rounds. */
  readonly nanosecondsPerOperation: number;
  readonly operationsPerSecond: number;
  readonly perRound: readonly number[];
}

/** What came of a comparison. */
export interface Comparison {
  readonly figures: ReadonlyMap<string, Figures>;
  /** Time per operation of one contender as a multiple of another's. */
  ratioOf(name: string, peer: string): { ratio: number; ratioSpread: number };
}

const CALIBRATION_STEPS = 12;

/** Measures all contenders in turns. */
export async function compare(
  contenders: readonly Contender[],
  options: CompareOptions,
): Promise<Comparison> {
  const operations = new Map<string, number>();
  for (const contender of contenders) {
    operations.set(contender.name, await calibrate(contender, options.turnMs));
  }
  const perRound = new Map<string, number[]>(contenders.map(({ name }) => [name, []]));
  for (let round = 0; round < options.rounds; round += 1) {
    options.signal.throwIfAborted();
    for (let turn = 0; turn < contenders.length; turn += 1) {
      const contender = contenders[(round + turn) % contenders.length] as Contender;
      const wanted = operations.get(contender.name) as number;
      perRound.get(contender.name)?.push(await nanosecondsPerOperation(contender, wanted));
    }
  }
  return summarise(perRound);
}

/** Finds how many operations fill a turn; warms the code up on the way. */
async function calibrate(contender: Contender, turnMs: number): Promise<number> {
  let operations = 1;
  for (let step = 0; step < CALIBRATION_STEPS; step += 1) {
    const tookMs = ((await nanosecondsPerOperation(contender, operations)) * operations) / 1e6;
    if (tookMs >= turnMs / 2) return Math.max(1, Math.round((operations * turnMs) / tookMs));
    operations *= tookMs > 0 ? Math.min(10, Math.max(2, Math.round(turnMs / tookMs))) : 10;
  }
  return operations;
}

async function nanosecondsPerOperation(contender: Contender, operations: number): Promise<number> {
  const started = process.hrtime.bigint();
  const result = contender.run(operations);
  // Synchronous work must not pay for a turn of the event loop that it does not take.
  const done = typeof result === 'number' ? result : await result;
  return Number(process.hrtime.bigint() - started) / done;
}

function summarise(perRound: ReadonlyMap<string, readonly number[]>): Comparison {
  const figures = new Map(
    [...perRound].map(([name, rounds]) => {
      const nanoseconds = median(rounds);
      return [
        name,
        {
          name,
          nanosecondsPerOperation: nanoseconds,
          operationsPerSecond: 1e9 / nanoseconds,
          perRound: rounds,
        },
      ];
    }),
  );
  return {
    figures,
    ratioOf(name, peer) {
      const own = perRound.get(name) ?? [];
      const other = perRound.get(peer) ?? [];
      const ratios = own.map((value, round) => value / (other[round] as number));
      return { ratio: median(ratios), ratioSpread: spread(ratios) };
    },
  };
}

/** A contender whose work is one synchronous call; what it returns is kept from being optimised away. */
export function synchronous(name: string, work: () => unknown): Contender {
  return {
    name,
    run(operations) {
      let sink: unknown;
      for (let i = 0; i < operations; i += 1) sink = work();
      keepAlive(sink);
      return operations;
    },
  };
}

/** A contender whose work is one awaited call, made by a number of callers at once. */
export function concurrent(name: string, callers: number, work: () => Promise<unknown>): Contender {
  return {
    name,
    async run(operations) {
      let left = operations;
      const caller = async () => {
        while (left > 0) {
          left -= 1;
          await work();
        }
      };
      await Promise.all(Array.from({ length: Math.min(callers, operations) }, caller));
      return operations;
    },
  };
}

let lastSink: unknown;
function keepAlive(value: unknown): void {
  lastSink = value;
  if (lastSink === keepAlive) throw new Error('unreachable');
}
