import { type Clock, withDeadline } from '@shardline/core';
import type { RedisConnection } from '@shardline/core/redis';
import { RedisScript } from '../tiers/redis/redis-script.js';
import addHotKeysSource from './scripts/add-hot-keys.lua';
import { TopKeys } from './top-keys.js';

/**
 * What was hot in which hour of the week, remembered in Redis over restarts and for all processes.
 *
 * One sorted set for each namespace and hour of the week (UTC, 168 of them). A count fades by half with
 * each week: instead of halving old scores, new ones count double (forward decay: Cormode et al., ICDE 2009),
 * so that nobody has to go over a set. A double bears that for some nineteen years from the first week.
 */
export interface HotKeysOptions {
  readonly redis: RedisConnection;
  readonly prefix: string;
  readonly namespace: string;
  /** Hottest keys remembered for an hour. */
  readonly keep: number;
  readonly timeoutMs: number;
  readonly clock: Clock;
}

const HOUR_MS = 3_600_000;
const HOURS_OF_WEEK = 168;
const WEEK_MS = HOURS_OF_WEEK * HOUR_MS;
/** 2026-01-01 in weeks since 1970: the later, the longer until scores outgrow a double. */
const FIRST_WEEK = 2922;
const LIFE_MS = 5 * WEEK_MS;
/** A set is shared by processes that each know a part: what is kept is more than what is used. */
const KEPT_SHARE = 4;

const addHotKeys = new RedisScript(addHotKeysSource);

export class HotKeys {
  readonly #options: HotKeysOptions;
  readonly #top: TopKeys;

  constructor(options: HotKeysOptions) {
    this.#options = options;
    this.#top = new TopKeys(options.keep);
  }

  /** Counts a key that was asked for; `weight` stands for the asks that were not looked at. */
  add(key: string, weight: number): void {
    this.#top.add(key, weight);
  }

  /** Adds what was counted since the last time to what Redis knows. */
  async save(): Promise<void> {
    const { redis, keep, timeoutMs, clock } = this.#options;
    const nowMs = clock.now();
    const counted = this.#top.take();
    if (counted.length === 0) return;
    const growth = 2 ** (Math.floor(nowMs / WEEK_MS) - FIRST_WEEK);
    const pairs = counted.flatMap(([key, count]) => [String(count * growth), key]);
    const args = [`${keep * KEPT_SHARE}`, `${LIFE_MS}`, ...pairs];
    await withDeadline({ timeoutMs, clock, doing: 'Saving hot keys' }, () =>
      addHotKeys.run(redis.client, [this.#address(nowMs)], args),
    );
  }

  /** The hottest keys of the hour of the week that a moment lies in, hottest first. */
  async at(wallMs: number): Promise<readonly string[]> {
    const { redis, keep, timeoutMs, clock } = this.#options;
    return withDeadline({ timeoutMs, clock, doing: 'Reading hot keys' }, () =>
      redis.client.zrevrange(this.#address(wallMs), 0, keep - 1),
    );
  }

  #address(wallMs: number): string {
    const hour = Math.floor(wallMs / HOUR_MS) % HOURS_OF_WEEK;
    return `${this.#options.prefix}:${this.#options.namespace}:h:${hour}`;
  }
}
