import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Answer, HttpClient } from './http-client.js';
import { LIVE_EVENTS } from './sizes.js';
import { Counter, type Outcome, type Tally } from './tally.js';
import { seededRandom, zipfSampler } from './zipf.js';

/** What the load is made of. */
export interface LoadOptions {
  readonly client: HttpClient;
  /** The service's processes, asked in turn. */
  readonly urls: readonly string[];
  readonly users: number;
  readonly callers: number;
  readonly seed: number;
  readonly signal: AbortSignal;
}

/** Skew of what is asked for; see `zipf.ts`. */
const SKEW = 0.99;
/** Of every hundred requests; the rest read a user. */
const BETS = 5;
const PROFILES = 10;
const BOARDS = 2;
const MATCHES = 5;
/** A bet that was lost, or whose outcome is unknown, is sent again for so long. */
const REPEAT_FOR_MS = 40_000;

/**
 * Callers that send one request after the other until they are stopped, as users of an app do: most look at somebody, a few
 * bet. Popularity follows Zipf's law. A bet that may or may not have been placed is sent again under its own
 * id, which places it once.
 */
export class Load {
  readonly #options: LoadOptions;
  readonly #random: () => number;
  readonly #nextRank: () => number;
  readonly #acknowledged = new Map<string, number>();
  #counter = new Counter();
  #isStopped = false;
  #callers: Promise<unknown> = Promise.resolve();

  constructor(options: LoadOptions) {
    this.#options = options;
    this.#random = seededRandom(options.seed);
    this.#nextRank = zipfSampler(options.users, SKEW, this.#random);
  }

  /** Bets that the service has said to have placed, with their user. */
  get acknowledgedBets(): ReadonlyMap<string, number> {
    return this.#acknowledged;
  }

  start(): void {
    const callers = Array.from({ length: this.#options.callers }, (_, at) => this.#call(at));
    this.#callers = Promise.all(callers);
  }

  /** Ends the span that runs and begins another; what it saw. */
  cut(): Tally {
    const ended = this.#counter.read();
    this.#counter = new Counter();
    return ended;
  }

  /** What the span that runs has seen so far. */
  look(): Tally {
    return this.#counter.read();
  }

  /** Waits for the requests that are under way. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    await this.#callers;
  }

  async #call(caller: number): Promise<void> {
    const { urls, signal } = this.#options;
    for (let turn = caller; !this.#isStopped && !signal.aborted; turn += 1) {
      const url = urls[turn % urls.length] as string;
      const started = performance.now();
      const outcome = await this.#request(url, 1 + this.#nextRank());
      this.#counter.add(outcome, performance.now() - started);
    }
  }

  #request(url: string, userId: number): Promise<Outcome> {
    const drawn = this.#random() * 100;
    if (drawn < BETS) return this.#bet(url, userId);
    if (drawn < BETS + PROFILES) return this.#read(`${url}/users/${userId}/profile`);
    if (drawn < BETS + PROFILES + BOARDS) return this.#read(`${url}/leaderboards/weekly`);
    if (drawn < BETS + PROFILES + BOARDS + MATCHES) {
      return this.#read(`${url}/events/${1 + Math.floor(this.#random() * LIVE_EVENTS)}`);
    }
    return this.#read(`${url}/users/${userId}`);
  }

  async #read(url: string): Promise<Outcome> {
    return this.#outcomeOf(await this.#options.client.ask({ url }), url);
  }

  async #bet(url: string, userId: number): Promise<Outcome> {
    const betId = randomUUID();
    const question = {
      method: 'POST' as const,
      url: `${url}/users/${userId}/bets`,
      body: { betId, eventId: 1 + Math.floor(this.#random() * LIVE_EVENTS), stake: 1 },
    };
    const giveUpAtMs = performance.now() + REPEAT_FOR_MS;
    for (;;) {
      const answer = await this.#options.client.ask(question);
      if (answer.status === 201 || answer.status === 200) this.#acknowledged.set(betId, userId);
      if (!isOpen(answer) || performance.now() > giveUpAtMs || this.#options.signal.aborted) {
        return this.#outcomeOf(answer, 'placing a bet');
      }
      this.#counter.repeated();
      this.#counter.complain(`sent again: ${answer.body}`);
      await sleep(50);
    }
  }

  #outcomeOf({ status, body }: Answer, doing: string): Outcome {
    if (status >= 200 && status < 300) return 'ok';
    if (status === 429) return 'limited';
    if (!this.#options.signal.aborted) this.#counter.complain(`${doing}: ${status} ${body}`);
    return 'failed';
  }
}

/** Whether a bet may have been placed though nobody said so, or was not and may be sent again. */
function isOpen({ status, body }: Answer): boolean {
  return status === 503 && /OUTCOME_UNKNOWN|"retryable":true/.test(body);
}
