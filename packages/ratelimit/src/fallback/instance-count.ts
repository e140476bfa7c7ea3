import type { Clock, ScheduledCall } from '@shardline/core';

/** Missed heartbeats after which an instance counts as gone. */
const MISSED_BEATS = 3;

/** What the count asks of Redis. */
export interface InstanceRegistry {
  instances(action: 'beat' | 'leave', key: string, id: string, lengthMs: number): Promise<number>;
}

/** What an instance count needs. */
export interface InstanceCountOptions {
  readonly registry: InstanceRegistry;
  readonly clock: Clock;
  readonly key: string;
  readonly id: string;
  readonly heartbeatMs: number;
  /** Assumed until Redis has answered once. */
  readonly expected: number;
}

/**
 * How many processes share the limits, as last heard from Redis: the number by which a process divides
 * when Redis is away. A beat that fails changes nothing; the last known number is the best there is.
 */
export class InstanceCount {
  readonly #options: InstanceCountOptions;
  #live: number;
  #next: ScheduledCall | undefined;
  #isClosed = false;

  constructor(options: InstanceCountOptions) {
    this.#options = options;
    this.#live = options.expected;
    this.#beat();
  }

  get live(): number {
    return this.#live;
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#next?.cancel();
    const { registry, key, id, heartbeatMs } = this.#options;
    // A Redis that is away forgets this instance by itself after three beats.
    await registry.instances('leave', key, id, heartbeatMs * MISSED_BEATS).catch(() => {});
  }

  #beat(): void {
    const { registry, clock, key, id, heartbeatMs } = this.#options;
    const heard = registry.instances('beat', key, id, heartbeatMs * MISSED_BEATS);
    heard
      .then((count) => {
        this.#live = Math.max(1, count);
      })
      // Redis is away: this is when the number is needed, and the last one stands.
      .catch(() => {})
      .finally(() => {
        if (!this.#isClosed) this.#next = clock.schedule(heartbeatMs, () => this.#beat());
      });
  }
}
