import { randomBytes } from 'node:crypto';
import { startTopology, type Topology } from '@shardline/testkit';
import type { BettingServers } from '../servers.js';

/** The shards that the demo begins with. */
export const FIRST_SHARDS = ['one', 'two', 'three'] as const;
/** The shard that is added under load. */
export const NEW_SHARD = 'four';

/**
 * Three shards with a replica each, a fourth server that is no shard yet, Redis and Memcached. The replica of `two` is
 * synchronous: the primary of `two` will be killed, and PostgreSQL promises only then that nothing which was
 * acknowledged is lost with it.
 */
export function startServers(signal: AbortSignal): Promise<Topology> {
  // Moves of slots stream rows from shard to shard.
  const settings = { wal_level: 'logical', max_connections: '200' };
  return startTopology({
    shards: [
      { name: 'one', replicas: [{ name: 'one-replica' }] },
      { name: 'two', replicas: [{ name: 'two-replica', synchronous: true }] },
      { name: 'three', replicas: [{ name: 'three-replica' }] },
      { name: NEW_SHARD, replicas: 0 },
    ],
    postgres: { settings },
    redis: 'standalone',
    memcached: 1,
    signal,
  });
}

/** What the service is told of them; the fourth shard from the beginning, so that a row could be followed there. */
export function addressesOf(
  topology: Topology,
  names: readonly string[] = [...FIRST_SHARDS, NEW_SHARD],
): BettingServers {
  const shards = names.map((name) => {
    const { primary, replicas } = topology.shard(name);
    return [name, { primary: primary.url, replicas: replicas.map(({ url }) => url) }];
  });
  return {
    // A catalog is small; here it shares the first shard's server.
    catalog: topology.shard('one').primary.url,
    shards: Object.fromEntries(shards),
    redis: topology.redis.url,
    memcached: topology.memcached.map(({ address }) => address),
    sessionSecret: randomBytes(32).toString('hex'),
  };
}
