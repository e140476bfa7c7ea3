import type { Socket } from 'node:net';
import { openRedis } from '@shardline/core/redis';
import { startRedis } from '@shardline/testkit';
import { expect, it } from 'vitest';
import { reconnect } from './reconnect.js';

it('a frozen connection is cut once, however often that is asked for, and comes back', async () => {
  const redis = await startRedis({});
  const connection = openRedis(redis.url, { name: 'frozen', purpose: 'blocking' });
  try {
    await connection.ready({ timeoutMs: 10_000 });
    const { stream } = connection.client as unknown as { stream: Socket };
    const before = stream.listenerCount('close');
    await redis.freeze();
    for (let time = 0; time < 30; time += 1) reconnect(connection.client);
    expect(stream.listenerCount('close')).toBe(before + 1);
    await redis.thaw();
    await expect.poll(() => stream.destroyed, { timeout: 10_000 }).toBe(true);
    await connection.ready({ timeoutMs: 10_000 });
    reconnect(connection.client);
    await connection.ready({ timeoutMs: 10_000 });
  } finally {
    await connection.close();
    await redis.stop();
  }
});
