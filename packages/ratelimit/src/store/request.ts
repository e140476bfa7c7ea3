import type { RedisClient } from '@shardline/core/redis';
import type { Scripts } from './scripts.js';

/** Something that is sent to Redis in one go and answered in one go. */
export interface StoreRequest {
  /** Operations in it. */
  readonly size: number;
  /** Asks; resolves with the script's answer. */
  ask(scripts: Scripts, client: RedisClient): Promise<readonly number[]>;
  /** Hands the answer to those who asked. */
  deliver(reply: readonly number[]): void;
  /** Tells those who asked that there is no answer. */
  fail(error: Error): void;
}
