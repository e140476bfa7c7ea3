import { randomUUID } from 'node:crypto';
import { answerWithin, type Clock, sleep } from '@shardline/core';
import type { RedisClient, RedisConnection } from '@shardline/core/redis';
import { RedisScript } from '../tiers/redis/redis-script.js';
import { tierUnavailable } from '../tiers/tier-unavailable.js';
import type { Bus, BusListener, BusMessage } from './bus.js';
import { reconnect } from './reconnect.js';
import publishSource from './scripts/publish.lua';
import { parseEntries, type StreamEntry, StreamPosition } from './stream-reader.js';

/**
 * The bus on a Redis stream: what pub/sub loses with a connection, a stream still has.
 *
 * One blocking read after another. Each answer, and each answer "nothing", is proof that all was heard
 * up to the moment when the question was sent; that moment is what L1's bound is measured from. A
 * connection that dies or freezes gives no answers, the proof grows old, and L1 by itself stops serving
 * what it can no longer vouch for. After a reconnect reading goes on from the last id; a missing number
 * (see `stream-reader.ts`) flushes.
 *
 * Messages of one turn of the event loop are sent as one, without doubles.
 */
export interface StreamBusOptions {
  /** For publishing: shares the tier's connection. */
  readonly commands: RedisConnection;
  /** For the blocking read: a connection of its own. */
  readonly blocking: RedisConnection;
  readonly prefix: string;
  readonly timeoutMs: number;
  readonly clock: Clock;
  /** Entries kept in the stream; a process cut off for longer flushes. @default 10_000 */
  readonly keep?: number;
}

const BLOCK_MS = 500;
const MAX_ENTRIES = 1000;
const RETRY_MS = 100;
const publishScript = new RedisScript(publishSource);

interface Outgoing {
  readonly keys: Set<string>;
  readonly stamps: Set<string>;
}

export class StreamBus implements Bus {
  gaps = 0;
  readonly #options: StreamBusOptions;
  readonly #stream: string;
  readonly #counter: string;
  readonly #origin = randomUUID();
  readonly #position = new StreamPosition();
  readonly #closing = new AbortController();
  #outgoing = new Map<string, Outgoing>();
  #sending: Promise<void> | undefined;
  #listener: BusListener | undefined;
  #reading: Promise<void> = Promise.resolve();

  constructor(options: StreamBusOptions) {
    this.#options = options;
    this.#stream = `{${options.prefix}:bus}`;
    this.#counter = `{${options.prefix}:bus}:n`;
  }

  start(listener: BusListener): void {
    this.#listener = listener;
    this.#reading = this.#readForEver();
  }

  publish(message: BusMessage): Promise<void> {
    const outgoing = this.#outgoing.get(message.namespace) ?? {
      keys: new Set(),
      stamps: new Set(),
    };
    this.#outgoing.set(message.namespace, outgoing);
    for (const key of message.keys ?? []) outgoing.keys.add(key);
    for (const name of message.stamps ?? []) outgoing.stamps.add(name);
    this.#sending ??= new Promise<void>((resolve, reject) => {
      process.nextTick(() => this.#send().then(resolve, reject));
    });
    return this.#sending;
  }

  async close(): Promise<void> {
    this.#closing.abort();
    // A read that is blocked on the server would hold the end up for its whole block.
    this.#options.blocking.client.disconnect();
    await this.#reading;
    await this.#options.blocking.close();
  }

  async #send(): Promise<void> {
    const messages = [...this.#outgoing].map(([namespace, { keys, stamps }]) => ({
      namespace,
      keys: [...keys],
      stamps: [...stamps],
    }));
    this.#outgoing = new Map();
    this.#sending = undefined;
    const { commands, timeoutMs, clock, keep = 10_000 } = this.#options;
    if (commands.client.status !== 'ready') throw tierUnavailable('bus', 'not connected to Redis');
    const doing = 'Telling the cache bus';
    await answerWithin({ timeoutMs, clock, doing }, () =>
      publishScript.run(
        commands.client,
        [this.#stream, this.#counter],
        [this.#origin, JSON.stringify(messages), `${keep}`],
      ),
    );
  }

  async #readForEver(): Promise<void> {
    const { signal } = this.#closing;
    while (!signal.aborted) {
      try {
        await this.#look();
      } catch {
        // Whatever went wrong, no proof was given, so L1 already trusts less; try again shortly.
        await sleep(RETRY_MS, { signal, clock: this.#options.clock }).catch(() => {});
      }
    }
  }

  async #look(): Promise<void> {
    const { client } = this.#options.blocking;
    if (this.#position.id === undefined) {
      await this.#begin(client);
      return;
    }
    const sentAtMs = this.#options.clock.monotonicMs();
    const entries = await this.#read(client, BLOCK_MS);
    if (entries.length > 0) {
      if (this.#take(entries) && entries.length < MAX_ENTRIES) this.#heardOut(sentAtMs);
      return;
    }
    await this.#checkCounter(client);
  }

  /** Nothing came: is that because nothing was said, or because it is gone? */
  async #checkCounter(client: RedisClient): Promise<void> {
    for (const isSecondLook of [false, true]) {
      const sentAtMs = this.#options.clock.monotonicMs();
      const counter = Number((await this.#ask(() => client.get(this.#counter), 0)) ?? 0);
      const verdict = this.#position.compare(counter, isSecondLook);
      if (verdict === 'heard-out') return this.#heardOut(sentAtMs);
      if (verdict === 'gap') return this.#gap(`the counter stands at ${counter}`);
      if (!this.#take(await this.#read(client, 0))) return;
    }
  }

  /** Starts at the end of the stream, with nothing that was held before still believed. */
  async #begin(client: RedisClient): Promise<void> {
    const sentAtMs = this.#options.clock.monotonicMs();
    const counter = Number((await this.#ask(() => client.get(this.#counter), 0)) ?? 0);
    const last = await this.#ask(() => client.xrevrange(this.#stream, '+', '-', 'COUNT', 1), 0);
    const entry = parseEntries([[this.#stream, last]])?.[0];
    // A message between the two questions: the counter is behind it, so begin again.
    if (entry !== undefined && entry.number > counter) return;
    this.#position.anchor(entry?.id ?? '0-0', counter);
    this.#listener?.onGap('reading began');
    this.#heardOut(sentAtMs);
  }

  async #read(client: RedisClient, blockMs: number): Promise<StreamEntry[]> {
    const id = this.#position.id ?? '0-0';
    const reply = await this.#ask(
      () =>
        blockMs > 0
          ? client.xread('COUNT', MAX_ENTRIES, 'BLOCK', blockMs, 'STREAMS', this.#stream, id)
          : client.xread('COUNT', MAX_ENTRIES, 'STREAMS', this.#stream, id),
      blockMs,
    );
    const entries = parseEntries(reply);
    if (entries === undefined) {
      this.#gap('an entry of the stream could not be read');
      return [];
    }
    return entries;
  }

  /** One question; a connection that does not answer it in time is cut and made anew. */
  async #ask<T>(question: () => Promise<T>, blockMs: number): Promise<T> {
    const { blocking, timeoutMs, clock } = this.#options;
    const doing = 'Reading the cache bus';
    const options = { timeoutMs: blockMs + timeoutMs, clock, doing, signal: this.#closing.signal };
    try {
      return await answerWithin(options, question);
    } catch (error) {
      if (!this.#closing.signal.aborted) reconnect(blocking.client);
      throw error;
    }
  }

  #take(entries: readonly StreamEntry[]): boolean {
    const advance = this.#position.advance(entries);
    if (advance.gap) {
      this.#gap(advance.reason);
      return false;
    }
    for (const entry of entries) {
      // What this process said itself it has already done to its own L1, before and after.
      if (entry.origin === this.#origin) continue;
      for (const message of JSON.parse(entry.message) as BusMessage[]) {
        this.#listener?.onMessage(message);
      }
    }
    return true;
  }

  #heardOut(asOfMs: number): void {
    this.#listener?.onHeardOut(asOfMs);
  }

  #gap(reason: string): void {
    this.gaps += 1;
    this.#position.forget();
    this.#listener?.onGap(reason);
  }
}
