import type { Clock } from '@shardline/core';
import type { SessionPosition } from '@shardline/pool';
import type { LoadFloor } from './freshness.js';

/**
 * What every load must have reached, whatever the cache says.
 *
 * The mark that an invalidation leaves is kept for a minute (`TOMBSTONE_MS`). A replica may be further behind
 * than that: its replay paused, its delay set by hand. So no load reads from a server that has not reached
 * what its primary held some time ago: a position that was asked for less than `OLDEST_MS` before the load. A
 * write whose mark has ended is older than that position, hence on every server that is read from. A
 * replica that is less behind than that is not waited for on account of it.
 *
 * Positions are asked for as loads come, so an idle process asks nobody.
 */
export const TOMBSTONE_MS = 60_000;
const OLDEST_MS = 45_000;
const FRESH_ENOUGH_MS = 10_000;

interface Sample {
  readonly askedAtMs: number;
  readonly position: SessionPosition;
}

/** Recent positions of one shard's primary. */
export class RecentFloors {
  readonly #ask: () => Promise<SessionPosition>;
  readonly #clock: Clock;
  #samples: Sample[] = [];
  #asking = false;

  /** @param ask what the primary holds, asked after the call. */
  constructor(ask: () => Promise<SessionPosition>, clock: Clock) {
    this.#ask = ask;
    this.#clock = clock;
  }

  /** What a load that begins now must have reached. */
  floor(): LoadFloor {
    const nowMs = this.#clock.monotonicMs();
    this.#samples = this.#samples.filter(({ askedAtMs }) => nowMs - askedAtMs <= OLDEST_MS);
    const newest = this.#samples.at(-1);
    if (newest === undefined || nowMs - newest.askedAtMs > FRESH_ENOUGH_MS) this.#askSoon(nowMs);
    return this.#samples[0]?.position ?? 'now';
  }

  #askSoon(askedAtMs: number): void {
    if (this.#asking) return;
    this.#asking = true;
    this.#ask()
      .then(
        (position) => {
          this.#samples.push({ askedAtMs, position });
        },
        () => {
          // No primary answers: loads go on as long as the samples last, then wait for one themselves.
        },
      )
      .finally(() => {
        this.#asking = false;
      });
  }
}
