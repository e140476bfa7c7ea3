import { type Clock, sleep, withDeadline } from '@shardline/core';
import type { RedisConnection } from '@shardline/core/redis';
import { tierUnavailable } from '../tiers/tier-unavailable.js';
import type { Bus, BusListener, BusMessage } from './bus.js';
import { reconnect } from './reconnect.js';

/**
 * The bus by CLIENT TRACKING: Redis itself tells of every key under our prefix that changes, whoever changed
 * it. So foreign writers, expiry and eviction are heard of, too, which the stream cannot know.
 *
 * Two connections: one is tracked (BCAST on the prefix, REDIRECT), the other is told. Either may die
 * alone: without the first Redis stops telling and does not say so. So both are asked every half second. A
 * turn of the server's loop sends its invalidations after its replies, hence the second PING: its
 * answer proves that everything before the first has been sent. If either connection was lost, it is
 * armed anew, and that is a gap.
 *
 * An invalidation must be heard even where L2 has no such key (Redis tells of changes only): `publish`
 * writes a short-lived mark under the prefix. Every fill is told, too, so after a load each process reads
 * L2 once more before L1 has the value: choose the stream unless others write to your keys.
 *
 * One server only: a Cluster would need a pair of connections for each of its masters.
 */
export interface TrackingBusOptions {
  /** For publishing: shares the tier's connection. */
  readonly commands: RedisConnection;
  readonly tracked: RedisConnection;
  readonly told: RedisConnection;
  readonly prefix: string;
  readonly timeoutMs: number;
  readonly clock: Clock;
}

const CHANNEL = '__redis__:invalidate';
const ASK_EVERY_MS = 500;
const RETRY_MS = 100;
/** Long enough to be a change, short enough to leave nothing behind. */
const MARK_LIFE_MS = 1000;
const KEY_MARK = 'i';
const STAMP_MARK = 'j';

export class TrackingBus implements Bus {
  gaps = 0;
  readonly #options: TrackingBusOptions;
  readonly #closing = new AbortController();
  #listener: BusListener | undefined;
  #isArmed = false;
  #running: Promise<void> = Promise.resolve();

  constructor(options: TrackingBusOptions) {
    this.#options = options;
    for (const { client } of [options.tracked, options.told]) client.on('close', this.#disarm);
    options.told.client.on('messageBuffer', this.#onMessage);
  }

  start(listener: BusListener): void {
    this.#listener = listener;
    this.#running = this.#run();
  }

  async publish({ namespace, keys = [], stamps = [] }: BusMessage): Promise<void> {
    const { commands, prefix, timeoutMs, clock } = this.#options;
    if (commands.client.status !== 'ready') throw tierUnavailable('bus', 'not connected to Redis');
    const marks = [
      ...keys.map((key) => `${prefix}:${namespace}:${KEY_MARK}:${key}`),
      ...stamps.map((name) => `${prefix}:${namespace}:${STAMP_MARK}:${name}`),
    ];
    await withDeadline({ timeoutMs, clock, doing: 'Telling the cache bus' }, () =>
      Promise.all(marks.map((mark) => commands.client.set(mark, '', 'PX', MARK_LIFE_MS))),
    );
  }

  async close(): Promise<void> {
    const { tracked, told } = this.#options;
    this.#closing.abort();
    for (const { client } of [tracked, told]) client.off('close', this.#disarm);
    told.client.off('messageBuffer', this.#onMessage);
    await Promise.all([tracked.close(), told.close()]);
    await this.#running;
  }

  async #run(): Promise<void> {
    const { signal } = this.#closing;
    while (!signal.aborted) {
      const delayMs = (await this.#look()) ? ASK_EVERY_MS : RETRY_MS;
      await sleep(delayMs, { signal, clock: this.#options.clock }).catch(() => {});
    }
  }

  /** Arms what is not armed and asks whether everything was heard. False: try again soon. */
  async #look(): Promise<boolean> {
    const { clock, timeoutMs, tracked, told } = this.#options;
    const doing = 'Asking the cache bus';
    const { signal } = this.#closing;
    const sentAtMs = clock.monotonicMs();
    try {
      await withDeadline({ timeoutMs, clock, signal, doing }, async () => {
        if (!this.#isArmed) await this.#arm();
        await tracked.client.ping();
        await told.client.ping();
        await told.client.ping();
      });
    } catch {
      // No proof was given, so L1 already trusts less. A connection that hangs is made anew.
      if (!signal.aborted) for (const { client } of [tracked, told]) reconnect(client);
      return false;
    }
    if (this.#isArmed) this.#listener?.onHeardOut(sentAtMs);
    return this.#isArmed;
  }

  async #arm(): Promise<void> {
    const { tracked, told, prefix } = this.#options;
    // A subscriber may not ask for its id, and ioredis subscribes again by itself after a reconnect.
    await told.client.unsubscribe(CHANNEL);
    const id = String(await told.client.client('ID'));
    await told.client.subscribe(CHANNEL);
    const off = ['TRACKING', 'OFF'] as const;
    await tracked.client.call('CLIENT', ...off);
    const on = ['TRACKING', 'ON', 'REDIRECT', id, 'BCAST', 'PREFIX', `${prefix}:`] as const;
    await tracked.client.call('CLIENT', ...on);
    this.gaps += 1;
    this.#isArmed = true;
    this.#listener?.onGap('tracking began');
  }

  readonly #disarm = (): void => {
    this.#isArmed = false;
  };

  /** The payload is a list of keys, or null when the database was flushed. */
  readonly #onMessage = (_channel: Buffer, payload: unknown): void => {
    if (payload === null || !Array.isArray(payload)) {
      this.gaps += 1;
      this.#listener?.onGap('the database was flushed');
      return;
    }
    for (const key of payload as Buffer[]) {
      const message = messageOf(key.toString(), this.#options.prefix);
      if (message !== undefined) this.#listener?.onMessage(message);
    }
  };
}

/** `prefix:namespace:v:key` and its like; undefined for keys that are nobody's. */
function messageOf(address: string, prefix: string): BusMessage | undefined {
  const match = /^([^:]+):([vsij]):(.+)$/s.exec(address.slice(prefix.length + 1));
  if (match === null) return undefined;
  const [, namespace, kind, name] = match as unknown as [string, string, string, string];
  return kind === 'v' || kind === KEY_MARK
    ? { namespace, keys: [name] }
    : { namespace, stamps: [name] };
}
