import type { Clock } from '@shardline/core';
import type { Entry } from '../../../../packages/ratelimit/src/bucket/entry.js';
import { decideLease } from '../../../../packages/ratelimit/src/bucket/lease-operation.js';
import { openEntry } from '../../../../packages/ratelimit/src/bucket/operation.js';
import { tokenBucketRate } from '../../../../packages/ratelimit/src/bucket/rate.js';
import { LeasedBucket } from '../../../../packages/ratelimit/src/lease/leased-bucket.js';
import { atLeast, atMost, countedRow } from '../../measure/rows.js';
import type { Row, Scenario } from '../../scenario.js';
import { seededRandom } from '../../workload/random.js';
import { EventQueue } from './event-queue.js';

const PROCESSES = 1000;
const LIMIT = 100_000;
/** Half as much again as the limit allows. */
const CHECKS_PER_PROCESS_PER_MS = (1.5 * LIMIT) / 1000 / PROCESSES;
const LEASE_MS = 2000;
const PAUSE_MS = 10;
/** Tokens are spent by the burst of a turn of the event loop, as requests come in. */
const TURN_MS = 5;

const rate = tokenBucketRate(LIMIT, 1000, LIMIT);

/**
 * Models: the arithmetic of bucket and lease as the limiter has it; a thousand processes with clocks that run up to half a
 * per cent apart; messages that take 0.2 to 5 ms, one in a thousand half a second; processes that die with
 * tokens in hand. Leaves out: the CPU of Redis and of the processes, fallback, returns of idle tokens (so what the dead
 * and the idle hold is lost for longer than in life). Every interval of the whole history is judged, in integers.
 */
export const leasingFleet: Scenario = {
  suite: 'simulation',
  name: 'leasing-fleet',
  situation:
    'A thousand processes lease tokens of one hot key of 100 000 a second, asked for half as much again, with late ' +
    'messages, clocks that drift and processes that die. No servers: the pure bucket and lease over invented time.',
  async run({ quick, signal, note }) {
    const seconds = quick ? 5 : 30;
    note(`${PROCESSES} processes, ${seconds} seconds of theirs`);
    const { admitted, requests, mostAboveRefill } = simulate(seconds * 1000, signal);
    const row = (about: Pick<Row, 'name' | 'peer' | 'unit' | 'ours' | 'theirs' | 'target'>) =>
      countedRow({ suite: 'simulation', ...about });
    return [
      row({
        name: `most admitted above the refill over any interval, ${PROCESSES} leasing processes`,
        peer: 'the capacity',
        unit: 'tokens',
        ours: mostAboveRefill,
        theirs: LIMIT,
        target: atMost(1),
      }),
      row({
        name: `admitted by ${PROCESSES} leasing processes that ask for half too much`,
        peer: 'capacity + rate x time',
        unit: 'checks',
        ours: admitted,
        theirs: LIMIT + LIMIT * seconds,
        target: atLeast(0.9),
      }),
      row({
        name: 'checks per round trip to the server',
        peer: 'one each without leases',
        unit: 'checks',
        ours: admitted / requests,
        theirs: 1,
        target: atLeast(3),
      }),
    ];
  },
};

interface Tally {
  admitted: number;
  requests: number;
  mostAboveRefill: number;
}

function simulate(lengthMs: number, signal: AbortSignal): Tally {
  const queue = new EventQueue();
  const random = seededRandom(31);
  const server = new Server(queue);
  const judge = new Judge(queue);
  for (let index = 0; index < PROCESSES; index += 1) {
    new LeasingProcess(index, queue, random, server, judge).start();
  }
  for (let atMs = 0; atMs < lengthMs; atMs += 100) {
    signal.throwIfAborted();
    queue.runUntil(atMs + 100);
  }
  const { admitted, mostAboveRefill } = judge;
  return { admitted, mostAboveRefill, requests: server.requests };
}

/** Redis: one bucket, decided by its own clock. */
class Server {
  requests = 0;
  #entry: Entry | undefined;

  constructor(private readonly queue: EventQueue) {}

  lease(id: string, want: number, returnId: string) {
    this.requests += 1;
    const nowUs = Math.floor(this.queue.nowMs * 1000);
    const { entry } = openEntry(this.#entry, rate, 'proportional', nowUs);
    this.#entry = entry;
    return decideLease(entry, { id, want, lengthUs: LEASE_MS * 1000, returnId, unused: 0 }, nowUs);
  }
}

/** Holds every admission against capacity + rate x time over every interval at once, as a leaking bucket does. */
class Judge {
  admitted = 0;
  mostAboveRefill = 0;
  #above = 0;
  #atMs = 0;

  constructor(private readonly queue: EventQueue) {}

  admit(tokens: number): void {
    const { nowMs } = this.queue;
    this.#above = Math.max(0, this.#above - ((nowMs - this.#atMs) * LIMIT) / 1000) + tokens;
    this.#atMs = nowMs;
    this.admitted += tokens;
    this.mostAboveRefill = Math.max(this.mostAboveRefill, this.#above);
  }
}

class LeasingProcess {
  readonly #bucket: LeasedBucket;
  readonly #clock: Clock;
  #isAsking = false;
  #notBeforeMs = 0;
  #holders = 0;
  #sequence = 0;

  constructor(
    private readonly index: number,
    private readonly queue: EventQueue,
    private readonly random: () => number,
    private readonly server: Server,
    private readonly judge: Judge,
  ) {
    const drift = 1 + (random() - 0.5) / 100;
    const offsetMs = random() * 1e6;
    this.#clock = {
      now: () => queue.nowMs,
      monotonicMs: () => offsetMs + queue.nowMs * drift,
      schedule: (delayMs, run) => {
        queue.after(delayMs, run);
        return { cancel: () => {} };
      },
    };
    this.#bucket = new LeasedBucket('feed', this.#clock, () => this.#ask());
  }

  start(): void {
    this.queue.after(this.random() * TURN_MS, () => this.#turn());
  }

  /** What came in since the last turn; one in ten thousand turns is the process's last, and another is started. */
  #turn(): void {
    if (this.random() < 1e-4) {
      new LeasingProcess(this.index, this.queue, this.random, this.server, this.judge).start();
      return;
    }
    const checks = poisson(CHECKS_PER_PROCESS_PER_MS * TURN_MS, this.random);
    for (let check = 0; check < checks; check += 1) {
      if (this.#bucket.take()) this.judge.admit(1);
    }
    this.queue.after(TURN_MS, () => this.#turn());
  }

  /** As the limiter asks: one request at a time, with a pause after one that was not met. */
  #ask(): void {
    if (this.#isAsking || this.#clock.monotonicMs() < this.#notBeforeMs) return;
    this.#isAsking = true;
    this.#sequence += 1;
    const id = `${this.index}.${this.#sequence}.${this.queue.nowMs}`;
    const askedMs = this.#clock.monotonicMs();
    const want = this.#bucket.wanted(1, LIMIT, this.#holders);
    const returnId = this.#bucket.nextUsedUp();
    this.queue.after(this.#wayMs(), () => {
      const { granted, holders } = this.server.lease(id, want, returnId);
      this.queue.after(this.#wayMs(), () => {
        this.#isAsking = false;
        this.#holders = holders;
        if (granted > 0) this.#bucket.add(id, granted, askedMs, LEASE_MS);
        if (granted < want) this.#notBeforeMs = this.#clock.monotonicMs() + PAUSE_MS;
      });
    });
  }

  #wayMs(): number {
    return this.random() < 0.001 ? 500 : 0.2 + 4.8 * this.random() ** 4;
  }
}

function poisson(mean: number, random: () => number): number {
  const limit = Math.exp(-mean);
  let count = 0;
  for (let product = random(); product > limit; product *= random()) count += 1;
  return count;
}
