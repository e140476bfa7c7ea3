import { createHash } from 'node:crypto';
import type { RedisClient } from '@shardline/core/redis';

/**
 * One Lua script on one Redis, called by its hash.
 *
 * NOSCRIPT, and nothing else, is answered by sending the text: only then is it certain that nothing
 * has run. (A retry on any error would charge twice: rate-limit-redis#71 and its kin.)
 *
 * From Redis 7 on the text opens with `#!lua`, which makes a read-only replica refuse it as a whole:
 * without it a script runs there up to its first write, and a denial would come from stale data.
 * Redis 6.2 does not know that line; it says so when it compiles, and is sent the text without.
 */
export class Script {
  readonly #source: string;
  #text: string;
  #hash: string;

  constructor(source: string) {
    this.#source = source;
    this.#text = `#!lua\n${source}`;
    this.#hash = sha1(this.#text);
  }

  async call(client: RedisClient, keys: readonly string[], args: readonly (string | number)[]) {
    try {
      return await client.evalsha(this.#hash, keys.length, ...keys, ...args);
    } catch (error) {
      if (!messageOf(error).startsWith('NOSCRIPT')) throw error;
      return this.#sendText(client, keys, args);
    }
  }

  async #sendText(
    client: RedisClient,
    keys: readonly string[],
    args: readonly (string | number)[],
  ) {
    try {
      return await client.eval(this.#text, keys.length, ...keys, ...args);
    } catch (error) {
      if (this.#text === this.#source || !/error compiling script/i.test(messageOf(error))) {
        throw error;
      }
      this.#text = this.#source;
      this.#hash = sha1(this.#text);
      return client.eval(this.#text, keys.length, ...keys, ...args);
    }
  }
}

function sha1(text: string): string {
  return createHash('sha1').update(text).digest('hex');
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
