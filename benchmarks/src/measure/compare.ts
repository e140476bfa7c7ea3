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

/** Time as the wall's clock has it, or as this process used the processors. */
export type Clock = 'wall' | 'cpu';

/** How long and how often. */
export interface CompareOptions {
  readonly rounds: number;
  /** Length of one turn; the number of operations is chosen to take about this long. */
  readonly turnMs: number;
  /**
   * `cpu`: figures are of the process's own CPU time, for work that waits for nobody; what other programs take from
   * the machine is not in it. @default 'wall'
   */
  readonly clock?: Clock;
  readonly signal: AbortSignal;
}

/** The figures of one contender. */
export interface Figures {
  readonly name: string;
  /** Median over the rounds. */
  readonly nanosecondsPerOperation: number;
  readonly operationsPerSecond: number;
  readonly cpuNanosecondsPerOperation: number;
  readonly perRound: readonly number[];
}

/** What came of a comparison. */
export interface Comparison {
  readonly figures: ReadonlyMap<string, Figures>;
  /** Time per operation of one contender as a multiple of another's. */
  ratioOf(name: string, peer: string, clock?: Clock): { ratio: number; ratioSpread: number };
}

const CALIBRATION_STEPS = 12;

/** Nanoseconds per operation in one turn, by both clocks. */
type Reading = Readonly<Record<Clock, number>>;

/** Measures all contenders in turns. */
export async function compare(
  contenders: readonly Contender[],
  options: CompareOptions,
): Promise<Comparison> {
  const { clock = 'wall' } = options;
  const operations = new Map<string, number>();
  for (const contender of contenders) {
    operations.set(contender.name, await calibrate(contender, options.turnMs, clock));
  }
  const readings = new Map<string, Reading[]>(contenders.map(({ name }) => [name, []]));
  for (let round = 0; round < options.rounds; round += 1) {
    options.signal.throwIfAborted();
    for (let turn = 0; turn < contenders.length; turn += 1) {
      const contender = contenders[(round + turn) % contenders.length] as Contender;
      const wanted = operations.get(contender.name) as number;
      readings.get(contender.name)?.push(await takeTurn(contender, wanted));
    }
  }
  return summarise(readings, clock);
}

/** Finds how many operations fill a turn; warms the code up on the way. */
async function calibrate(contender: Contender, turnMs: number, clock: Clock): Promise<number> {
  const time = async (operations: number) =>
    ((await takeTurn(contender, operations))[clock] * operations) / 1e6;
  let operations = 1;
  for (let step = 0; step < CALIBRATION_STEPS; step += 1) {
    let tookMs = await time(operations);
    // A pause of the machine or the collector looks like a call that fills a turn, and turns of single calls would come
    // of it, which are mostly clock. It hardly ever comes twice.
    if (tookMs >= turnMs / 2) tookMs = Math.min(tookMs, await time(operations));
    if (tookMs >= turnMs / 2) return Math.max(1, Math.round((operations * turnMs) / tookMs));
    operations *= tookMs > 0 ? Math.min(10, Math.max(2, Math.round(turnMs / tookMs))) : 10;
  }
  return operations;
}

async function takeTurn(contender: Contender, operations: number): Promise<Reading> {
  const cpuBefore = process.cpuUsage();
  const started = process.hrtime.bigint();
  const result = contender.run(operations);
  // Synchronous work must not pay for a turn of the event loop that it does not take.
  const done = typeof result === 'number' ? result : await result;
  const wall = Number(process.hrtime.bigint() - started) / done;
  const { user, system } = process.cpuUsage(cpuBefore);
  return { wall, cpu: ((user + system) * 1000) / done };
}

function summarise(
  readings: ReadonlyMap<string, readonly Reading[]>,
  mainClock: Clock,
): Comparison {
  const seriesOf = (name: string, clock: Clock) =>
    (readings.get(name) ?? []).map((reading) => reading[clock]);
  const figuresOf = (name: string): Figures => {
    const perRound = seriesOf(name, mainClock);
    const nanoseconds = median(perRound);
    return {
      name,
      nanosecondsPerOperation: nanoseconds,
      operationsPerSecond: 1e9 / nanoseconds,
      cpuNanosecondsPerOperation: median(seriesOf(name, 'cpu')),
      perRound,
    };
  };
  return {
    figures: new Map([...readings.keys()].map((name) => [name, figuresOf(name)])),
    ratioOf(name, peer, clock = mainClock) {
      const other = seriesOf(peer, clock);
      const ratios = seriesOf(name, clock).map((value, round) => value / (other[round] as number));
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
