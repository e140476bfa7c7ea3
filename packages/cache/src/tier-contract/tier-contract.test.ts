import { systemClock } from '@shardline/core';
import { openRedis, type RedisConnection } from '@shardline/core/redis';
import { startMemcached, startRedis, startRedisCluster } from '@shardline/testkit';
import { afterAll, beforeAll, describe, it } from 'vitest';
import { MemcachedTier } from '../tiers/memcached/memcached-tier.js';
import { SafeMemjs } from '../tiers/memcached/safe-memjs.js';
import { RedisTier } from '../tiers/redis/redis-tier.js';
import type { SharedTier } from '../tiers/tier.js';
import { tierContract } from './tier-contract.js';

/** Each implementation on a server of its own kind, opened once for all cases. */
const implementations: Record<string, () => Promise<{ tier: SharedTier; stop(): Promise<void> }>> =
  {
    Redis: async () => {
      const server = await startRedis({});
      return {
        tier: await redisTier(openRedis(server.url, { name: 'contract' })),
        stop: () => server.stop(),
      };
    },
    'a Redis Cluster': async () => {
      const server = await startRedisCluster({});
      const cluster = server.nodes.map(({ host, port }) => ({ host, port }));
      return {
        tier: await redisTier(openRedis({ cluster }, { name: 'contract' })),
        stop: () => server.stop(),
      };
    },
    Memcached: async () => {
      const server = await startMemcached({});
      const node = new SafeMemjs({ host: server.host, port: server.port }, 2000, systemClock);
      return { tier: new MemcachedTier(node, systemClock), stop: () => server.stop() };
    },
  };

async function redisTier(connection: RedisConnection): Promise<SharedTier> {
  const tier = new RedisTier({
    connection,
    timeoutMs: 2000,
    maxFrameBytes: 1024 * 1024,
    trustAfterRestart: false,
    clock: systemClock,
  });
  await connection.ready({ timeoutMs: 10_000 });
  while (!tier.isAvailable) await new Promise((resolve) => setTimeout(resolve, 5));
  return tier;
}

for (const [name, open] of Object.entries(implementations)) {
  describe(`${name} as a tier`, () => {
    let opened: Awaited<ReturnType<typeof open>>;
    beforeAll(async () => {
      opened = await open();
    });
    afterAll(async () => {
      await opened?.tier.close();
      await opened?.stop();
    });
    for (const { title, run } of tierContract(() => opened.tier)) it(title, run);
  });
}
