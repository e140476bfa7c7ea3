import type { RedisClient } from '@shardline/core/redis';

/**
 * Cuts a connection that does not answer, so that ioredis makes it anew.
 *
 * Until the socket is closed, up to two seconds with a frozen server, the client goes on to say that it is
 * ready, and every further `disconnect` would hang one more listener and one more timer on that socket.
 */
const cut = new WeakSet<RedisClient>();

export function reconnect(client: RedisClient): void {
  if (client.status !== 'ready' || cut.has(client)) return;
  cut.add(client);
  client.once('close', () => cut.delete(client));
  client.disconnect(true);
}
