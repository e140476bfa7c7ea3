import type { RedisConnection } from '@shardline/core/redis';

/**
 * Waits until commands can be sent. A client of the user's that connects at its first command would be waited for in vain.
 *
 * @throws ShardlineError `REDIS_UNREACHABLE`, `ABORTED`.
 */
export async function firstConnection(
  connection: RedisConnection,
  options: { timeoutMs: number; signal?: AbortSignal },
): Promise<void> {
  if (connection.client.status !== 'wait') await connection.ready(options);
}
