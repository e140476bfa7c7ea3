import { randomUUID } from 'node:crypto';
import { type Clock, withDeadline } from '@shardline/core';
import type { RedisConnection } from '@shardline/core/redis';

/**
 * Which of many processes carries out one tick of a schedule.
 *
 * A tick has a key of its own in Redis. Whoever sets it first has the tick for a while and writes `done`
 * afterwards; if he dies in between, the key expires and another takes it. So a tick is carried out at
 * least once, mostly once, and what it does must bear being done twice, as invalidations and warming do.
 */
export type Claim = 'mine' | 'done' | 'held' | 'unreachable';

const DONE = 'done';
/** Longer than any two processes' clocks differ about when a tick is. */
const DONE_LIFE_MS = 86_400_000;
export const TICK_HELD_MS = 30_000;

export class TickLock {
  readonly #self = randomUUID();

  constructor(
    private readonly redis: RedisConnection,
    private readonly prefix: string,
    private readonly timeoutMs: number,
    private readonly clock: Clock,
  ) {}

  async claim(schedule: string, tickMs: number): Promise<Claim> {
    const { client } = this.redis;
    const address = this.#address(schedule, tickMs);
    try {
      return await this.#ask(async () => {
        const set = await client.set(address, this.#self, 'PX', TICK_HELD_MS, 'NX');
        if (set === 'OK') return 'mine';
        return (await client.get(address)) === DONE ? 'done' : 'held';
      });
    } catch {
      // Whoever cannot ask does it: twice is better than not at all.
      return 'unreachable';
    }
  }

  async done(schedule: string, tickMs: number): Promise<void> {
    const address = this.#address(schedule, tickMs);
    try {
      await this.#ask(() => this.redis.client.set(address, DONE, 'PX', DONE_LIFE_MS));
    } catch {
      // Then another does it once more.
    }
  }

  #ask<T>(question: () => Promise<T>): Promise<T> {
    const { timeoutMs, clock } = this;
    return withDeadline({ timeoutMs, clock, doing: 'Claiming a tick of a schedule' }, question);
  }

  #address(schedule: string, tickMs: number): string {
    return `${this.prefix}:tick:${schedule}:${tickMs}`;
  }
}
