import { setTimeout as pause } from 'node:timers/promises';
import type { RedisConnection } from '@shardline/core/redis';

/** Between two looks at a node whose connection is not there yet. */
const LOOK_AGAIN_MS = 10;

/**
 * Waits until commands can be sent, on a Cluster to every master: ioredis calls a Cluster ready when it
 * knows the slots, opens the nodes' connections at their first command, and may close the one it has
 * learnt the slots from; a first check would then meet a connection that is being closed.
 *
 * @throws ShardlineError `REDIS_UNREACHABLE`, `ABORTED`.
 */
export async function firstConnection(
  connection: RedisConnection,
  options: { timeoutMs: number; signal?: AbortSignal },
): Promise<void> {
  const deadline = performance.now() + options.timeoutMs;
  // A client of the user's that connects at its first command would be waited for in vain.
  if (connection.client.status !== 'wait') await connection.ready(options);
  const { client } = connection;
  if (!('nodes' in client)) return;
  for (;;) {
    const answers = await Promise.allSettled(client.nodes('master').map((node) => node.ping()));
    if (answers.every(({ status }) => status === 'fulfilled')) return;
    // What is not there by now is found out, and dealt with, by the commands themselves.
    if (performance.now() >= deadline || options.signal?.aborted) return;
    await pause(LOOK_AGAIN_MS);
  }
}
