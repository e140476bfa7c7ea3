import { createHash } from 'node:crypto';
import type { RedisClient } from '@shardline/core/redis';
import { holdForTurn } from '../hold-for-turn.js';

/**
 * A script, called by its hash; sent whole only when the server does not know it (first use, restart,
 * SCRIPT FLUSH).
 */
export class RedisScript {
  readonly #sha: string;

  constructor(private readonly source: string) {
    this.#sha = createHash('sha1').update(source).digest('hex');
  }

  async run(
    client: RedisClient,
    keys: readonly string[],
    args: readonly (string | Buffer)[],
  ): Promise<unknown> {
    // A Cluster's nodes each have a connection of their own, which only it knows.
    if ('stream' in client) holdForTurn(client.stream);
    try {
      return await client.evalsha(this.#sha, keys.length, ...keys, ...args);
    } catch (error) {
      if (!(error instanceof Error) || !error.message.startsWith('NOSCRIPT')) throw error;
      return client.eval(this.source, keys.length, ...keys, ...args);
    }
  }
}
