import { type Cache, type CacheNamespace, createCache } from '@shardline/cache';
import { type RedisServer, startRedis } from '@shardline/testkit';
import { Redis } from 'ioredis';
import { stayAlive } from '../../measure/stay-alive.js';
import type { ScenarioContext } from '../../scenario.js';
import type { Profile } from '../../workload/profiles.js';
import { PATIENT } from './patience.js';

type Use = ScenarioContext['use'];

/** A cache without servers, filled with profiles. */
export async function openMemoryCache(
  use: Use,
  profiles: readonly Profile[],
  keyOf: (id: number) => string,
): Promise<CacheNamespace<Profile>> {
  const cache = use(createCache({}));
  const namespace = cache.namespace<Profile>('profiles', {
    ttl: '1h',
    jitter: 0,
    l1: { maxEntries: 2 * profiles.length },
  });
  for (const profile of profiles) await namespace.set(keyOf(profile.id), profile);
  return namespace;
}

/** One Redis, for as long as the scenario lasts. */
export async function startSharedRedis(use: Use, name: string): Promise<RedisServer> {
  stayAlive(use);
  return use(await startRedis({ name }));
}

/** A cache of ours on a Redis, connected. */
export async function openSharedCache(use: Use, server: RedisServer): Promise<Cache> {
  const cache = use(createCache({ redis: server.url, l2Timeout: PATIENT }));
  await cache.ready({ deadline: '10s' });
  return cache;
}

/** A plain client, for peers and for counting. */
export function openClient(
  use: Use,
  server: RedisServer,
  { enableAutoPipelining = false } = {},
): Redis {
  const client = new Redis(server.url, { enableAutoPipelining });
  use({
    async [Symbol.asyncDispose]() {
      client.disconnect();
    },
  });
  return client;
}
